//! First step: who sent the request, where it goes, and whether it is within the limits. No body is read.

use std::borrow::Cow;
use std::rc::Rc;

use http::Method;

use super::Settings;
use super::loop_detection::{self, HOP_HEADER};
use super::message::{Observed, Request};
use super::reply::Reply;
use crate::config::{AuthMode, LargeBody, Methods, Route};
use crate::error::Error;
use crate::guard::Visitor;
use crate::http1::{Fields, Incoming, RequestHead, Version};
use crate::signature::{SignatureError, Target, respell_query};
use crate::telemetry::metrics::Flight;

/// Longest target that the gateway takes, in bytes (APIG, notes and constraints).
const TARGET: usize = 32 * 1024;

/// A request that may be forwarded, as far as can be told from its head.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    pub(super) head: RequestHead,
    pub(super) body: Incoming,
    /// The target as it goes out.
    pub(super) target: String,
    /// Whether it is the handshake of a WebSocket.
    pub(super) is_websocket: bool,
    pub(super) via: Via,
    /// The value of `apig-proxy-hop` as it goes out.
    pub(super) hops: Cow<'a, [u8]>,
    pub(super) reply: Reply,
}

/// How a request shows whose it is, and what follows for its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Via {
    /// What it shows: a slot of the keyring.
    pub(super) slot: usize,
    /// Whether it is signed. If not, nothing is hashed.
    pub(super) is_signed: bool,
    /// Longest body.
    pub(super) limit: u64,
}

/// Admits a request.
///
/// # Errors
///
/// Any of the caller's errors that can be told from the head.
pub(super) fn admit(settings: &Settings, observed: Observed) -> Result<Admitted<'_>, Error> {
    let Observed { request, flight } = observed;
    let Request {
        head,
        body,
        listener,
    } = request;
    let (authority, target) = split_target(head.target(), listener.is_tls());
    let visitor = settings.guard.check(listener, authority, &head)?;
    let hops = loop_detection::next_hop(&settings.proxy_id, head.fields.all(HOP_HEADER))?;
    check_method(&settings.methods, head.method())?;
    let target = target.ok_or(SignatureError::NotAPath)?;
    if target.len() > TARGET {
        return Err(Error::TargetTooLong);
    }
    let is_websocket = check_upgrade(&head, &body)?;
    check_expectations(&head.fields)?;
    let path = target.split('?').next().unwrap_or_default();
    let route = settings.route_matcher.find(&settings.routes, path);
    let route = route.ok_or(Error::NoRoute)?;
    flight.on_route(settings.counted_as[route]);
    check_route(&settings.routes[route], head.method(), path)?;
    let via = via(settings, route, &body)?;
    let target = outgoing_target(&settings.routes[route], target)?;
    let mut reply = reply(&head, &body, &visitor, route, flight);
    reply.is_secure = listener.is_tls();
    Ok(Admitted {
        target,
        is_websocket,
        via,
        hops,
        reply,
        body,
        head,
    })
}

fn reply(
    head: &RequestHead,
    body: &Incoming,
    visitor: &Visitor<'_>,
    route: usize,
    flight: Rc<Flight>,
) -> Reply {
    Reply {
        route,
        host: visitor.host.to_owned(),
        is_secure: false,
        origin: visitor.origin.map(str::to_owned),
        to_head: head.method() == "HEAD",
        takes_trailers: head.fields.lists("te", "trailers"),
        // An HTTP/1.0 caller does not know interim answers.
        interim: (head.version == Version::Http11).then(|| body.interim()),
        flight,
    }
}

/// Authority and path of an absolute target, or the path alone. No path if it is of another form, or has
/// another scheme than the connection.
pub(crate) fn split_target(target: &str, is_secure: bool) -> (Option<&str>, Option<&str>) {
    if target.starts_with('/') {
        return (None, Some(target));
    }
    let scheme = if is_secure { "https://" } else { "http://" };
    let start = target.get(..scheme.len());
    if !start.is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
        return (None, None);
    }
    let rest = &target[scheme.len()..];
    match rest.find(['/', '?', '#']) {
        Some(end) if rest[end..].starts_with('/') => (Some(&rest[..end]), Some(&rest[end..])),
        Some(end) => (Some(&rest[..end]), None),
        None => (Some(rest), Some("/")),
    }
}

fn check_method(methods: &Methods, method: &str) -> Result<(), Error> {
    let is_allowed = match methods {
        Methods::Only(methods) => methods.iter().any(|allowed| allowed.as_str() == method),
        // A tunnel would let the caller choose the destination.
        Methods::Any => method != Method::CONNECT.as_str(),
    };
    if !is_allowed {
        return Err(Error::MethodNotAllowed {
            allow: methods.names(),
        });
    }
    // SDKs differ in whether they sign others in capitals or as they are.
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Error::BadRequest(
            "the method is not written in capital letters",
        ));
    }
    Ok(())
}

