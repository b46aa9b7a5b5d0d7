//! The request target: which targets can be signed, and how they are written so that all decoders
//! agree.
//!
//! In a query, `+` is a space for some decoders and a plus for others, `;` ends a pair for some, and
//! a `%` without two digits is a literal one for some. In a path, `+` is a space for some. Raw UTF-8
//! is not allowed in either, and many clients send it. All of these are percent-encoded before
//! signing and sending, because the gateway's own decoder is not documented.

use std::borrow::Cow;
use std::fmt::Write;

use super::SignatureError;
use super::encoding;

/// A request target that can be signed: path and query, still percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Parses a target; an error if signers and gateways read it differently.
    ///
    /// # Errors
    ///
    /// One of the target variants of [`SignatureError`]: a path that does not start with `/`, raw
    /// bytes outside visible ASCII, a fragment, broken escapes, `.` and `..` segments (also encoded),
    /// and query pairs with an empty name.
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

    /// Parses a target that another signer has signed; an error only if it has no canonical form.
    ///
    /// # Errors
    ///
    /// As [`Target::parse`], but dot segments and empty names are allowed.
    pub fn received(target: &'a str) -> Result<Self, SignatureError> {
        if !target.starts_with('/') {
            return Err(SignatureError::NotAPath);
        }
        if target.bytes().any(|byte| byte == b'#') {
            return Err(SignatureError::Fragment);
        }
        encoding::check(target)?;
        Ok(Self::of_parsed(target))
    }

    /// Splits a target again that [`Target::parse`] has accepted, or that is composed of such.
    #[must_use]
    pub fn of_parsed(target: &'a str) -> Self {
        let split = split_once(target, b'?');
        let (path, query) = split.map_or((target, None), |(path, query)| (path, Some(query)));
        Self { path, query }
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

    /// Names and values of the query, still encoded, in the order they came. Empty pairs are left
    /// out.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        pieces(self.query.unwrap_or_default(), b'&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| split_once(pair, b'=').unwrap_or((pair, "")))
    }
}

/// The pieces between ASCII separators. They are short, and for short ones the searcher behind
/// `str::split` takes several times as long.
fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let split = split_once(text, separator);
        rest = split.map(|(_, after)| after);
        Some(split.map_or(text, |(piece, _)| piece))
    })
}

fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Normalizes a query so that all known decoders read the same pairs: `+` becomes `%20`, `;`
/// becomes `%3B`, a `%` without two hexadecimal digits `%25`, and raw UTF-8 is percent-encoded. Order
/// and every other byte stay.
///
/// `+` means a space, as for nearly every client. A literal plus sign has to be sent as `%2B`.
#[must_use]
pub fn normalize_query(query: &str) -> Cow<'_, str> {
    let bytes = query.as_bytes();
    escaping(query, |at| match bytes[at] {
        b'+' => Some(b' '),
        b'%' if encoding::escape(bytes, at).is_none() => Some(b'%'),
        byte @ (b';' | 0x80..) => Some(byte),
        _ => None,
    })
}

/// Normalizes a path so that all known decoders read the same one: `+` becomes `%2B`, and raw UTF-8
/// is percent-encoded. Every other byte stays.
#[must_use]
pub fn normalize_path(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    escaping(path, |at| match bytes[at] {
        byte @ (b'+' | 0x80..) => Some(byte),
        _ => None,
    })
}

/// Normalizes both parts of a target; see [`normalize_path`] and [`normalize_query`].
#[must_use]
pub fn normalize_target(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = split_once(target, b'?') else {
        return normalize_path(target);
    };
    match (normalize_path(path), normalize_query(query)) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(target),
        (path, query) => Cow::Owned(format!("{path}?{query}")),
    }
}

/// Replaces bytes by the escapes of others. All bytes that are not ASCII have to be among them.
fn escaping(text: &str, escaped: impl Fn(usize) -> Option<u8>) -> Cow<'_, str> {
    let Some(first) = (0..text.len()).find(|at| escaped(*at).is_some()) else {
        return Cow::Borrowed(text);
    };
    let mut normalized = String::with_capacity(text.len() + 32);
    normalized.push_str(&text[..first]);
    for (at, byte) in text.bytes().enumerate().skip(first) {
        let written = match escaped(at) {
            Some(byte) => encoding::write_escape(&mut normalized, byte),
            None => normalized.write_char(char::from(byte)),
        };
        written.expect("writing to a string cannot fail");
    }
    Cow::Owned(normalized)
}

