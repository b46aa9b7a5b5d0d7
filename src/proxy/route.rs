//! Routing, the step after the guard: finds the route of a request, and checks what can be checked
//! of its head. No body is read.

use std::borrow::Cow;
use std::rc::Rc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, request};

use super::Settings;
use super::callers::rights::{self, Action};
use super::context::RequestContext;
use super::head_checks::{
    check_expectations, check_framing, check_method, check_upgrade, names_method, target,
};
use crate::config::{AuthMode, LargeBody, Methods, Route};
use crate::error::Error;
use crate::signature::{SignatureError, Target, normalize_target};

/// The longest request line that the gateway takes, in bytes (APIG, notes and constraints). As nginx
/// counts it, method, target, version, blanks and line end belong to it.
const MAX_REQUEST_LINE: usize = 32 * 1024;

/// A request whose head passed all checks.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) head: request::Parts,
    /// Index of the route.
    pub(super) route: usize,
    /// The target as it is sent.
    pub(super) target: PathAndQuery,
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

/// How a body is to be prepared.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyRules {
    /// Without a signature, nothing is hashed.
    pub(super) is_signed: bool,
    /// Longest body, in bytes.
    pub(super) limit: u64,
    /// What helps against the limit, other than a shorter body.
    pub(super) hint: &'static str,
}

impl BodyRules {
    /// The error of a longer body.
    pub(super) fn too_large(&self) -> Error {
        let Self { limit, hint, .. } = *self;
        Error::BodyTooLarge { limit, hint }
    }
}

/// Routes a request that the guard let through.
pub(super) fn route(
    settings: &Settings,
    head: request::Parts,
    context: &Rc<RequestContext>,
) -> Result<Routed, Error> {
    check_framing(&head)?;
    let hops = settings.proxy_id.next_hop(&head.headers)?;
    check_method(&settings.any_methods, &head.method)?;
    let target = target(&head, context.caller.listener.is_tls()).ok_or(SignatureError::NotAPath)?;
    let selected = context.selected_route();
    let target = with_prefix(settings, selected, normalize_target(&target))?;
    let is_websocket = check_upgrade(&head, context.length)?;
    check_expectations(&head.headers)?;
    let path = target.split('?').next().unwrap_or_default();
    let at = find_route(settings, selected, path)?;
    let route = settings.route(at);
    context.route.set(settings.route_states[at].label);
    let action = Action {
        method: &head.method,
        path,
        headers: &head.headers,
        is_websocket,
    };
    check_route(settings, route, &action)?;
    let rights = context.identified.get().map(|found| &found.caller.rights);
    let limits = [&settings.config.read_only, &route.read_only];
    rights::check(rights, limits, &action)?;
    let project_id = settings.credentials.project_id(at, &head.headers)?;
    let of_region = || route.service.as_ref()?.project_id.clone();
    let (slot, rules) = authentication(settings, at, context.length)?;
    Ok(Routed {
        project_id: project_id.or_else(of_region),
        target: outgoing_target(route, &head.method, &target)?,
        head,
        route: at,
        is_websocket,
        slot,
        rules,
        hops,
        context: Rc::clone(context),
    })
}

/// A target with the prefix of the selected route. Its callers leave the prefix out, but all checks
/// are for paths with it.
fn with_prefix<'t>(
    settings: &Settings,
    selected: Option<usize>,
    target: Cow<'t, str>,
) -> Result<Cow<'t, str>, Error> {
    let Some(at) = selected else {
        return Ok(target);
    };
    let route = settings.config.routes.get(at).ok_or(Error::NoRoute)?;
    Ok(format!("{}{target}", route.prefix).into())
}

/// The route of a path. One that is selected has to be that of the path too, in every reading, or
/// the limits of another route could be circumvented.
fn find_route(settings: &Settings, selected: Option<usize>, path: &str) -> Result<usize, Error> {
    let found = settings.route_matcher.find(path);
    let found = found.filter(|found| selected.is_none_or(|selected| selected == *found));
    // The route for everything else takes no service: its gateway has none.
    let is_own = found.is_some_and(|found| !settings.route(found).prefix.is_empty());
    if !is_own && let Some(error) = settings.guard.services.missing_in_path(path) {
        return Err(error.into());
    }
    found.ok_or(Error::NoRoute)
}

/// How a request authenticates: as its route says, or by a token if its body is too long to be
/// signed, or may be.
fn authentication(
    settings: &Settings,
    route: usize,
    declared: Option<u64>,
) -> Result<(usize, BodyRules), Error> {
    let (limits, slots) = (&settings.config.limits, settings.credentials.routes[route]);
    let Route {
        auth, large_body, ..
    } = settings.route(route);
    let is_long = match (declared, large_body) {
        (Some(length), _) => length > limits.body,
        (None, LargeBody::Token { unknown }) => *unknown,
        (None, LargeBody::Reject) => false,
    };
    let token = slots.token.filter(|_| is_long);
    let takes_large_body =
        token.is_some() || (auth.mode == AuthMode::Token && *large_body != LargeBody::Reject);
    let hint = match (auth.mode, large_body) {
        _ if takes_large_body => "raise `limits.large_body_max` if the gateway accepts more",
        (AuthMode::AkSk | AuthMode::Token, LargeBody::Reject) => {
            "set `limits.large_body = \"token\"` to send larger ones with a token"
        }
        (AuthMode::AkSk, LargeBody::Token { .. }) => {
            "declare its length, or set `large_body = \"token\"` in the `[[route]]`"
        }
        _ => "raise `limits.body` if the gateway accepts more",
    };
    let large = limits.large_body.max(limits.body);
    let rules = BodyRules {
        is_signed: token.is_none() && auth.mode == AuthMode::AkSk,
        limit: if takes_large_body { large } else { limits.body },
        hint,
    };
    if declared.is_some_and(|length| length > rules.limit) {
        return Err(rules.too_large());
    }
    Ok((token.unwrap_or(slots.main), rules))
}

/// Checks the methods and paths of a route. A path that it does not allow has no route.
fn check_route(settings: &Settings, route: &Route, action: &Action<'_>) -> Result<(), Error> {
    let mut paths = route.paths.iter().flatten();
    if route.paths.is_some() && !paths.any(|rule| rule.matches(action.path)) {
        return Err(Error::NoRoute);
    }
    if route.service.is_none() || route.methods.is_none() {
        check_method(&settings.config.methods, action.method)?;
    }
    match &route.methods {
        // The methods of services are those of their APIs; only the route to IAM is limited by them, and
        // has paths.
        Some(methods @ Methods::Only(_))
            if (route.service.is_none() || route.paths.is_some())
                && names_method(action.headers) =>
        {
            let allow = methods.names();
            Err(Error::MethodNotAllowed { allow })
        }
        Some(methods) => check_method(methods, action.method),
        None => Ok(()),
    }
}

/// The target with the prefix of the route replaced by the path of the upstream, whose own spelling
/// decides about a slash at the end of a request for nothing below it.
fn outgoing_target(route: &Route, method: &Method, target: &str) -> Result<PathAndQuery, Error> {
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
    if method.as_str().len() + outgoing.len() + "  HTTP/1.1\r\n".len() > MAX_REQUEST_LINE {
        return Err(Error::TargetTooLong);
    }
    PathAndQuery::try_from(outgoing).map_err(|_| SignatureError::RawByte.into())
}

#[cfg(test)]
mod tests {
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
            let outgoing = outgoing_target(&route, &Method::GET, target).unwrap();
            assert_eq!(outgoing, expected);
        }
    }
}
