//! First step after the guard: which route takes a request, and whether it is within the limits that can be
//! told from its head. No body is read.

mod matcher;

use std::borrow::Cow;
use std::rc::Rc;

use http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version, request};

pub(super) use matcher::RouteMatcher;

use super::Settings;
use super::body::BodyRules;
use super::context::RequestContext;
use super::headers;
use super::loop_detection;
use crate::config::{AuthMode, LargeBody, Methods, Route};
use crate::error::Error;
use crate::signature::{SignatureError, Target, respell_query};

/// Longest target that the gateway takes, in bytes (APIG, notes and constraints).
const TARGET: usize = 32 * 1024;

/// The most fields of an HTTP/2 head; over HTTP/1.1, hyper has the same limit.
const FIELDS: usize = 100;

/// A request that may be forwarded, as far as can be told from its head.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) head: request::Parts,
    /// Index of the route.
    pub(super) route: usize,
    /// The target as it goes out.
    pub(super) target: String,
    /// Whether it is the handshake of a WebSocket.
    pub(super) is_websocket: bool,
    /// How the request authenticates: a slot of the route credentials.
    pub(super) slot: usize,
    pub(super) rules: BodyRules,
    /// The value of `apig-proxy-hop` as it goes out.
    pub(super) hops: HeaderValue,
    pub(super) context: Rc<RequestContext>,
}

/// Finds the route of a request that the guard let through. `declared` is the length of its body, if the caller
/// says it.
///
/// # Errors
///
/// Any of the caller's errors that can be told from the head.
pub(super) fn route(
    settings: &Settings,
    head: request::Parts,
    declared: Option<u64>,
    context: &Rc<RequestContext>,
) -> Result<Routed, Error> {
    check_framing(&head)?;
    let hops = loop_detection::next_hop(&settings.proxy_id, &head.headers)?;
    check_method(&settings.methods, &head.method)?;
    let target =
        target(&head, context.caller.listener().is_tls()).ok_or(SignatureError::NotAPath)?;
    if target.len() > TARGET {
        return Err(Error::TargetTooLong);
    }
    let is_websocket = check_upgrade(&head, declared)?;
    check_expectations(&head.headers)?;
    let path = target.split('?').next().unwrap_or_default();
    let route = settings.route_matcher.find(&settings.routes, path);
    let route = route.ok_or(Error::NoRoute)?;
    context.routed(settings.route_labels[route]);
    check_route(&settings.routes[route], &head.method, path)?;
    let (slot, rules) = authentication(settings, route, declared)?;
    let target = outgoing_target(&settings.routes[route], &target)?;
    Ok(Routed {
        head,
        route,
        target,
        is_websocket,
        slot,
        rules,
        hops,
        context: Rc::clone(context),
    })
}

/// hyper takes any transfer coding that ends in `chunked`, and decodes that one only, so that the body would
/// not be what it seems.
fn check_framing(head: &request::Parts) -> Result<(), Error> {
    if head.version == Version::HTTP_2 && head.headers.len() > FIELDS {
        return Err(Error::HeaderTooLarge);
    }
    let codings = head.headers.get_all(TRANSFER_ENCODING);
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.iter().count() > 1 || !codings.iter().all(is_chunked) {
        return Err(Error::BadRequest(
            "Transfer-Encoding has to be there once, and to be chunked",
        ));
    }
    Ok(())
}

/// Path and query; `None` if the target is of another form, or names another scheme than the connection.
pub(crate) fn target(head: &request::Parts, is_tls: bool) -> Option<Cow<'_, str>> {
    let uri = &head.uri;
    let scheme = if is_tls { "https" } else { "http" };
    // Over HTTP/2 every target is absolute, and the scheme says nothing of the connection.
    let is_scheme = head.version == Version::HTTP_2
        || match uri.scheme_str() {
            Some(own) => own == scheme,
            None => uri.authority().is_none(),
        };
    let target = uri.path_and_query()?.as_str();
    match target.as_bytes().first() {
        _ if !is_scheme => None,
        Some(b'/') => Some(target.into()),
        // Of an absolute URL, the path may be missing.
        Some(b'?') => Some(format!("/{target}").into()),
        _ => None,
    }
}