/// The path as a gateway may read it: all escapes decoded, and all runs of slashes merged. The result
/// need not be UTF-8.
///
/// The gateway may decode a path, merge its slashes, both, or none. Two paths that are equal in any of
/// these readings are equal in this one. It is for comparisons only, and never sent or signed.
///
/// It is decoded once: `%252F` becomes `%2F` and not a slash. A broken escape stands for itself.
#[must_use]
pub fn normalized_path(path: &str) -> Cow<'_, [u8]> {
    let bytes = path.as_bytes();
    let is_normalized = !bytes.contains(&b'%') && !bytes.windows(2).any(|pair| pair == b"//");
    if is_normalized {
        return Cow::Borrowed(bytes);
    }
    let mut normalized = Vec::with_capacity(bytes.len());
    for byte in encoding::decoded(path) {
        if byte != b'/' || normalized.last() != Some(&b'/') {
            normalized.push(byte);
        }
    }
    Cow::Owned(normalized)
}

/// True if a decoded path segment has a part that is `.` or `..`. Encoded slashes separate parts,
/// since the gateway decodes before it splits.
pub(crate) fn is_dot_segment(segment: &str) -> bool {
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
    fn what_decoders_read_differently_is_encoded_and_the_rest_stays() {
        for (query, expected) in [
            ("b=x+y&a;c=%2b&+", "b=x%20y&a%3Bc=%2b&%20"),
            ("a=100%&b=%zz&%C3=%e9", "a=100%25&b=%25zz&%C3=%e9"),
            ("é=中", "%C3%A9=%E4%B8%AD"),
        ] {
            assert_eq!(normalize_query(query), expected);
        }
        let target = normalize_target("/a+b;c/é/%2b?x+y");
        assert_eq!(target, "/a%2Bb;c/%C3%A9/%2b?x%20y");
        let unchanged = "a=1&b=%20";
        assert!(matches!(normalize_query(unchanged), Cow::Borrowed(query) if query == unchanged));
    }

    #[test]
    fn targets_that_gateways_read_differently_are_refused() {
        for (error, targets) in [
            (
                SignatureError::DotSegment,
                &["/a/../b", "/.", "/a/..", "/%2e%2E/b"][..],
            ),
            (
                SignatureError::DotSegment,
                &["/a/.%2e", "/a%2F..%2fb", "/a/..%5cb"],
            ),
            (SignatureError::EmptyName, &["/?=v", "/?a=1&=v", "/?="]),
            (SignatureError::Fragment, &["/a#b"]),
            (SignatureError::NotAPath, &["*", "http://a/"]),
        ] {
            for target in targets {
                assert_eq!(Target::parse(target), Err(error), "{target}");
            }
        }
        for target in [
            "/a..b",
            "/...",
            "/.well-known/x",
            "/a/%2e%2e%2e",
            "/a/..;b/.;(",
            "/?&a=1&&",
        ] {
            assert!(Target::parse(target).is_ok(), "{target}");
        }
    }

    #[test]
    fn escapes_are_decoded_once_and_slashes_merged() {
        let cases: [(&str, &[u8]); 12] = [
            ("", b""),
            ("//", b"/"),
            ("/%66lowers", b"/flowers"),
            ("/%2f%2Fa//b/", b"/a/b/"),
            ("/a/%2F/b", b"/a/b"),
            ("/a%252Fb", b"/a%2Fb"),
            ("/a%25%32%46b", b"/a%2Fb"),
            ("/caf%C3%A9", "/café".as_bytes()),
            ("/%ff%C3", b"/\xff\xc3"),
            ("/%00%3F", b"/\0?"),
            ("/%zz%2", b"/%zz%2"),
            ("/%//2F", b"/%/2F"),
        ];
        for (path, expected) in cases {
            assert_eq!(&*normalized_path(path), expected, "{path}");
        }
        // The usual path is not copied.
        assert!(matches!(normalized_path("/a/b/"), Cow::Borrowed(_)));
    }
}
