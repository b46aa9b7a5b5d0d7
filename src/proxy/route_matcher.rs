//! Route matching: the route that takes a path in every way that the gateway may read it.
//!
//! Routes are compared byte for byte with what callers write, but the gateway may decode a path and
//! merge its slashes first. `/%66lowers` or `//flowers` would then escape the limits of the route
//! `/flowers`: the route for everything else takes it, and the gateway reads `/flowers`. So each
//! path is matched twice, as written and normalized ([`normalized_path`]), and has no route if the
//! results differ. Other spellings are sent as they came.
//!
//! Two readings are enough. Whether the gateway decodes, merges, or both: a path that has the
//! prefix of a route in its reading has it in the normalized one too, and a path that has it as
//! written has it in every reading. The same holds for the `paths` of a route.
//!
//! # What can go wrong
//!
//! A gateway that reads paths in another way, for example without regard to case, is not covered.

use std::collections::BTreeMap;

use crate::config::Route;
use crate::signature::normalized_path;

/// Finds the route of a path. There may be thousands, so prefixes are looked up.
#[derive(Debug)]
pub(super) struct RouteMatcher {
    written: Prefixes,
    normalized: Prefixes,
}

/// The indexes of routes by their prefixes, which are the same in one reading.
#[derive(Debug, Default)]
struct Prefixes {
    routes: BTreeMap<Vec<u8>, usize>,
    /// The length of the longest prefix.
    longest: usize,
}

impl RouteMatcher {
    /// A matcher for these routes.
    pub(super) fn new(routes: &[Route]) -> Self {
        let written = routes.iter().map(|route| route.prefix.clone().into_bytes());
        Self {
            written: Prefixes::new(written),
            normalized: Prefixes::new(routes.iter().map(Route::normalized_prefix)),
        }
    }

    /// The index of the route that takes `path`; `None` if there is none, or if it depends on the
    /// reading.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        let route = self.written.longest_of(path.as_bytes())?;
        let reading = self.normalized.longest_of(&normalized_path(path))?;
        (route == reading).then_some(route)
    }
}

/// True if a path begins with all segments of a prefix.
pub(super) fn is_below(prefix: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

impl Prefixes {
    fn new(prefixes: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut all = Self::default();
        for (at, prefix) in prefixes.enumerate() {
            all.longest = all.longest.max(prefix.len());
            all.routes.entry(prefix).or_insert(at);
        }
        all
    }

    /// The index of the longest prefix whose segments a path begins with.
    fn longest_of(&self, path: &[u8]) -> Option<usize> {
        let ends_segment =
            |end: &usize| *end == 0 || path.get(*end).is_none_or(|next| *next == b'/');
        // No further than the longest prefix: a path may have thousands of segments.
        let ends = (0..=path.len().min(self.longest)).rev();
        let mut prefixes = ends.filter(ends_segment).map(|end| &path[..end]);
        prefixes.find_map(|prefix| self.routes.get(prefix).copied())
    }
}
