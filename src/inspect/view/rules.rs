//! The rules by which the proxy changes heads, each with a short name and a sentence. What a name falls
//! under is asked of the proxy itself; only the sentences are here.

use crate::config::owned_headers::{folded, is_owned};
use crate::proxy::is_for_caller;

/// A rule of the proxy: its short name, and why it is there.
pub(super) type Rule = (&'static str, &'static str);

pub(super) const HOP_BY_HOP: Rule = (
    "hop-by-hop",
    "it is about one connection only, and the proxy has others to the gateway",
);
pub(super) const NAMED: Rule = (
    "named by Connection",
    "`Connection` names it, so it is about one connection only",
);
pub(super) const OWNED: Rule = (
    "owned by the proxy",
    "only the proxy sets it, whatever the caller sends",
);
pub(super) const EXPECT: Rule = (
    "expectation",
    "the proxy itself sends `100 Continue` when all checks have passed",
);
pub(super) const FOR_GATEWAY: Rule = (
    "owned by the proxy",
    "it is for the proxy or tells of the caller, so it ends here",
);
pub(super) const BY_ROUTE: Rule = (
    "set by the route",
    "the configuration of the route sets a header of this name",
);
pub(super) const REPLACED: Rule = ("replaced", "the proxy sends a value of its own");
pub(super) const UNEXPLAINED: Rule = ("not passed on", "it is not in the head that was sent");
pub(super) const PASSED: Rule = ("passed on", "it goes on as it came");
pub(super) const FRAMING: Rule = ("framing", "the body is framed anew for this connection");

/// Why a header of a request is replaced.
pub(super) const REWRITTEN: [(&str, Rule); 6] = [
    (
        "host",
        ("upstream", "the gateway is called by its own name"),
    ),
    (
        "content-length",
        ("framing", "the proxy measures the body itself"),
    ),
    (
        "origin",
        (
            "page origin",
            "the page was loaded through the proxy, so its origin becomes that of the upstream",
        ),
    ),
    (
        "referer",
        (
            "page origin",
            "the page was loaded through the proxy, so its address becomes that at the upstream",
        ),
    ),
    (
        "x-stage",
        (
            "stage",
            "`stage` of the configuration names the environment of the API",
        ),
    ),
    (
        "x-project-id",
        (
            "project",
            "the credential or the configuration names the project",
        ),
    ),
];

/// Why the proxy adds a header to a request.
pub(super) const SET: [(&str, Rule); 16] = [
    (
        "host",
        (
            "upstream",
            "the gateway is called by its own name; it is signed",
        ),
    ),
    (
        "x-stage",
        (
            "stage",
            "`stage` of the configuration names the environment of the API; it is signed",
        ),
    ),
    (
        "x-sdk-date",
        (
            "signature",
            "the date of the signature, which the gateway compares with its clock; it is signed",
        ),
    ),
    (
        "authorization",
        (
            "signature",
            "what authenticates the request: the signature, or an API key",
        ),
    ),
    (
        "x-security-token",
        ("signature", "the token of the temporary key; it is signed"),
    ),
    (
        "x-sdk-content-sha256",
        (
            "signature",
            "the body is not covered by the signature, since it is streamed",
        ),
    ),
    (
        "x-sdk-content-sm3",
        (
            "signature",
            "the body is not covered by the signature, since it is streamed",
        ),
    ),
    (
        "x-auth-token",
        ("token", "the token that authenticates the request"),
    ),
    (
        "x-apig-appcode",
        ("app code", "the app code that authenticates the request"),
    ),
    (
        "x-project-id",
        (
            "project",
            "the credential or the configuration names the project; it is signed",
        ),
    ),
    (
        "content-length",
        ("framing", "the proxy measures the body itself"),
    ),
    (
        "transfer-encoding",
        (
            "framing",
            "the length of the body is not known when it is sent",
        ),
    ),
    (
        "apig-proxy-hop",
        (
            "loop detection",
            "a request that comes back to the proxy is recognised by it",
        ),
    ),
    (
        "connection",
        ("websocket", "the connection becomes a WebSocket"),
    ),
    (
        "upgrade",
        ("websocket", "the connection becomes a WebSocket"),
    ),
    ("te", ("trailers", "the caller takes trailers")),
];

/// Why the proxy replaces a header of a response.
pub(super) const ANSWER_REWRITTEN: [(&str, Rule); 2] = [
    (
        "location",
        (
            "local address",
            "it leads to the upstream, so it becomes the address of the same thing at the proxy",
        ),
    ),
    (
        "set-cookie",
        (
            "local cookie",
            "a cookie of the gateway's domain or path becomes one of the proxy's",
        ),
    ),
];

/// Why the proxy adds a header to a response.
pub(super) const ANSWER_SET: [(&str, Rule); 8] = [
    (
        "x-apig-proxy-hint",
        ("hint", "the proxy says what is wrong and what to do"),
    ),
    ("date", ("date", "the gateway sent none")),
    (
        "connection",
        (
            "connection",
            "the connection of the caller ends with this response, or becomes a WebSocket",
        ),
    ),
    (
        "upgrade",
        ("websocket", "the connection becomes a WebSocket"),
    ),
    (
        "content-length",
        ("framing", "the length that the body would have"),
    ),
    ("trailer", ("trailers", "the caller takes trailers")),
    (
        "vary",
        (
            "listed page",
            "pages of `access.origins` may read the response",
        ),
    ),
    (
        "access-control-",
        (
            "listed page",
            "pages of `access.origins` may read the response",
        ),
    ),
];

/// One direction: how names are dropped, and why fields are replaced or set.
pub(super) struct Direction {
    pub(super) dropped: fn(&str) -> Option<Rule>,
    pub(super) rewritten: &'static [(&'static str, Rule)],
    pub(super) set: &'static [(&'static str, Rule)],
    /// The rule behind a field that is set and stands in no table.
    pub(super) other: Rule,
}

pub(super) const REQUEST: Direction = Direction {
    dropped: |name| match name {
        "expect" => Some(EXPECT),
        "x-project-id" => None,
        _ if !is_owned(name) => None,
        _ if SET
            .iter()
            .any(|(own, _)| folded(name.as_bytes()).eq(own.bytes())) =>
        {
            Some(OWNED)
        }
        _ => Some(FOR_GATEWAY),
    },
    rewritten: &REWRITTEN,
    set: &SET,
    other: BY_ROUTE,
};

pub(super) const ANSWER: Direction = Direction {
    dropped: |name| match name {
        "content-length" => Some(FRAMING),
        "content-encoding" => Some((
            "decoded",
            "the proxy decodes the body of a refusal to read it",
        )),
        "alt-svc" => Some((
            "alternative",
            "it would send the caller to the gateway, past the proxy",
        )),
        _ if is_for_caller(name) => None,
        _ => Some(OWNED),
    },
    rewritten: &ANSWER_REWRITTEN,
    set: &ANSWER_SET,
    other: REPLACED,
};