/// Whether a WebSocket is asked for. Other protocols are refused; only h2c is passed over, since a
/// server may ignore it (RFC 9110 §7.8).
fn check_upgrade(head: &RequestHead, body: &Incoming) -> Result<bool, Error> {
    let is_h2c = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"h2c");
    let mut protocols = head.fields.elements("upgrade").filter(|p| !is_h2c(p));
    let Some(protocol) = protocols.next() else {
        return Ok(false);
    };
    if !head.fields.lists("connection", "upgrade") || head.version == Version::Http10 {
        return Ok(false);
    }
    if !protocol.eq_ignore_ascii_case(b"websocket") || protocols.next().is_some() {
        return Err(Error::UpgradeNotSupported);
    }
    if head.method() != "GET" || body.declared() != Some(0) {
        return Err(Error::BadRequest(
            "a WebSocket begins with a GET without a body",
        ));
    }
    Ok(true)
}

fn check_expectations(fields: &Fields) -> Result<(), Error> {
    let is_known = |expected: &[u8]| expected.eq_ignore_ascii_case(b"100-continue");
    if fields.elements("expect").all(is_known) {
        Ok(())
    } else {
        Err(Error::ExpectationFailed)
    }
}

/// How a request shows whose it is: the way of its route, or by a token if its body is too long for a
/// signature, or may be.
fn via(settings: &Settings, route: usize, body: &Incoming) -> Result<Via, Error> {
    let (limits, slots) = (&settings.limits, settings.keyring.of_route(route));
    let Route {
        auth, large_body, ..
    } = &settings.routes[route];
    let is_signed = auth.mode == AuthMode::AkSk;
    let with_token = |slot| Via {
        slot,
        is_signed: false,
        limit: limits.large_body.max(limits.body),
    };
    let plain = match (large_body, auth.mode) {
        (LargeBody::Token { .. }, AuthMode::Token) => with_token(slots.main),
        _ => Via {
            slot: slots.main,
            is_signed,
            limit: limits.body,
        },
    };
    let is_long = match (body.declared(), large_body) {
        (Some(length), _) => length > limits.body,
        (None, LargeBody::Token { unknown }) => *unknown,
        (None, LargeBody::Reject) => false,
    };
    let via = match slots.token {
        Some(slot) if is_long => with_token(slot),
        _ => plain,
    };
    if body.declared().is_some_and(|length| length > via.limit) {
        return Err(Error::BodyTooLarge { limit: via.limit });
    }
    Ok(via)
}

/// Whether a route allows a request: a path that it does not allow is one that it does not take.
fn check_route(route: &Route, method: &str, path: &str) -> Result<(), Error> {
    if let Some(paths) = &route.paths
        && !paths.iter().any(|rule| rule.allows(path))
    {
        return Err(Error::NoRoute);
    }
    match &route.methods {
        Some(methods) => check_method(methods, method),
        None => Ok(()),
    }
}

/// The target with the route's prefix replaced by the upstream's path, and the query respelt.
fn outgoing_target(route: &Route, target: &str) -> Result<String, Error> {
    let parsed = Target::parse(target)?;
    let rest = &parsed.path()[route.prefix.len()..];
    let base_path = route.upstream.base_path.as_str();
    let mut outgoing = String::with_capacity(base_path.len() + target.len() + 8);
    outgoing.extend([base_path, rest]);
    if outgoing.is_empty() {
        outgoing.push('/');
    }
    if let Some(query) = parsed.query() {
        outgoing.extend(["?", &respell_query(query)]);
    }
    Ok(outgoing)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::{Auth, Scheme, UpstreamUrl};

    fn route(prefix: &str, base_path: &str) -> Route {
        let upstream = UpstreamUrl {
            scheme: Scheme::Https,
            host: "gateway.example".to_owned(),
            port: 443,
            authority: HeaderValue::from_static("gateway.example"),
            base_path: base_path.to_owned(),
        };
        Route {
            prefix: prefix.to_owned(),
            upstream,
            stage: HeaderValue::from_static("RELEASE"),
            methods: None,
            paths: None,
            egress: None,
            auth: Auth::default(),
            large_body: LargeBody::Reject,
        }
    }

    #[test]
    fn the_prefix_is_replaced_by_the_upstream_s_path() {
        let cases = [
            (
                "/flowers",
                "/v1/infers/x",
                "/flowers/a%2Fb?q=1",
                "/v1/infers/x/a%2Fb?q=1",
            ),
            ("/flowers", "/v1/infers/x", "/flowers", "/v1/infers/x"),
            ("/flowers", "/v1/infers/x", "/flowers/", "/v1/infers/x/"),
            ("/flowers", "", "/flowers?a", "/?a"),
            ("", "/base", "/", "/base/"),
            ("", "", "/a//b/?", "/a//b/?"),
            ("", "", "/a?b=x+y;z", "/a?b=x%20y%3Bz"),
        ];
        for (prefix, base, target, expected) in cases {
            assert_eq!(
                outgoing_target(&route(prefix, base), target).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn only_paths_and_absolute_http_targets_have_a_path() {
        for (target, expected) in [
            ("/a?b", (None, Some("/a?b"))),
            ("//a/b", (None, Some("//a/b"))),
            ("http://h:1/a?b", (Some("h:1"), Some("/a?b"))),
            ("HTTP://h", (Some("h"), Some("/"))),
            ("http://h?b", (Some("h"), None)),
            ("https://h/a", (None, None)),
            ("*", (None, None)),
            ("h:443", (None, None)),
            ("a/b", (None, None)),
        ] {
            assert_eq!(split_target(target, false), expected, "{target}");
        }
        assert_eq!(split_target("https://h/a", true), (Some("h"), Some("/a")));
        assert_eq!(split_target("http://h/a", true), (None, None));
    }
}
