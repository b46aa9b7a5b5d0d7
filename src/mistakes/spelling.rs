//! The spellings that signers give to paths, queries and JSON. The signature's own encoding never
//! decodes and encodes apart.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Value, json};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The decoded name and value of a query parameter.
type Pair = (Vec<u8>, Vec<u8>);

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

/// With the digits of escapes in lower case.
pub(super) fn with_lower_escapes(text: &str) -> String {
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| match piece.split_at_checked(2) {
        Some((digits, rest)) => format!("{text}%{}{rest}", digits.to_ascii_lowercase()),
        None => format!("{text}%{piece}"),
    })
}

/// The parameters of a query, in their order.
pub(super) fn pairs(query: &str) -> Vec<Pair> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// A query of these parameters, each encoded once.
pub(super) fn query(pairs: &[Pair]) -> String {
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A query with its parameters in the order of a key.
pub(super) fn sorted_by<K: Ord>(text: &str, key: impl Fn(&Pair) -> K) -> String {
    let mut pairs = pairs(text);
    pairs.sort_by_cached_key(key);
    query(&pairs)
}

/// A query with its parameters in the order of the signature.
pub(super) fn sorted(text: &str) -> String {
    sorted_by(text, Pair::clone)
}

/// JSON with a space after each comma and colon, as Python's `json.dumps` writes it.
pub(super) fn spaced_json(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries =
                entries.map(|(name, value)| format!("{}: {}", json!(name), spaced_json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(spaced_json).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

/// JSON with `\uXXXX` in place of characters outside ASCII.
pub(super) fn ascii_json(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            ascii.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    ascii
}

/// A JSON value with the keys of all objects sorted.
pub(super) fn sorted_json(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            let entries = entries.into_iter();
            entries
                .map(|(name, value)| (name.clone(), sorted_json(value)))
                .collect()
        }
        Value::Array(values) => values.iter().map(sorted_json).collect(),
        other => other.clone(),
    }
}
