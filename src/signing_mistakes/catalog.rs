//! The known mistakes of signers: those in which published SDKs differ, and those that users have
//! reported. Each has a description, and what it makes of one part of the canonical request.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Value, json};

use super::header;
use crate::signature::{PayloadHash, Presented, ReceivedRequest, UNSIGNED_PAYLOAD};

#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Method,
    Path,
    Query,
    /// The header lines, an empty line, and `SignedHeaders`.
    Headers,
    Payload,
}

/// The mistakes with one part of the canonical request.
pub(super) struct PartMistakes {
    pub(super) part: Part,
    /// The beginning of each description.
    pub(super) subject: &'static str,
    /// The rest of each description, and the part as the signer wrote it; likely ones come first.
    pub(super) make: fn(&Sent<'_>) -> Value,
    pub(super) hint: &'static str,
}

/// A request and its canonical form.
pub(super) struct Sent<'a> {
    pub(super) request: &'a ReceivedRequest<'a>,
    pub(super) body: &'a [u8],
    /// The canonical request, in the order of [`Part`].
    pub(super) parts: [&'a str; 5],
    pub(super) presented: Presented<'a>,
}

pub(super) const MISTAKES: [PartMistakes; 5] = [
    PartMistakes {
        part: Part::Payload,
        subject: "the body was signed",
        make: bodies,
        hint: "sign and send the same bytes, and declare `X-Sdk-Content-Sha256` if their hash is not signed",
    },
    PartMistakes {
        part: Part::Path,
        subject: "the path was signed",
        make: paths,
        hint: "encode each segment once, with all but `A-Z a-z 0-9 - _ . ~` as `%XX`, and add a closing `/`",
    },
    PartMistakes {
        part: Part::Query,
        subject: "the query was signed",
        make: queries,
        hint: "sort the decoded pairs by name, then by value, and encode each once, with `%20` for a space and `%2B` for `+`",
    },
    PartMistakes {
        part: Part::Method,
        subject: "the method was signed",
        make: |sent| json!({ "in lower case": sent.request.method.to_lowercase(), "as `GET`": "GET", "as `POST`": "POST" }),
        hint: "sign the method that is sent, in upper case, and sign again after a redirect",
    },
    PartMistakes {
        part: Part::Headers,
        subject: "the headers were signed",
        make: headers,
        hint: "sign the values that are sent, without the blanks around them, under sorted names in lower case",
    },
];

/// What was added to the secret key by files and shells, and its description.
pub(super) const KEY_MISTAKES: [(&str, &str); 2] = [
    ("\n", "the secret key was used with a line feed at its end"),
    (" ", "the secret key was used with a space at its end"),
];

/// The remedy for [`KEY_MISTAKES`].
pub(super) const KEY_HINT: &str =
    "remove spaces and line ends from the secret key wherever it is read";

fn bodies(sent: &Sent<'_>) -> Value {
    let body = sent.body;
    let hash = |body: &dyn AsRef<[u8]>| {
        let hash = PayloadHash::with_algorithm(sent.presented.algorithm, body.as_ref());
        hash.as_str().to_owned()
    };
    let text = str::from_utf8(body).unwrap_or_default();
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut sorted = json.clone();
    sorted.sort_all_objects();
    let pretty = serde_json::to_string_pretty(&json).unwrap_or_default();
    let from_latin: String = body.iter().map(|byte| char::from(*byte)).collect();
    let to_latin = |character| u8::try_from(character).unwrap_or(b'?');
    let to_latin: Vec<u8> = text.chars().map(to_latin).collect();
    json!({
        "as `UNSIGNED-PAYLOAD`": UNSIGNED_PAYLOAD,
        "by its hash, against `X-Sdk-Content-Sha256`": hash(&body),
        "as empty": hash(&""),
        "as `{}`": hash(&"{}"),
        "as `null`": hash(&"null"),
        "without the line feed at its end": hash(&text.trim_end_matches(['\r', '\n'])),
        "with a line feed at its end": hash(&format!("{text}\n")),
        "without its byte order mark": hash(&text.trim_start_matches('\u{feff}')),
        "as UTF-8, and is sent as ISO-8859-1": hash(&from_latin),
        "as ISO-8859-1, and is sent as UTF-8": hash(&to_latin),
        "as JSON without spaces": hash(&json.to_string()),
        "as JSON with spaces after commas and colons": hash(&spaced_json(&json)),
        "as JSON with spaces, and escapes for all but ASCII": hash(&ascii_json(&spaced_json(&json))),
        "as JSON with sorted names": hash(&sorted.to_string()),
        "as JSON with sorted names, and spaces after commas and colons": hash(&spaced_json(&sorted)),
        "as JSON on indented lines": hash(&pretty),
    })
}

fn paths(sent: &Sent<'_>) -> Value {
    let canonical = sent.parts[Part::Path as usize];
    let path = sent.request.target.split('?').next().unwrap_or_default();
    let closed = |path: &str| format!("{}/", path.trim_end_matches('/'));
    let segments = path.split('/').map(|segment| encoded(&decoded(segment)));
    let named = canonical.split('/').filter(|segment| !segment.is_empty());
    json!({
        "without the closing slash": canonical.trim_end_matches('/'),
        "as it is sent": closed(path),
        "as it is sent, without the closing slash": path,
        "encoded twice": closed(&encoded(path.as_bytes()).replace("%2F", "/")),
        "with `%2F`, which the gateway decodes to `/`": closed(&segments.collect::<Vec<_>>().join("/")),
        "without its empty segments": format!("/{}/", named.collect::<Vec<_>>().join("/")),
        "as encoded by JavaScript's `encodeURIComponent`": as_javascript(canonical),
    })
}

fn queries(sent: &Sent<'_>) -> Value {
    let canonical = sent.parts[Part::Query as usize];
    let sent = sent.request.target.split_once('?').unwrap_or_default().1;
    let sorted = |text: &str| sorted_by(text, Pair::clone);
    let without = |is_lost: fn(&&str) -> bool| {
        let pairs = sent.split('&').filter(|pair| !is_lost(pair));
        sorted(&pairs.collect::<Vec<_>>().join("&"))
    };
    let bare_names = format!("{canonical}&").replace("=&", "&");
    json!({
        "unsorted": sorted_by(sent, |_| ()),
        "sorted by encoded names and values": sorted_by(sent, |pair| (encoded(&pair.0), encoded(&pair.1))),
        "sorted by encoded names only": sorted_by(sent, |pair| encoded(&pair.0)),
        "sorted without regard to case": sorted_by(sent, |pair| (pair.0.to_ascii_lowercase(), pair.1.clone())),
        "with `+` as a space": sorted(&sent.replace('+', "%20")),
        "with a space as `+`": canonical.replace("%20", "+"),
        "as it is sent": sent,
        "encoded twice": sorted(&sent.replace('%', "%25")),
        "as encoded by JavaScript's `encodeURIComponent`": as_javascript(canonical),
        "without pairs that have `;` in them": without(|pair| pair.contains(';')),
        "without `=` after names without a value": bare_names.trim_end_matches('&'),
        "without pairs that have no name": without(|pair| pair.starts_with('=')),
        "as empty": "",
    })
}

fn headers(sent: &Sent<'_>) -> Value {
    let canonical = sent.parts[Part::Headers as usize];
    let (lines, names) = canonical.split_once("\n\n").unwrap_or_default();
    // With a change of the header of this name, or of all.
    let with = |changed: &str, change: fn(&str) -> String| {
        let lines = lines.split('\n').map(|line| match line.split_once(':') {
            Some((name, value)) if changed.is_empty() || name == changed => {
                format!("{name}:{}\n", change(value))
            }
            _ => format!("{line}\n"),
        });
        format!("{}\n{names}", lines.collect::<String>())
    };
    // The lines of these headers with the values that were received.
    let received = |names: &str, trim: fn(&str) -> &str| {
        let line = |name: &str| {
            let value = header(sent.request, name).unwrap_or_default();
            let value = String::from_utf8_lossy(value);
            format!("{name}:{}\n", trim(&value))
        };
        let lines = names.split(';').map(line);
        format!("{}\n{names}", lines.collect::<String>())
    };
    json!({
        "with the blanks around their values": received(names, |value| value),
        "unsorted, in the order of `SignedHeaders`": received(sent.presented.signed_headers, str::trim),
        "with the host without its port": with("host", |host| without_port(host).to_owned()),
        "with the host in lower case": with("host", str::to_lowercase),
        "with `Content-Type` without its parameters": with("content-type", |value| {
            value.split(';').next().unwrap_or_default().trim_end().to_owned()
        }),
        "with runs of spaces in their values as one": with("", |value| {
            value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        }),
    })
}

/// A host without its port. The colons of an IPv6 address are in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The decoded name and value of a query parameter.
type Pair = (Vec<u8>, Vec<u8>);

/// The bytes that percent-encoded text stands for; broken escapes stand for themselves.
fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Text for these bytes with everything encoded but the unreserved characters.
fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}

/// With the five characters that JavaScript's `encodeURIComponent` leaves alone.
fn as_javascript(text: &str) -> String {
    let kept = [
        ("%21", "!"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
    ];
    kept.iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// A query with its parameters in the order of a key, each encoded once.
fn sorted_by<K: Ord>(text: &str, key: impl Fn(&Pair) -> K) -> String {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(name, value)| (decoded(name), decoded(value)));
    let mut pairs: Vec<Pair> = pairs.collect();
    pairs.sort_by_cached_key(key);
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// JSON with a space after each comma and colon, as Python's `json.dumps` writes it.
fn spaced_json(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entry = |(name, value)| format!("{}: {}", json!(name), spaced_json(value));
            format!(
                "{{{}}}",
                entries.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(spaced_json).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

/// JSON with `\uXXXX` in place of characters outside ASCII.
fn ascii_json(text: &str) -> String {
    let escaped = |character: char| match character {
        '\0'..='\x7f' => character.to_string(),
        other => other
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect(),
    };
    text.chars().map(escaped).collect()
}
