//! Routing, the step after the guard: finds the route of a request, and checks what can be checked
//! of its head. No body is read.

use std::borrow::Cow;
use std::rc::Rc;

use http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version, request};

use super::Settings;
use super::body::BodyRules;
use super::callers::rights::{self, Action};
use super::context::RequestContext;
use super::headers;
use crate::config::{AuthMode, LargeBody, Methods, Route};
use crate::error::Error;
use crate::signature::{SignatureError, Target, normalize_target};

/// The longest request line that the gateway takes, in bytes (APIG, notes and constraints). As nginx
/// counts it, method, target, version, blanks and line end belong to it.
const MAX_REQUEST_LINE: usize = 32 * 1024;

/// The most fields of an HTTP/2 head. hyper has the same limit for HTTP/1.1.
const MAX_FIELDS: usize = 100;

/// A request whose head passed all checks.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) head: request::Parts,
    /// Index of the route.
    pub(super) route: usize,
    /// The target as it is sent.
    pub(super) target: String,
    /// True for the handshake of a WebSocket.
    pub(super) is_websocket: bool,
    /// The slot of the route credentials that authenticates the request.
    pub(super) slot: usize,
    pub(super) rules: BodyRules,
    /// The caller's `X-Project-Id`, if the route takes it.
    pub(super) project_id: Option<HeaderValue>,
    /// The value of `apig-proxy-hop` as it is sent.
    pub(super) hops: HeaderValue,
    pub(super) context: Rc<RequestContext>,
}

/// Routes a request that the guard let through. `declared` is the length of its body, if known.
///
/// # Errors
///
/// Any of the caller's errors that show in the head.
pub(super) fn route(
    settings: &Settings,
    head: request::Parts,
    declared: Option<u64>,
    context: &Rc<RequestContext>,
) -> Result<Routed, Error> {
    check_framing(&head)?;
    let hops = settings.proxy_id.next_hop(&head.headers)?;
    check_method(&settings.any_methods, &head.method)?;
    let target = target(&head, context.caller.listener.is_tls()).ok_or(SignatureError::NotAPath)?;
    let target = normalize_target(&target);
    let selected = context.selected_route();
    let target = with_prefix(settings, selected, target)?;
    let is_websocket = check_upgrade(&head, declared)?;
    check_expectations(&head.headers)?;
    let path = target.split('?').next().unwrap_or_default();
    let route = find_route(settings, selected, path)?;
    context.routed(settings.route_labels[route]);
    check_route(settings, route, &head.method, path)?;
    let action = Action {
        method: &head.method,
        path,
        headers: &head.headers,
        is_websocket,
    };
    let rights = context.identified.get().map(|found| &found.caller.rights);
    let limits = [&settings.read_only, &settings.routes[route].read_only];
    rights::check(rights, limits, &action)?;
    let project_id = settings.credentials.project_id(route, &head.headers)?;
    let of_region = || settings.routes[route].service.as_ref()?.project_id.clone();
    let project_id = project_id.or_else(of_region);
    let (slot, rules) = authentication(settings, route, declared)?;
    let target = outgoing_target(&settings.routes[route], &target)?;
    if head.method.as_str().len() + target.len() + "  HTTP/1.1\r\n".len() > MAX_REQUEST_LINE {
        return Err(Error::TargetTooLong);
    }
    Ok(Routed {
        head,
        route,
        target,
        is_websocket,
        slot,
        rules,
        project_id,
        hops,
        context: Rc::clone(context),
    })
}

/// The target with the prefix of the route that is selected otherwise, so that all checks are those
/// of a target with it.
fn with_prefix<'a>(
    settings: &Settings,
    selected: Option<usize>,
    target: Cow<'a, str>,
) -> Result<Cow<'a, str>, Error> {
    let Some(at) = selected else {
        return Ok(target);
    };
    let route = settings.routes.get(at).ok_or(Error::NoRoute)?;
    Ok(format!("{}{target}", route.prefix).into())
}

