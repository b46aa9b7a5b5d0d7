//! Route matching: which route takes a path, whichever way the gateway reads it.
//!
//! Routes are compared byte for byte with what callers write, and the gateway may decode and merge before
//! it compares. Then `/%66lowers` or `//flowers` would escape the limits of the route `/flowers`: the route
//! for everything else takes it, and the gateway reads `/flowers`. So each path is matched twice, as
//! written and as [`normalized_path`] has it, and is refused if that gives two routes. Spellings that stay
//! within one route pass and go out as they came.
//!
//! Two readings are enough. Whatever the gateway does, decode, merge, or both: a path that has a route's
//! prefix in its reading has it in the normalized one as well, and a path that has it as written has it in
//! every reading. The same holds for the `paths` of a route: what they allow as written, they allow in
//! every reading.
//!
//! # What can go wrong
//!
//! A gateway that reads a path in another way, without regard to case say, is not thought of here.

use crate::config::Route;
use crate::signature::normalized_path;

/// Finds the route of a path.
#[derive(Debug)]
pub(in crate::proxy) struct RouteMatcher {
    /// The normalized prefix of each route and its number, longest first.
    normalized: Vec<(Vec<u8>, usize)>,
}

impl RouteMatcher {
    /// A matcher for routes that are sorted by the length of their prefix, longest first.
    pub(in crate::proxy) fn new(routes: &[Route]) -> Self {
        let prefixes = routes.iter().map(Route::normalized_prefix);
        let mut normalized: Vec<_> = prefixes.zip(0..).collect();
        normalized.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { normalized }
    }

    /// The number of the route that takes `path`; `None` if there is none, or if it depends on the reading.
    pub(in crate::proxy) fn find(&self, routes: &[Route], path: &str) -> Option<usize> {
        let route = routes
            .iter()
            .position(|route| is_below(route.prefix.as_bytes(), path.as_bytes()))?;
        let path = normalized_path(path);
        let (_, normalized) = self
            .normalized
            .iter()
            .find(|(prefix, _)| is_below(prefix, &path))?;
        (route == *normalized).then_some(route)
    }
}

/// Whether a path begins with all segments of a prefix.
fn is_below(prefix: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_upstream;

    fn check(prefixes: &[&str], cases: &[(&str, Option<&str>)]) {
        let route = with_upstream("https://gateway.example")
            .unwrap()
            .routes
            .remove(0);
        let with_prefix = |prefix: &&str| Route {
            prefix: (*prefix).to_owned(),
            ..route.clone()
        };
        let routes: Vec<Route> = prefixes.iter().map(with_prefix).collect();
        let matcher = RouteMatcher::new(&routes);
        for (path, expected) in cases {
            let found = matcher.find(&routes, path).map(|at| prefixes[at]);
            assert_eq!(found, *expected, "{path}");
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let cases = [
            ("/flowers/red", Some("/flowers/red")),
            ("/flowers/red/1", Some("/flowers/red")),
            ("/flowers/redder", Some("/flowers")),
            ("/flowers", Some("/flowers")),
            ("/flowersx", Some("")),
            ("/", Some("")),
        ];
        check(&["/flowers/red", "/flowers", ""], &cases);
        check(&["/flowers"], &[("/trees", None), ("/%66lowers", None)]);
    }

    #[test]
    fn a_path_that_two_routes_may_be_meant_by_has_none() {
        let cases = [
            ("/%66lowers", None),
            ("//flowers", None),
            ("/flowers%2Fx", None),
            ("/flowers//red", None),
            ("/flowers/%72ed", None),
            ("/flowers//blue", Some("/flowers")),
            ("/flowers/a%2fb", Some("/flowers")),
            ("/flowers%252Fx", Some("")),
            ("//trees", Some("")),
            ("/%ff%2F", Some("")),
        ];
        check(&["/flowers/red", "/flowers", ""], &cases);
    }

    #[test]
    fn a_prefix_may_have_escapes_and_is_compared_as_the_gateway_reads_it() {
        let prefixes = ["/caf%C3%A9/x", "//a%2F/b", "/d%2F", "/caf", ""];
        let cases = [
            ("/caf%C3%A9/x/1", Some("/caf%C3%A9/x")),
            ("/caf%c3%a9/x/1", None),
            ("/caf/x", Some("/caf")),
            ("//a%2F/b/c", Some("//a%2F/b")),
            ("/a/b/c", None),
            ("/d%2F/e", Some("/d%2F")),
            ("/d/e", None),
        ];
        check(&prefixes, &cases);
    }
}