fn check_method(methods: &Methods, method: &Method) -> Result<(), Error> {
    let is_allowed = match methods {
        Methods::Only(methods) => methods.contains(method),
        // A tunnel would let the caller choose the destination.
        Methods::Any => *method != Method::CONNECT,
    };
    if !is_allowed {
        return Err(Error::MethodNotAllowed {
            allow: methods.names(),
        });
    }
    // SDKs differ in whether they sign others in capitals or as they are.
    if method
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_lowercase())
    {
        return Err(Error::BadRequest(
            "the method is not written in capital letters",
        ));
    }
    Ok(())
}

/// Whether a WebSocket is asked for. Other protocols are refused, but `h2c` is ignored, as a server may
/// (RFC 9110 §7.8).
fn check_upgrade(head: &request::Parts, declared: Option<u64>) -> Result<bool, Error> {
    let is_h2c = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"h2c");
    let mut protocols = headers::elements(&head.headers, &UPGRADE).filter(|p| !is_h2c(p));
    let Some(protocol) = protocols.next() else {
        return Ok(false);
    };
    let is_asked = headers::lists(&head.headers, &CONNECTION, "upgrade");
    if !is_asked || head.version != Version::HTTP_11 {
        return Ok(false);
    }
    if !protocol.eq_ignore_ascii_case(b"websocket") || protocols.next().is_some() {
        return Err(Error::UpgradeNotSupported);
    }
    if head.method != Method::GET || declared != Some(0) {
        return Err(Error::BadRequest(
            "a WebSocket begins with a GET without a body",
        ));
    }
    Ok(true)
}

fn check_expectations(headers: &HeaderMap) -> Result<(), Error> {
    let is_known = |expected: &[u8]| expected.eq_ignore_ascii_case(b"100-continue");
    if headers::elements(headers, &EXPECT).all(is_known) {
        Ok(())
    } else {
        Err(Error::ExpectationFailed)
    }
}

/// How a request authenticates: as its route says, or by a token if its body is too long for a signature, or
/// may be.
fn authentication(
    settings: &Settings,
    route: usize,
    declared: Option<u64>,
) -> Result<(usize, BodyRules), Error> {
    let (limits, slots) = (&settings.limits, settings.credentials.of_route(route));
    let Route {
        auth, large_body, ..
    } = &settings.routes[route];
    let with_token = |slot| {
        let rules = BodyRules {
            is_signed: false,
            limit: limits.large_body.max(limits.body),
        };
        (slot, rules)
    };
    let plain = match (large_body, auth.mode) {
        (LargeBody::Token { .. }, AuthMode::Token) => with_token(slots.main),
        _ => {
            let rules = BodyRules {
                is_signed: auth.mode == AuthMode::AkSk,
                limit: limits.body,
            };
            (slots.main, rules)
        }
    };
    let is_long = match (declared, large_body) {
        (Some(length), _) => length > limits.body,
        (None, LargeBody::Token { unknown }) => *unknown,
        (None, LargeBody::Reject) => false,
    };
    let (slot, rules) = match slots.token {
        Some(slot) if is_long => with_token(slot),
        _ => plain,
    };
    if declared.is_some_and(|length| length > rules.limit) {
        return Err(Error::BodyTooLarge { limit: rules.limit });
    }
    Ok((slot, rules))
}

/// Whether a route allows a request: a path that it does not allow is one that it does not take.
fn check_route(route: &Route, method: &Method, path: &str) -> Result<(), Error> {
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

/// The target with the route's prefix replaced by the upstream's path, and the query normalized.
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
    use http::Request;

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
        let path = |uri: &str, version: Version, is_tls: bool| {
            let request = Request::builder().uri(uri).version(version).body(());
            let (head, ()) = request.unwrap().into_parts();
            target(&head, is_tls).map(Cow::into_owned)
        };
        for (uri, expected) in [
            ("/a?b", Some("/a?b")),
            ("//a/b", Some("//a/b")),
            ("http://h:1/a?b", Some("/a?b")),
            ("HTTP://h", Some("/")),
            ("http://h?b", Some("/?b")),
            ("https://h/a", None),
            ("*", None),
            ("h:443", None),
        ] {
            assert_eq!(
                path(uri, Version::HTTP_11, false).as_deref(),
                expected,
                "{uri}"
            );
        }
        assert_eq!(
            path("https://h/a", Version::HTTP_11, true).as_deref(),
            Some("/a")
        );
        assert_eq!(path("http://h/a", Version::HTTP_11, true), None);
        assert_eq!(
            path("https://h/a", Version::HTTP_2, false).as_deref(),
            Some("/a")
        );
    }
}
