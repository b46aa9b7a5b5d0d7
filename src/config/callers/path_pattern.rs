//! Patterns of paths: `*` stands for one segment, and at the end for all that follows.
//!
//! A path is matched as it is written and as a gateway may read it ([`normalized_path`]), so a
//! pattern is kept in both forms.

use http::Method;

use crate::signature::{Target, normalize_path, normalized_path};

/// A pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    raw: String,
    normalized: Vec<u8>,
}

impl PathPattern {
    /// A pattern; `None` if it is no path.
    pub fn new(text: &str) -> Option<Self> {
        let raw = normalize_path(text).into_owned();
        let target = Target::parse(&raw).ok()?;
        // A `*` within a segment would look as if it matched a part of it.
        let is_pattern = target.query().is_none()
            && raw
                .split('/')
                .all(|segment| segment == "*" || !segment.contains('*'));
        is_pattern.then(|| Self {
            normalized: normalized_path(&raw).into_owned(),
            raw,
        })
    }

    /// `true` if a path as it is written matches.
    pub fn matches(&self, path: &str) -> bool {
        matches(self.raw.as_bytes(), path.as_bytes())
    }

    /// `true` if a normalized path matches.
    pub fn matches_normalized(&self, path: &[u8]) -> bool {
        matches(&self.normalized, path)
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.raw
    }
}

fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut segments = path.split(|byte| *byte == b'/');
    let mut wanted = pattern.split(|byte| *byte == b'/').peekable();
    while let Some(wanted_segment) = wanted.next() {
        let Some(segment) = segments.next() else {
            return false;
        };
        if wanted_segment == b"*" {
            if wanted.peek().is_none() {
                return true;
            }
            // A gateway may read a segment with an encoded slash as two.
            let mut parts = segment.windows(3);
            if segment.is_empty() || parts.any(|part| part.eq_ignore_ascii_case(b"%2F")) {
                return false;
            }
        } else if wanted_segment != segment {
            return false;
        }
    }
    segments.next().is_none()
}

/// A request that only reads although its method may change something, like
/// `POST /flowers/*/search`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRule {
    /// The method.
    pub method: Method,
    /// The paths.
    pub paths: PathPattern,
}

impl ReadRule {
    /// Parses a method and a pattern of paths.
    ///
    /// # Errors
    ///
    /// What is expected instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a method and a path, like \"POST /flowers/search\" or \"POST /flowers/*/query\"; \
            `*` stands for one segment, and at the end for all below";
        let rule = || {
            let (method, path) = text.split_once(' ')?;
            let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase());
            Some(Self {
                method: method.parse().ok().filter(|_| is_method)?,
                paths: PathPattern::new(path.trim())?,
            })
        };
        rule().ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_segment_and_at_the_end_all_that_follows() {
        for (pattern, path, expected) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a/*", "/a/b/c", true),
            ("/a/*", "/a", false),
            ("/*/search", "/x/search", true),
            ("/*/search", "/x/y/search", false),
            ("/*/search", "/x%2fy/search", false),
            ("/*/search", "//search", false),
        ] {
            let found = PathPattern::new(pattern).unwrap().matches(path);
            assert_eq!(found, expected, "{pattern} {path}");
        }
        let pattern = PathPattern::new("/*/s%65arch").unwrap();
        assert!(pattern.matches_normalized(b"/x/search") && !pattern.matches("/x/search"));
        for wrong in ["", "a", "/a?b", "/a*/b", "/../a"] {
            assert!(PathPattern::new(wrong).is_none(), "{wrong}");
        }
        for wrong in ["", "POST", "/a", "post /a", "POST a"] {
            assert!(ReadRule::parse(wrong).is_err(), "{wrong}");
        }
        assert!(ReadRule::parse("POST /a/*").is_ok());
    }
}
