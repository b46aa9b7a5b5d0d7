//! What a request may do: the rights of its caller, and `read_only` of the configuration and the
//! route.
//!
//! Paths are judged as they are written and as a gateway may read them (`route_matcher` says why).
//! If the two differ, the path has no route.

use http::{HeaderMap, Method};

use crate::config::{Methods, ReadOnly, ReadRule, Rights};
use crate::error::Error;
use crate::proxy::head_checks::names_method;
use crate::proxy::route_matcher::is_below;
use crate::signature::normalized_path;

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

#[derive(Clone, Copy)]
enum Reading<'a> {
    AsWritten(&'a str),
    Normalized(&'a [u8]),
}

/// Checks what a request does against the rights of its caller, if it has one, and `read_only` of the
/// configuration and of its route. [`Error::NoRoute`] means that the result depends on how the path is
/// read.
pub(in crate::proxy) fn check(
    rights: Option<&Rights>,
    limits: [&ReadOnly; 2],
    action: &Action<'_>,
) -> Result<(), Error> {
    let methods = rights.and_then(|rights| rights.methods.as_ref());
    if let Some(Methods::Only(methods)) = methods
        && (!methods.contains(action.method) || names_method(action.headers))
    {
        return Err(Error::CallerNotAllowed(METHOD));
    }
    let own_limit = rights.map(|rights| &rights.read_only);
    let limits = || limits.into_iter().chain(own_limit);
    let is_limited = limits().any(|limit| limit.enabled);
    let prefixes = rights.map_or(&[][..], |rights| &rights.routes);
    if prefixes.is_empty() && !is_limited {
        return Ok(());
    }
    let check = |path: Reading<'_>| {
        let is_own = prefixes.is_empty() || prefixes.iter().any(|prefix| is_in(prefix, path));
        let mut reads = limits().flat_map(|limit| &limit.reads);
        let changes = is_limited && !only_reads(&mut reads, action, path);
        (is_own, is_own && changes)
    };
    let normalized = normalized_path(action.path);
    // Java services end a segment at its `;`, and so read `..;x` as `..`.
    let mut segments = normalized.split(|byte| *byte == b'/');
    let has_dots = segments.any(|one| one.starts_with(b".;") || one.starts_with(b"..;"));
    let found = check(Reading::AsWritten(action.path));
    if has_dots || found != check(Reading::Normalized(&normalized)) {
        return Err(Error::NoRoute);
    }
    match found {
        (true, false) => Ok(()),
        (true, true) => Err(Error::ReadOnly),
        (false, _) => Err(Error::CallerNotAllowed(PATH)),
    }
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

/// True if a request can change nothing.
fn only_reads<'a>(
    reads: &mut impl Iterator<Item = &'a ReadRule>,
    action: &Action<'_>,
    path: Reading<'_>,
) -> bool {
    let is_read = ReadOnly::is_read(action.method) && !action.is_websocket;
    let is_listed = |rule: &ReadRule| {
        rule.method == *action.method
            && match path {
                Reading::AsWritten(path) => rule.paths.matches(path),
                Reading::Normalized(path) => rule.paths.matches_normalized(path),
            }
    };
    !names_method(action.headers) && (is_read || reads.any(is_listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request, and the codes of the answers to whoever may only read and to a caller that may
    /// only GET below some paths.
    const REQUESTS: &str = "
        GET /flowers/v1           => ok ok
        GET /flowers/v1//a%2Fb    => ok ok
        GET /caf%C3%A9/1          => ok ok
        GET /flowers/v10          => ok caller_not_allowed
        GET /caf%c3%a9/1          => ok no_route
        GET /flowers/%761/a       => ok no_route
        GET /flowers/v1/..;b/c    => no_route no_route
        GET /flowers/v1/%2E%3B/c  => no_route no_route
        GET /flowers/v1/a..;b/c   => ok ok
        GET //flowers%2Fv1        => ok no_route
        GET /flowers/v1 override  => read_only caller_not_allowed
        GET /flowers/v1 websocket => read_only ok
        GET /ws websocket         => ok caller_not_allowed
        POST /flowers/v1          => read_only caller_not_allowed
        POST /a/1/search          => ok caller_not_allowed
        POST /a/1/search override => read_only caller_not_allowed
        POST /a/1%2F2/search      => read_only caller_not_allowed
        POST /a/1%2F/search       => no_route caller_not_allowed
        PUT /b/c%2Fd              => ok caller_not_allowed
    ";

    #[test]
    fn paths_and_methods_are_limited_in_every_reading() {
        let reads = ["POST /a/*/search", "PUT /b/*", "GET /ws"];
        let limit = ReadOnly {
            enabled: true,
            reads: reads.map(|rule| ReadRule::parse(rule).unwrap()).into(),
        };
        let reader = Rights {
            read_only: limit.clone(),
            ..Rights::default()
        };
        let rights = Rights {
            routes: vec!["/flowers/v1".to_owned(), "/caf%C3%A9".to_owned()],
            methods: Some(Methods::Only(vec![Method::GET])),
            ..Rights::default()
        };
        for row in REQUESTS.trim().lines() {
            let words: Vec<&str> = row.split_whitespace().collect();
            let [method, path, extra @ .., "=>", for_reader, for_caller] = &words[..] else {
                panic!("{row}")
            };
            let mut headers = HeaderMap::new();
            if extra == ["override"] {
                headers.insert("x-http-method-override", "DELETE".parse().unwrap());
            }
            let action = Action {
                method: &method.parse().unwrap(),
                path,
                headers: &headers,
                is_websocket: extra == ["websocket"],
            };
            let none = ReadOnly::default();
            for (rights, limit, expected) in [
                (None, &none, "ok"),
                (None, &limit, *for_reader),
                (Some(&reader), &none, *for_reader),
                (Some(&rights), &none, *for_caller),
            ] {
                let checked = check(rights, [limit, &none], &action);
                let code = checked.map_or_else(|error| error.answer().code, |()| "ok");
                assert_eq!(code, expected, "{row}");
            }
        }
    }
}
