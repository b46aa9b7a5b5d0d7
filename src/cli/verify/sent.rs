//! The parts of a request as mistaken signers read and write them. The signature's own encoding never
//! decodes and encodes apart.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::canonical::CanonicalParts;
use super::request::ParsedRequest;
use crate::signature::PayloadHash;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A request and its canonical form.
pub(super) struct Sent<'a> {
    pub(super) request: &'a ParsedRequest,
    pub(super) canonical: &'a CanonicalParts,
    /// `SignedHeaders` as sent.
    pub(super) names: &'a str,
}

impl Sent<'_> {
    /// The path on the wire.
    pub(super) fn path(&self) -> &str {
        self.request.target.split('?').next().unwrap_or_default()
    }

    /// The query on the wire, without its question mark.
    pub(super) fn query(&self) -> &str {
        self.request.target.split_once('?').unwrap_or_default().1
    }

    /// The pairs of the query.
    pub(super) fn pairs(&self) -> Pairs {
        Pairs::decode(self.query())
    }

    /// The hash of a text body with a change.
    pub(super) fn text_hash(&self, change: impl Fn(&str) -> String) -> String {
        let text = str::from_utf8(&self.request.body).unwrap_or_default();
        hash(change(text).as_bytes())
    }

    /// The headers with a change of one value.
    pub(super) fn with_header(&self, name: &str, change: impl Fn(&str) -> String) -> String {
        self.with_changed(|other, value| {
            if other == name {
                change(value)
            } else {
                value.to_owned()
            }
        })
    }

    /// The headers with a change of all values, which come with the whitespace around them.
    pub(super) fn with_values(&self, change: impl Fn(&str) -> String) -> String {
        self.with_changed(|name, value| {
            let mut headers = self.request.headers.iter();
            let header = headers.find(|header| header.0.eq_ignore_ascii_case(name));
            let raw = header.and_then(|header| str::from_utf8(&header.1).ok());
            change(raw.unwrap_or(value))
        })
    }

    /// The headers with values that depend on the name and the canonical value.
    fn with_changed(&self, change: impl Fn(&str, &str) -> String) -> String {
        let (headers, names) = self.canonical.headers();
        let lines: String = headers
            .map(|(name, value)| format!("{name}:{}\n", change(name, value)))
            .collect();
        format!("{lines}\n{names}")
    }

    /// The headers with other names, or in another order.
    pub(super) fn with_names(&self, names: &str) -> String {
        let line = |name: &str| {
            let mut headers = self.canonical.headers().0;
            let header = headers.find(|header| header.0.eq_ignore_ascii_case(name));
            format!("{name}:{}\n", header.unwrap_or_default().1)
        };
        let lines: String = names.split(';').map(line).collect();
        format!("{lines}\n{names}")
    }
}

/// The names and values of a query, decoded, in the order they were sent.
pub(super) struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl Pairs {
    /// Decodes a query.
    pub(super) fn decode(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(
            pairs
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    /// The pairs that have a name.
    pub(super) fn named(mut self) -> Self {
        self.0.retain(|(name, _)| !name.is_empty());
        self
    }

    /// The canonical query.
    pub(super) fn sorted(self) -> String {
        self.sorted_by(|name, value| (name.to_vec(), value.to_vec()))
    }

    /// The pairs encoded once, in the order of a key.
    pub(super) fn sorted_by<K: Ord>(mut self, key: impl Fn(&[u8], &[u8]) -> K) -> String {
        self.0.sort_by_cached_key(|(name, value)| key(name, value));
        self.joined()
    }

    /// The pairs encoded once, in their order.
    pub(super) fn joined(&self) -> String {
        let pairs = self.0.iter();
        let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// The hash of a body, in hexadecimal.
pub(super) fn hash(body: &[u8]) -> String {
    PayloadHash::new(body).as_str().to_owned()
}

/// The bytes that percent-encoded text stands for; broken escapes stand for themselves.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Text for these bytes with everything encoded but the unreserved characters.
pub(super) fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}

/// A path with a slash at its end.
pub(super) fn closed(path: &str) -> String {
    let slash = if path.ends_with('/') { "" } else { "/" };
    format!("{path}{slash}")
}

/// A path without empty and dot segments.
pub(super) fn without_dots(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    closed(&format!("/{}", segments.join("/")))
}

/// With the five characters that JavaScript's `encodeURIComponent` leaves alone.
pub(super) fn as_javascript(text: &str) -> String {
    let kept = ["%21", "%27", "%28", "%29", "%2A"]
        .iter()
        .zip(["!", "'", "(", ")", "*"]);
    kept.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// With the digits of escapes in small letters.
pub(super) fn with_small_escapes(text: &str) -> String {
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| match piece.split_at_checked(2) {
        Some((digits, rest)) => format!("{text}%{}{rest}", digits.to_ascii_lowercase()),
        None => format!("{text}%{piece}"),
    })
}
