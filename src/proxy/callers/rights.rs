//! What a request may do: the rights of its caller, and `read_only` of the configuration and the
//! route.
//!
//! Paths are judged as they are written and as a gateway may read them (`route_matcher` says why).
//! If the two differ, the path has no route.

use http::{HeaderMap, Method};

use crate::config::owned_headers::is_one_of;
use crate::config::{Methods, ReadOnly, Rights};
use crate::error::Error;
use crate::proxy::route_matcher::is_below;
use crate::signature::normalized_path;

/// Headers that name another method. Some backends follow them.
const METHOD_HEADERS: [&str; 3] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

const PATH: &str = "its credential is for other paths\nhint: make one with `apig-proxy caller new NAME --route PATH`";
const METHOD: &str = "its credential is for other methods\nhint: make one with `apig-proxy caller new NAME --method METHOD`";

/// What a request does.
#[derive(Debug)]
pub(in crate::proxy) struct Action<'a> {
    pub(in crate::proxy) method: &'a Method,
    /// The path, with the prefix of its route.
    pub(in crate::proxy) path: &'a str,
    pub(in crate::proxy) headers: &'a HeaderMap,
    pub(in crate::proxy) is_websocket: bool,
}

/// A path in one of its readings.
#[derive(Clone, Copy)]
enum Reading<'a> {
    AsWritten(&'a str),
    Normalized(&'a [u8]),
}

/// Why a path is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Path,
    Change,
}

/// Checks what a request does against the rights of its caller, if it has one, and the limits to
/// reading of the configuration and of its route.
///
/// # Errors
///
/// [`Error::CallerNotAllowed`], [`Error::ReadOnly`], or [`Error::NoRoute`] if it depends on how the
/// path is read.
pub(in crate::proxy) fn check(
    rights: Option<&Rights>,
    limits: [&ReadOnly; 2],
    action: &Action<'_>,
) -> Result<(), Error> {
    let is_limited = limits.iter().any(|limit| limit.enabled);
    let Some(rights) = rights else {
        return match is_limited {
            true => check_path(&[], Some(&limits), action),
            false => Ok(()),
        };
    };
    let is_limited = is_limited || rights.read_only.enabled;
    if let Some(Methods::Only(methods)) = &rights.methods
        && (!methods.contains(action.method) || names_other_method(action))
    {
        return Err(Error::CallerNotAllowed(METHOD));
    }
    let [top, route] = limits;
    let limits = [top, route, &rights.read_only];
    check_path(&rights.routes, is_limited.then_some(&limits[..]), action)
}

fn check_path(
    prefixes: &[String],
    limits: Option<&[&ReadOnly]>,
    action: &Action<'_>,
) -> Result<(), Error> {
    let check = |reading: Reading<'_>| {
        if !prefixes.is_empty() && !prefixes.iter().any(|prefix| is_in(prefix, reading)) {
            return Err(Refused::Path);
        }
        match limits {
            Some(limits) if !only_reads(limits, action, reading) => Err(Refused::Change),
            _ => Ok(()),
        }
    };
    let verdict = check(Reading::AsWritten(action.path));
    if verdict != check(Reading::Normalized(&normalized_path(action.path))) {
        return Err(Error::NoRoute);
    }
    verdict.map_err(|refused| match refused {
        Refused::Path => Error::CallerNotAllowed(PATH),
        Refused::Change => Error::ReadOnly,
    })
}

fn is_in(prefix: &str, path: Reading<'_>) -> bool {
    match path {
        Reading::AsWritten(path) => is_below(prefix.as_bytes(), path.as_bytes()),
        Reading::Normalized(path) => {
            let prefix = normalized_path(prefix);
            is_below(prefix.strip_suffix(b"/").unwrap_or(&prefix), path)
        }
    }
}

/// True if a backend may follow a header instead of the method.
fn names_other_method(action: &Action<'_>) -> bool {
    let mut names = action.headers.keys();
    names.any(|name| is_one_of(&METHOD_HEADERS, name.as_str().as_bytes()))
}