/// The route of a path. One that is selected has to be that of the path too, in every reading, or
/// the limits of another route could be circumvented.
fn find_route(settings: &Settings, selected: Option<usize>, path: &str) -> Result<usize, Error> {
    let found = settings.route_matcher.find(path);
    let found = found.filter(|found| selected.is_none_or(|selected| selected == *found));
    // The route for everything else takes no service: its gateway has none.
    let is_own = found.is_some_and(|found| !settings.routes[found].prefix.is_empty());
    if !is_own && let Some(error) = settings.guard.services().missing_in_path(path) {
        return Err(error.into());
    }
    found.ok_or(Error::NoRoute)
}

/// hyper takes any transfer codings that end in `chunked` but decodes `chunked` only, so the body
/// would still be encoded.
fn check_framing(head: &request::Parts) -> Result<(), Error> {
    if head.version == Version::HTTP_2 && head.headers.len() > MAX_FIELDS {
        return Err(Error::HeaderTooLarge);
    }
    let codings = head.headers.get_all(TRANSFER_ENCODING);
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.iter().count() > 1 || !codings.iter().all(is_chunked) {
        return Err(Error::BadRequest(
            "the only supported Transfer-Encoding is one `chunked`",
        ));
    }
    Ok(())
}

/// Path and query; `None` if the target has another form, or another scheme than the connection.
fn target(head: &request::Parts, is_tls: bool) -> Option<Cow<'_, str>> {
    let uri = &head.uri;
    let is_other_scheme = match uri.scheme_str() {
        // Over HTTP/2 every target is absolute, and the scheme need not be that of the connection.
        _ if head.version == Version::HTTP_2 => false,
        Some(scheme) => scheme != if is_tls { "https" } else { "http" },
        None => uri.authority().is_some(),
    };
    let target = uri.path_and_query()?.as_str();
    match target.as_bytes().first() {
        _ if is_other_scheme => None,
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
    let mut letters = method.as_str().bytes();
    if letters.any(|byte| byte.is_ascii_lowercase()) {
        let error = "the method is not written in capital letters";
        return Err(Error::BadRequest(error));
    }
    Ok(())
}

/// Returns true for the handshake of a WebSocket. Other protocols are refused, except that `h2c` is
/// ignored, as a server may (RFC 9110 §7.8).
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

/// How a request authenticates: as its route says, or by a token if its body is too long to be
/// signed, or may be.
fn authentication(
    settings: &Settings,
    route: usize,
    declared: Option<u64>,
) -> Result<(usize, BodyRules), Error> {
    let (limits, slots) = (&settings.limits, settings.credentials.of_route(route));
    let Route {
        auth, large_body, ..
    } = &settings.routes[route];
    let is_long = match (declared, large_body) {
        (Some(length), _) => length > limits.body,
        (None, LargeBody::Token { unknown }) => *unknown,
        (None, LargeBody::Reject) => false,
    };
    let token = slots.token.filter(|_| is_long);
    let takes_large_body =
        token.is_some() || (auth.mode == AuthMode::Token && *large_body != LargeBody::Reject);
    let rules = BodyRules {
        is_signed: token.is_none() && auth.mode == AuthMode::AkSk,
        limit: if takes_large_body {
            limits.large_body.max(limits.body)
        } else {
            limits.body
        },
        hint: match (auth.mode, large_body) {
            _ if takes_large_body => "raise `limits.large_body_max` if the gateway accepts more",
            (AuthMode::AkSk | AuthMode::Token, LargeBody::Reject) => {
                "set `limits.large_body = \"token\"` to send larger ones with a token"
            }
            (AuthMode::AkSk, LargeBody::Token { .. }) => {
                "declare its length, or set `large_body = \"token\"` in the `[[route]]`"
            }
            _ => "raise `limits.body` if the gateway accepts more",
        },
    };
    if declared.is_some_and(|length| length > rules.limit) {
        return Err(rules.too_large());
    }
    Ok((token.unwrap_or(slots.main), rules))
}

