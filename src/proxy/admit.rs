//! First step: who sent the request, where it goes, and whether it is within the limits. No body is read.

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request};
use hyper::body::{Body, Incoming};

use super::{Settings, head};
use crate::config::{Methods, Route};
use crate::error::Error;
use crate::signature::{SignatureError, Target, respell_query};

/// Longest target that the gateway takes, in bytes (APIG, notes and constraints).
const TARGET: usize = 32 * 1024;

/// A request that may be forwarded, as far as can be told from its head.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) parts: Parts,
    pub(super) body: Incoming,
    /// Index of its route.
    pub(super) route: usize,
    /// The `Host` by which the caller called.
    pub(super) host: HeaderValue,
    /// The target as it goes out.
    pub(super) target: PathAndQuery,
}

/// Admits a request.
///
/// # Errors
///
/// Any of the caller's errors that can be told from the head.
pub(super) fn admit(settings: &Settings, request: Request<Incoming>) -> Result<Admitted, Error> {
    let (parts, body) = request.into_parts();
    settings.guard.check(&parts.uri, &parts.headers)?;
    check_method(&settings.methods, &parts.method)?;
    check_upgrade(&parts.headers)?;
    let target = parts
        .uri
        .path_and_query()
        .ok_or(Error::BadRequest("the target has no path"))?;
    if target.as_str().len() > TARGET {
        return Err(Error::TargetTooLong);
    }
    if !target.as_str().starts_with('/') {
        return Err(SignatureError::NotAPath.into());
    }
    let route = find_route(&settings.routes, target.path()).ok_or(Error::NoRoute)?;
    check_length(&body, settings.limits.body)?;
    let target = outgoing_target(&settings.routes[route], target)?;
    let host = parts.headers[HOST].clone();
    Ok(Admitted {
        parts,
        body,
        route,
        host,
        target,
    })
}

fn check_method(methods: &Methods, method: &Method) -> Result<(), Error> {
    let any = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    // SDKs differ in whether they sign others in capitals or as they are.
    let is_capital = |byte: u8| !byte.is_ascii_lowercase();
    let allowed: &[Method] = match methods {
        Methods::Only(methods) if !methods.contains(method) => methods,
        // A tunnel would let the caller choose the destination.
        Methods::Any if *method == Method::CONNECT => &any,
        Methods::Any if !method.as_str().bytes().all(is_capital) => {
            return Err(Error::BadRequest(
                "the method is not written in capital letters",
            ));
        }
        Methods::Any | Methods::Only(_) => return Ok(()),
    };
    let allow: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    Err(Error::MethodNotAllowed {
        allow: allow.join(", "),
    })
}

/// Refuses a change of protocol; only h2c is passed over, since a server may ignore it (RFC 9110 §7.8).
fn check_upgrade(headers: &HeaderMap) -> Result<(), Error> {
    let wanted =
        head::elements(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let foreign =
        head::elements(headers, &UPGRADE).any(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"));
    if wanted && foreign {
        Err(Error::UpgradeNotSupported)
    } else {
        Ok(())
    }
}

fn check_length(body: &Incoming, limit: u64) -> Result<(), Error> {
    if body
        .size_hint()
        .exact()
        .is_some_and(|length| length > limit)
    {
        return Err(Error::BodyTooLarge { limit });
    }
    Ok(())
}

/// The first route whose prefix the path has; they are sorted by length.
fn find_route(routes: &[Route], path: &str) -> Option<usize> {
    routes.iter().position(|route| {
        path.strip_prefix(route.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The target with the route's prefix replaced by the upstream's path, and the query respelt.
fn outgoing_target(route: &Route, target: &PathAndQuery) -> Result<PathAndQuery, Error> {
    Target::parse(target.as_str())?;
    let query = target.query().map(respell_query);
    let respelt = matches!(query, Some(std::borrow::Cow::Owned(_)));
    if !respelt && route.prefix.is_empty() && route.upstream.base_path.is_empty() {
        return Ok(target.clone());
    }
    let rest = &target.path()[route.prefix.len()..];
    let mut text =
        String::with_capacity(route.upstream.base_path.len() + target.as_str().len() + 8);
    text.extend([route.upstream.base_path.as_str(), rest]);
    if text.is_empty() {
        text.push('/');
    }
    if let Some(query) = query {
        text.extend(["?", &query]);
    }
    // Joining two good halves may make a dot segment or pass the limit of the parser.
    PathAndQuery::try_from(text).map_err(|_| Error::BadRequest("the target cannot be forwarded"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Scheme, UpstreamUrl};

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
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let routes = [
            route("/flowers/red", ""),
            route("/flowers", ""),
            route("", ""),
        ];
        for (path, expected) in [
            ("/flowers/red", 0),
            ("/flowers/red/1", 0),
            ("/flowers/redder", 1),
            ("/flowers", 1),
            ("/flowersx", 2),
            ("/", 2),
        ] {
            assert_eq!(find_route(&routes, path), Some(expected), "{path}");
        }
        assert_eq!(find_route(&routes[..2], "/trees"), None);
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
            let target = PathAndQuery::from_static(target);
            assert_eq!(
                outgoing_target(&route(prefix, base), &target)
                    .unwrap()
                    .as_str(),
                expected
            );
        }
    }
}