/// True if a request can change nothing.
fn only_reads(limits: &[&ReadOnly], action: &Action<'_>, path: Reading<'_>) -> bool {
    if names_other_method(action) {
        return false;
    }
    let mut reads = limits.iter().flat_map(|limit| &limit.reads);
    (ReadOnly::is_read(action.method) && !action.is_websocket)
        || reads.any(|rule| {
            rule.method == *action.method
                && match path {
                    Reading::AsWritten(path) => rule.paths.matches(path),
                    Reading::Normalized(path) => rule.paths.matches_normalized(path),
                }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReadRule;

    /// The code of the answer to a request; empty if it may go on.
    fn code(rights: Option<&Rights>, top: &ReadOnly, request: &str) -> &'static str {
        let (method, path) = request.split_once(' ').unwrap();
        let (path, extra) = path.split_once(' ').unwrap_or((path, ""));
        let mut headers = HeaderMap::new();
        if extra == "override" {
            headers.insert("x-http-method-override", "DELETE".parse().unwrap());
        }
        let action = Action {
            method: &method.parse().unwrap(),
            path,
            headers: &headers,
            is_websocket: extra == "websocket",
        };
        let checked = check(rights, [top, &ReadOnly::default()], &action);
        checked.map_or_else(|error| error.answer().code, |()| "")
    }

    #[test]
    fn a_caller_has_its_paths_and_methods_in_every_reading() {
        let rights = Rights {
            routes: vec!["/flowers/v1".to_owned(), "/caf%C3%A9".to_owned()],
            methods: Some(Methods::Only(vec![Method::GET])),
            ..Rights::default()
        };
        for (request, expected) in [
            ("GET /flowers/v1", ""),
            ("GET /flowers/v1/a", ""),
            ("GET /flowers/v1//a%2Fb", ""),
            ("GET /caf%C3%A9/1", ""),
            ("GET /flowers/v10", "caller_not_allowed"),
            ("GET /flowers", "caller_not_allowed"),
            ("GET /", "caller_not_allowed"),
            ("POST /flowers/v1", "caller_not_allowed"),
            ("GET /flowers/v1 override", "caller_not_allowed"),
            ("GET //flowers/v1", "no_route"),
            ("GET /flowers%2Fv1", "no_route"),
            ("GET /flowers/%761/a", "no_route"),
            ("GET /caf%c3%a9/1", "no_route"),
        ] {
            assert_eq!(
                code(Some(&rights), &ReadOnly::default(), request),
                expected,
                "{request}"
            );
        }
        for request in [
            "DELETE /a",
            "GET //a",
            "GET /a websocket",
            "GET /a override",
        ] {
            for rights in [None, Some(&Rights::default())] {
                assert_eq!(code(rights, &ReadOnly::default(), request), "", "{request}");
            }
        }
    }

    #[test]
    fn who_may_only_read_sends_what_changes_nothing_in_every_reading() {
        let reads = ["POST /a/*/search", "PUT /b/*", "GET /ws"];
        let limit = ReadOnly {
            enabled: true,
            reads: reads.map(|rule| ReadRule::parse(rule).unwrap()).into(),
        };
        let own = Rights {
            read_only: limit.clone(),
            ..Rights::default()
        };
        for (request, expected) in [
            ("GET /x", ""),
            ("HEAD /x", ""),
            ("OPTIONS /x", ""),
            ("GET //x%2F", ""),
            ("POST /a/1/search", ""),
            ("PUT /b/c/d", ""),
            ("GET /ws websocket", ""),
            ("GET /x websocket", "read_only"),
            ("GET /x override", "read_only"),
            ("POST /a/1/search override", "read_only"),
            ("POST /x", "read_only"),
            ("PUT /a/1/search", "read_only"),
            ("POST /a/1/2/search", "read_only"),
            ("POST /a/1%2F2/search", "read_only"),
            ("POST /a/1%2F/search", "no_route"),
            ("POST //a/1/search", "no_route"),
            ("PUT /b/c%2Fd", ""),
        ] {
            assert_eq!(code(None, &limit, request), expected, "{request}");
            assert_eq!(
                code(Some(&own), &ReadOnly::default(), request),
                expected,
                "{request}"
            );
        }
    }
}
