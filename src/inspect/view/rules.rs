//! The rules by which the proxy changes heads, each with a short name and a sentence. The proxy's own
//! functions decide which rule applies; only the sentences are here.

use crate::config::owned_headers::is_owned;
use crate::proxy::is_for_caller;

/// A rule of the proxy: its short name, and why it is there.
pub(super) type Rule = (&'static str, &'static str);

pub(super) const PASSED: Rule = ("passed on", "it is passed on unchanged");
pub(super) const UNEXPLAINED: Rule = ("not passed on", "it is not in the head that was sent");
pub(super) const HOP_BY_HOP: Rule = (
    "hop-by-hop",
    "it applies to one connection only, and the proxy has other connections to the gateway",
);
pub(super) const NAMED: Rule = (
    "named by Connection",
    "`Connection` names it, so it applies to one connection only",
);
pub(super) const ABSOLUTE: Rule = ("absolute form", "the gateway gets the path only");
pub(super) const ENCODING: Rule = (
    "encoding",
    "gateways read `+`, `;`, a lone `%` and raw UTF-8 differently, so these are percent-encoded",
);
pub(super) const ROUTE: Rule = (
    "route",
    "the prefix of the route is replaced by the path of its upstream",
);
const OWNED: Rule = (
    "owned by the proxy",
    "only the proxy sets it, or it is meant for the proxy only",
);

/// One direction: why fields are set or replaced, and why they are dropped. Each line of a table has
/// a name, or its beginning, the short name of the rule, and the sentence.
pub(super) struct Direction {
    set: &'static str,
    dropped: &'static str,
    is_owned: fn(&str) -> bool,
    /// The rule behind a field that is set and stands in no table.
    other: Rule,
}

pub(super) const REQUEST: Direction = Direction {
    set: "\
host|upstream|the gateway is called by its own name; it is signed
x-stage|stage|`stage` of the configuration names the environment of the API; it is signed
x-sdk-date|signature|the date of the signature, which the gateway compares with its clock; it is signed
authorization|signature|what authenticates the request: the signature, or an API key
x-security-token|signature|the token of the temporary key; it is signed
x-sdk-content-|signature|the body is not covered by the signature, since it is streamed
x-auth-token|token|the token that authenticates the request
x-apig-appcode|app code|the app code that authenticates the request
x-project-id|project|the credential or the configuration names the project; it is signed
content-length|framing|the proxy determines the length of the body itself
transfer-encoding|framing|the length of the body is not known when it is sent
apig-proxy-hop|loop detection|a request that comes back to the proxy is recognised by it
connection|websocket|the connection becomes a WebSocket
upgrade|websocket|the connection becomes a WebSocket
te|trailers|the caller takes trailers
origin|page origin|the page was loaded through the proxy, so its origin becomes that of the upstream
referer|page origin|the page was loaded through the proxy, so its address becomes that at the upstream",
    dropped: "expect|expectation|the proxy itself sends `100 Continue` when all checks have passed",
    is_owned: |name| is_owned(name) && name != "x-project-id",
    other: (
        "set by the route",
        "the configuration of the route sets a header of this name",
    ),
};

pub(super) const ANSWER: Direction = Direction {
    set: "\
location|local address|it leads to the upstream, so it becomes the address of the same thing at the proxy
set-cookie|local cookie|a cookie of the gateway's domain or path becomes one of the proxy's
x-apig-proxy-hint|hint|the proxy says what is wrong and what to do
date|date|the gateway sent none
connection|connection|the connection of the caller ends with this response, or becomes a WebSocket
upgrade|websocket|the connection becomes a WebSocket
content-length|framing|the length that the body would have
trailer|trailers|the caller takes trailers
vary|listed page|pages of `access.origins` may read the response
access-control-|listed page|pages of `access.origins` may read the response",
    dropped: "\
content-length|framing|the body is framed anew for this connection
content-encoding|decoded|the proxy decodes the body of a refusal to read it
alt-svc|alternative|the caller would bypass the proxy",
    is_owned: |name| !is_for_caller(name),
    other: ("replaced", "the proxy sends a value of its own"),
};

impl Direction {
    pub(super) fn of_set(&self, name: &str) -> Rule {
        find(self.set, name).unwrap_or(self.other)
    }

    pub(super) fn of_dropped(&self, name: &str) -> Rule {
        let owned = || (self.is_owned)(name).then_some(OWNED);
        let rule = find(self.dropped, name).or_else(owned);
        rule.unwrap_or(UNEXPLAINED)
    }
}

fn find(table: &'static str, name: &str) -> Option<Rule> {
    table.lines().find_map(|line| {
        let (known, rule) = line.split_once('|')?;
        let is_it = known == name || (known.ends_with('-') && name.starts_with(known));
        rule.split_once('|').filter(|_| is_it)
    })
}
