//! The known mistakes of signers: those in which published SDKs differ, and those that users have
//! reported. Each has a description, and what it makes of one part of the canonical request.

use serde_json::{Value, json};

use super::canonical::{Canonical, Part};
use super::spelling::{
    as_javascript, ascii_json, closed, decoded, encoded, pairs, query, sorted, sorted_by,
    sorted_json, spaced_json, with_lower_escapes, without_dots,
};
use crate::signature::{Algorithm, PayloadHasher, ReceivedRequest, UNSIGNED_PAYLOAD};

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
    pub(super) canonical: &'a Canonical,
    pub(super) algorithm: Algorithm<'a>,
    /// `SignedHeaders` as sent.
    pub(super) names: &'a str,
}

/// The mistakes by part.
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
        hint: "sign the values that are sent, trimmed, under sorted names in lower case, and end each with a line feed",
    },
];

/// What was done with the secret key, and the key that it led to.
type KeyMistake = (&'static str, fn(&str) -> String);

/// The mistakes with the secret key, which files and shells change.
pub(super) const KEY_MISTAKES: [KeyMistake; 3] = [
    (
        "the secret key was used with a line feed at its end",
        |secret| format!("{secret}\n"),
    ),
    (
        "the secret key was used with a space at its end",
        |secret| format!("{secret} "),
    ),
    (
        "the secret key was used without the spaces around it, which these credentials have",
        |secret| secret.trim().to_owned(),
    ),
];

/// The remedy for [`KEY_MISTAKES`].
pub(super) const KEY_HINT: &str =
    "remove spaces and line ends from the secret key wherever it is read";

fn bodies(sent: &Sent<'_>) -> Value {
    let body = sent.body;
    let hash = |body: &dyn AsRef<[u8]>| sent.hash(body.as_ref());
    let text = str::from_utf8(body).unwrap_or_default();
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let from_latin: String = body.iter().map(|byte| char::from(*byte)).collect();
    let latin = text
        .chars()
        .map(|character| u8::try_from(character).unwrap_or(b'?'));
    json!({
        "as `UNSIGNED-PAYLOAD`": UNSIGNED_PAYLOAD,
        "by its hash, against `X-Sdk-Content-Sha256`": hash(&body),
        "as empty": hash(&""),
        "as `{}`": hash(&"{}"),
        "without the line feed at its end": hash(&text.trim_end_matches(['\r', '\n'])),
        "with a line feed at its end": hash(&format!("{text}\n")),
        "with LF as line ends, and is sent with CR LF": hash(&text.replace("\r\n", "\n")),
        "without its byte order mark": hash(&text.trim_start_matches('\u{feff}')),
        "as UTF-8, and is sent as ISO-8859-1": hash(&from_latin),
        "as ISO-8859-1, and is sent as UTF-8": hash(&latin.collect::<Vec<u8>>()),
        "as JSON without spaces": hash(&json.to_string()),
        "as JSON with spaces after commas and colons": hash(&spaced_json(&json)),
        "as JSON with escapes for all but ASCII": hash(&ascii_json(&json.to_string())),
        "as JSON with spaces, and escapes for all but ASCII": hash(&ascii_json(&spaced_json(&json))),
        "as JSON with sorted keys": hash(&sorted_json(&json).to_string()),
        "as indented JSON": hash(&format!("{json:#}")),
        "with a line end after its hash": format!("{}\n", sent.canonical.get(Part::Payload)),
    })
}

fn paths(sent: &Sent<'_>) -> Value {
    let canonical = sent.canonical.get(Part::Path);
    let path = sent.request.target.split('?').next().unwrap_or_default();
    let segments = path.split('/').map(|segment| encoded(&decoded(segment)));
    json!({
        "without the closing slash": canonical.trim_end_matches('/'),
        "as it is sent": closed(path),
        "as it is sent, without the closing slash": path,
        "without encoding": closed(&String::from_utf8_lossy(&decoded(path))),
        "encoded twice": closed(&encoded(path.as_bytes()).replace("%2F", "/")),
        "with `%2F`, which the gateway decodes to `/`": closed(&segments.collect::<Vec<_>>().join("/")),
        "without its empty and dot segments": without_dots(canonical),
        "as encoded by JavaScript's `encodeURIComponent`": as_javascript(canonical),
        "with escapes in lower case": with_lower_escapes(canonical),
    })
}

fn queries(sent: &Sent<'_>) -> Value {
    let canonical = sent.canonical.get(Part::Query);
    let sent = sent.request.target.split_once('?').unwrap_or_default().1;
    let without = |is_lost: fn(&&str) -> bool| {
        let pairs = sent.split('&').filter(|pair| !is_lost(pair));
        sorted(&pairs.collect::<Vec<_>>().join("&"))
    };
    let bare_names = format!("{canonical}&").replace("=&", "&");
    json!({
        "unsorted": query(&pairs(sent)),
        "sorted by encoded names and values": sorted_by(sent, |pair| (encoded(&pair.0), encoded(&pair.1))),
        "sorted by encoded names only": sorted_by(sent, |pair| encoded(&pair.0)),
        "sorted without regard to case": sorted_by(sent, |pair| (pair.0.to_ascii_lowercase(), pair.1.clone())),
        "with `+` as a space": sorted(&sent.replace('+', "%20")),
        "with a space as `%2B`": canonical.replace("%20", "%2B"),
        "with a space as `+`": canonical.replace("%20", "+"),
        "as it is sent": sent,
        "encoded twice": sorted(&sent.replace('%', "%25")),
        "as encoded by JavaScript's `encodeURIComponent`": as_javascript(canonical),
        "with escapes in lower case": with_lower_escapes(canonical),
        "without pairs that have `;` in them": without(|pair| pair.contains(';')),
        "without `=` after names without a value": bare_names.trim_end_matches('&'),
        "without pairs that have no name": without(|pair| pair.starts_with('=')),
        "as empty": "",
    })
}

fn headers(sent: &Sent<'_>) -> Value {
    let canonical = sent.canonical.get(Part::Headers);
    let names = canonical.rsplit_once('\n').unwrap_or_default().1;
    let trimmed = |_: &str, raw: &str| raw.trim().to_owned();
    // With a change of one value.
    let with = |changed: &str, change: fn(&str) -> &str| {
        sent.headers(names, |name, raw| {
            let value = raw.trim();
            if name == changed {
                change(value)
            } else {
                value
            }
            .to_owned()
        })
    };
    json!({
        "with the host without its port": with("host", without_port),
        "with the host in lower case": sent.headers(names, |name, raw| {
            if name == "host" { raw.trim().to_lowercase() } else { raw.trim().to_owned() }
        }),
        "with `Content-Type` without its parameters": with("content-type", |value| {
            value.split(';').next().unwrap_or_default().trim_end()
        }),
        // Most clients write a space after the colon that is not part of the value.
        "with the spaces around their values": sent.headers(names, |_, raw| {
            raw.strip_prefix(' ').unwrap_or(raw).to_owned()
        }),
        "with runs of spaces in their values as one": sent.headers(names, |_, raw| {
            raw.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        }),
        "unsorted": sent.headers(&sent.names.to_lowercase(), trimmed),
        "with upper case letters in their names": sent.headers(sent.names, trimmed),
        "without the empty line after them": canonical.replace("\n\n", "\n"),
    })
}

/// A host without its port. The colons of an IPv6 address are in brackets.
fn without_port(host: &str) -> &str {
    let split = host.rsplit_once(':');
    split.map_or(
        host,
        |(name, port)| if port.ends_with(']') { host } else { name },
    )
}

impl Sent<'_> {
    /// The header lines and `SignedHeaders` under these names, with values made from the names and
    /// the values as sent, with the spaces around them.
    fn headers(&self, names: &str, value: impl Fn(&str, &str) -> String) -> String {
        let line = |name: &str| {
            let mut headers = self.request.headers.iter();
            let header = headers.find(|header| header.0.eq_ignore_ascii_case(name));
            let raw = header.and_then(|header| str::from_utf8(header.1).ok());
            format!("{name}:{}\n", value(name, raw.unwrap_or_default()))
        };
        let lines: String = names.split(';').map(line).collect();
        format!("{lines}\n{names}")
    }

    /// The hash of a body, in hexadecimal.
    fn hash(&self, body: &[u8]) -> String {
        let mut hasher = PayloadHasher::new(self.algorithm);
        hasher.update(body);
        hasher.finish().as_str().to_owned()
    }
}