/// Checks the methods and paths of a route. A path that it does not allow has no route.
fn check_route(
    settings: &Settings,
    route: usize,
    method: &Method,
    path: &str,
) -> Result<(), Error> {
    let route = &settings.routes[route];
    if let Some(paths) = &route.paths
        && !paths.iter().any(|rule| rule.allows(path))
    {
        return Err(Error::NoRoute);
    }
    if route.service.is_none() || route.methods.is_none() {
        check_method(&settings.methods, method)?;
    }
    match &route.methods {
        Some(methods) => check_method(methods, method),
        None => Ok(()),
    }
}

/// The target with the prefix of the route replaced by the path of the upstream, whose own spelling
/// decides about a slash at the end of a request for nothing below it.
fn outgoing_target(route: &Route, target: &str) -> Result<String, Error> {
    let parsed = Target::parse(target)?;
    let rest = &parsed.path()[route.prefix.len()..];
    let base_path = route.upstream.base_path.as_str();
    let rest = match rest {
        "" | "/" if base_path.is_empty() || route.upstream.ends_with_slash => "/",
        "" | "/" => "",
        rest => rest,
    };
    let mut outgoing = String::with_capacity(base_path.len() + target.len() + 1);
    outgoing.extend([base_path, rest]);
    if let Some(query) = parsed.query() {
        outgoing.extend(["?", query]);
    }
    Ok(outgoing)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::with_upstream;

    #[test]
    fn the_prefix_is_replaced_by_the_path_of_the_upstream() {
        for (prefix, base_path, target, expected) in [
            ("/flowers", "/v1/x", "/flowers/a%2Fb?q=1", "/v1/x/a%2Fb?q=1"),
            ("/flowers", "/v1/x", "/flowers", "/v1/x"),
            ("/flowers", "/v1/x", "/flowers/", "/v1/x"),
            ("/flowers", "/v1/x/", "/flowers/?q", "/v1/x/?q"),
            ("/flowers", "/v1/x/", "/flowers", "/v1/x/"),
            ("/flowers", "/v1/x/", "/flowers/a/", "/v1/x/a/"),
            ("/flowers", "", "/flowers?a", "/?a"),
            ("", "/base", "/", "/base"),
            ("", "/base/", "/", "/base/"),
            ("", "", "/a//b/?", "/a//b/?"),
        ] {
            let config = with_upstream(&format!("https://gateway.example{base_path}"));
            let mut route = config.unwrap().routes.remove(0);
            route.prefix = prefix.to_owned();
            assert_eq!(outgoing_target(&route, target).unwrap(), expected);
        }
    }

    #[test]
    fn only_paths_and_absolute_targets_of_the_right_scheme_have_a_path() {
        for (uri, version, is_tls, expected) in [
            ("/a?b", Version::HTTP_11, false, Some("/a?b")),
            ("//a/b", Version::HTTP_11, false, Some("//a/b")),
            ("http://h:1/a?b", Version::HTTP_11, false, Some("/a?b")),
            ("HTTP://h", Version::HTTP_11, false, Some("/")),
            ("http://h?b", Version::HTTP_11, false, Some("/?b")),
            ("https://h/a", Version::HTTP_11, false, None),
            ("*", Version::HTTP_11, false, None),
            ("h:443", Version::HTTP_11, false, None),
            ("https://h/a", Version::HTTP_11, true, Some("/a")),
            ("http://h/a", Version::HTTP_11, true, None),
            ("https://h/a", Version::HTTP_2, false, Some("/a")),
        ] {
            let request = Request::builder().uri(uri).version(version).body(());
            let (head, ()) = request.unwrap().into_parts();
            assert_eq!(
                target(&head, is_tls).as_deref(),
                expected,
                "{uri} {version:?}"
            );
        }
    }
}
