//! The request target: what may be sent at all, and how a query is spelt so that everybody reads it alike.
//!
//! The path goes out byte for byte. In a query, `+` is a space for some decoders and a plus for
//! others, and `;` ends a pair for some; both are respelt before signing and sending, because the
//! gateway's own decoder is not documented.

use std::borrow::Cow;

use super::SignatureError;
use super::encoding;

/// A request target that can be signed: path and query, still percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes a target apart and refuses what signers and gateways read differently.
    ///
    /// # Errors
    ///
    /// One of the target variants of [`SignatureError`]: a path that does not start with `/`, raw bytes
    /// outside visible ASCII, a fragment, broken escapes, escapes that are not UTF-8, `.` and `..`
    /// segments (also encoded), and query pairs with an empty name.
    pub fn parse(target: &'a str) -> Result<Self, SignatureError> {
        let target = Self::received(target)?;
        if pieces(target.path, b'/').any(is_dot_segment) {
            return Err(SignatureError::DotSegment);
        }
        if target.pairs().any(|(name, _)| name.is_empty()) {
            return Err(SignatureError::EmptyName);
        }
        Ok(target)
    }

    /// Takes a target apart that somebody else has signed: refuses only what cannot be canonicalised.
    ///
    /// # Errors
    ///
    /// As [`Target::parse`], but dot segments and empty names are let through.
    pub fn received(target: &'a str) -> Result<Self, SignatureError> {
        if !target.starts_with('/') {
            return Err(SignatureError::NotAPath);
        }
        if target.bytes().any(|byte| byte == b'#') {
            return Err(SignatureError::Fragment);
        }
        let target = Self::of_parsed(target);
        encoding::check(target.path)?;
        target.query.map_or(Ok(()), |query| {
            pieces(query, b'&').try_for_each(encoding::check)
        })?;
        Ok(target)
    }

    /// Takes a target apart again that [`Target::parse`] has taken, or that is put together of such.
    #[must_use]
    pub fn of_parsed(target: &'a str) -> Self {
        match split_once(target, b'?') {
            Some((path, query)) => Self {
                path,
                query: Some(query),
            },
            None => Self {
                path: target,
                query: None,
            },
        }
    }

    /// The path as it goes out.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query as it goes out; `None` when there is no `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Names and values of the query, still encoded, in the order they came. Empty pairs are left out.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        pieces(self.query.unwrap_or_default(), b'&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| split_once(pair, b'=').unwrap_or((pair, "")))
    }
}

/// What stands between separators, which are ASCII. The pieces are short, and for those the searcher behind
/// `str::split` takes several times as long.
fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, after) = match split_once(text, separator) {
            Some((piece, after)) => (piece, Some(after)),
            None => (text, None),
        };
        rest = after;
        Some(piece)
    })
}

fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Spells a query so that all known decoders read the same pairs: `+` becomes `%20`, `;` becomes `%3B`.
///
/// Order and every other byte stay.
///
/// `+` is taken as what nearly every client means by it, a space. A plus sign itself travels as `%2B`.
#[must_use]
pub fn respell_query(query: &str) -> Cow<'_, str> {
    if !query.bytes().any(|byte| matches!(byte, b'+' | b';')) {
        return Cow::Borrowed(query);
    }
    let mut respelt = String::with_capacity(query.len() + 8);
    for piece in query.split_inclusive(['+', ';']) {
        match piece.as_bytes().last() {
            Some(b'+') => respelt.extend([&piece[..piece.len() - 1], "%20"]),
            Some(b';') => respelt.extend([&piece[..piece.len() - 1], "%3B"]),
            _ => respelt.push_str(piece),
        }
    }
    Cow::Owned(respelt)
}

/// Whether a path segment is `.` or `..` once decoded. An encoded slash counts as a separator, since
/// the gateway decodes before it splits.
fn is_dot_segment(segment: &str) -> bool {
    if !segment.bytes().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    let decoded: Vec<u8> = encoding::decoded(segment).collect();
    decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|part| part == b"." || part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_plus_or_semicolon_is_not_copied() {
        assert!(matches!(
            respell_query("a=1&b=%20"),
            Cow::Borrowed("a=1&b=%20")
        ));
    }

    #[test]
    fn plus_and_semicolon_are_respelt_and_the_rest_stays() {
        assert_eq!(respell_query("b=x+y&a;c=%2b&+"), "b=x%20y&a%3Bc=%2b&%20");
    }

    #[test]
    fn dot_segments_are_refused_however_they_are_spelt() {
        for path in [
            "/a/../b",
            "/.",
            "/a/..",
            "/%2e%2E/b",
            "/a/.%2e",
            "/a%2F..%2fb",
            "/a/..%5cb",
        ] {
            assert_eq!(
                Target::parse(path),
                Err(SignatureError::DotSegment),
                "{path}"
            );
        }
        for path in ["/a..b", "/...", "/.well-known/x", "/a/%2e%2e%2e"] {
            assert!(Target::parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_pair_without_a_name_is_refused_and_an_empty_pair_is_not() {
        assert_eq!(Target::parse("/?=v"), Err(SignatureError::EmptyName));
        assert_eq!(Target::parse("/?a=1&=v"), Err(SignatureError::EmptyName));
        assert_eq!(Target::parse("/?="), Err(SignatureError::EmptyName));
        assert!(Target::parse("/?&a=1&&").is_ok());
    }

    #[test]
    fn fragments_and_foreign_forms_are_refused() {
        assert_eq!(Target::parse("/a#b"), Err(SignatureError::Fragment));
        assert_eq!(Target::parse("*"), Err(SignatureError::NotAPath));
        assert_eq!(Target::parse("http://a/"), Err(SignatureError::NotAPath));
    }
}
