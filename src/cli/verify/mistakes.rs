//! The known mistakes of signers: those in which published SDKs differ, and those that users have
//! reported. Each has a description and a function that makes it with one part of the request.

use serde_json::Value;

use super::canonical::Part;
use super::sent::{
    Pairs, Sent, as_javascript, closed, decoded, encoded, hash, with_small_escapes, without_dots,
};
use crate::signature::UNSIGNED_PAYLOAD;

/// What a signer did, and the part of the canonical request that it led to.
type Mistake = (&'static str, fn(&Sent<'_>) -> String);

/// What was done with the secret key, and the key that it led to.
type KeyMistake = (&'static str, fn(&str) -> String);

/// The mistakes with one part of the canonical request.
pub(super) struct PartMistakes {
    pub(super) part: Part,
    /// The beginning of each description.
    pub(super) subject: &'static str,
    pub(super) mistakes: &'static [Mistake],
    pub(super) remedy: &'static str,
}

/// The mistakes by part; likely ones come first.
pub(super) const MISTAKES: [PartMistakes; 5] = [
    PartMistakes {
        part: Part::Payload,
        subject: "the body was signed",
        mistakes: &[
            ("as UNSIGNED-PAYLOAD", |_| UNSIGNED_PAYLOAD.to_owned()),
            ("by its hash, against X-Sdk-Content-Sha256", |sent| {
                hash(&sent.request.body)
            }),
            ("as empty", |_| hash(b"")),
            ("as {}", |_| hash(b"{}")),
            ("without the line feed at its end", |sent| {
                sent.text_hash(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            }),
            ("with a line feed at its end", |sent| {
                sent.text_hash(|text| format!("{text}\n"))
            }),
            ("with LF as line ends, and is sent with CR LF", |sent| {
                sent.text_hash(|text| text.replace("\r\n", "\n"))
            }),
            ("without its byte order mark", |sent| {
                sent.text_hash(|text| text.trim_start_matches('\u{feff}').to_owned())
            }),
            ("as JSON without blanks", |sent| {
                let value: Value = serde_json::from_slice(&sent.request.body).unwrap_or_default();
                hash(value.to_string().as_bytes())
            }),
            ("with a line end after its hash", |sent| {
                format!("{}\n", sent.canonical.get(Part::Payload))
            }),
        ],
        remedy: "sign and send the same bytes, and declare X-Sdk-Content-Sha256 if their hash is not signed",
    },
    PartMistakes {
        part: Part::Path,
        subject: "the path was signed",
        mistakes: &[
            ("without the closing slash", |sent| {
                sent.canonical
                    .get(Part::Path)
                    .trim_end_matches('/')
                    .to_owned()
            }),
            ("as it is sent", |sent| closed(sent.path())),
            ("as it is sent, without the closing slash", |sent| {
                sent.path().to_owned()
            }),
            ("without encoding", |sent| {
                closed(&String::from_utf8_lossy(&decoded(sent.path())))
            }),
            ("encoded twice", |sent| {
                closed(&encoded(sent.path().as_bytes()).replace("%2F", "/"))
            }),
            ("with %2F, which the gateway decodes to \"/\"", |sent| {
                let segments = sent.path().split('/');
                let segments = segments.map(|segment| encoded(&decoded(segment)));
                closed(&segments.collect::<Vec<_>>().join("/"))
            }),
            ("without its empty and dot segments", |sent| {
                without_dots(sent.canonical.get(Part::Path))
            }),
            ("as encoded by JavaScript's encodeURIComponent", |sent| {
                as_javascript(sent.canonical.get(Part::Path))
            }),
            ("with escapes in small letters", |sent| {
                with_small_escapes(sent.canonical.get(Part::Path))
            }),
        ],
        remedy: "encode each segment once, with all but A-Z a-z 0-9 - _ . ~ as %XX, and add a closing \"/\"",
    },
    PartMistakes {
        part: Part::Query,
        subject: "the query was signed",
        mistakes: &[
            ("unsorted", |sent| sent.pairs().joined()),
            ("sorted by encoded names and values", |sent| {
                sent.pairs()
                    .sorted_by(|name, value| (encoded(name), encoded(value)))
            }),
            ("sorted by encoded names only", |sent| {
                sent.pairs().sorted_by(|name, _| encoded(name))
            }),
            ("sorted without regard to capital letters", |sent| {
                sent.pairs()
                    .sorted_by(|name, value| (name.to_ascii_lowercase(), value.to_vec()))
            }),
            ("with \"+\" as a space", |sent| {
                Pairs::decode(&sent.query().replace('+', "%20")).sorted()
            }),
            ("with a space as %2B", |sent| {
                sent.canonical.get(Part::Query).replace("%20", "%2B")
            }),
            ("with a space as \"+\"", |sent| {
                sent.canonical.get(Part::Query).replace("%20", "+")
            }),
            ("as it is sent", |sent| sent.query().to_owned()),
            ("encoded twice", |sent| {
                Pairs::decode(&sent.query().replace('%', "%25")).sorted()
            }),
            ("as encoded by JavaScript's encodeURIComponent", |sent| {
                as_javascript(sent.canonical.get(Part::Query))
            }),
            ("with escapes in small letters", |sent| {
                with_small_escapes(sent.canonical.get(Part::Query))
            }),
            ("without pairs that have \";\" in them", |sent| {
                let pairs = sent.query().split('&').filter(|pair| !pair.contains(';'));
                Pairs::decode(&pairs.collect::<Vec<_>>().join("&")).sorted()
            }),
            ("without \"=\" after names without a value", |sent| {
                let query = format!("{}&", sent.canonical.get(Part::Query));
                query.replace("=&", "&").trim_end_matches('&').to_owned()
            }),
            ("without pairs that have no name", |sent| {
                sent.pairs().named().sorted()
            }),
            ("as empty", |_| String::new()),
        ],
        remedy: "sort the decoded pairs by name, then by value, and encode each once, with %20 for a space and %2B for \"+\"",
    },
    PartMistakes {
        part: Part::Method,
        subject: "the method was signed",
        mistakes: &[
            ("in small letters", |sent| {
                sent.request.method.to_ascii_lowercase()
            }),
            ("as GET", |_| "GET".to_owned()),
            ("as POST", |_| "POST".to_owned()),
        ],
        remedy: "sign the method that is sent, in capital letters, and sign again after a redirect",
    },
    PartMistakes {
        part: Part::Headers,
        subject: "the headers were signed",
        mistakes: &[
            ("with the host without its port", |sent| {
                sent.with_header("host", |host| match host.rsplit_once(':') {
                    // The colons of an IPv6 address are in brackets.
                    Some((name, port)) if !port.ends_with(']') => name.to_owned(),
                    _ => host.to_owned(),
                })
            }),
            ("with the host in small letters", |sent| {
                sent.with_header("host", str::to_ascii_lowercase)
            }),
            ("with Content-Type without its parameters", |sent| {
                sent.with_header("content-type", |value| {
                    let bare = value.split(';').next().unwrap_or_default();
                    bare.trim_end().to_owned()
                })
            }),
            ("with the blanks around their values", |sent| {
                // Most clients write a blank after the colon that is not part of the value.
                sent.with_values(|raw| raw.strip_prefix(' ').unwrap_or(raw).to_owned())
            }),
            ("with blanks within values as one", |sent| {
                sent.with_values(|raw| raw.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            }),
            ("unsorted", |sent| {
                sent.with_names(&sent.names.to_ascii_lowercase())
            }),
            ("with capital letters in their names", |sent| {
                sent.with_names(sent.names)
            }),
            ("without the empty line after them", |sent| {
                sent.canonical.get(Part::Headers).replace("\n\n", "\n")
            }),
        ],
        remedy: "sign the values that are sent, trimmed, under names in small letters that are sorted, and end each with a line feed",
    },
];

/// The mistakes with the secret key, which files and shells change.
pub(super) const KEY_MISTAKES: [KeyMistake; 3] = [
    (
        "the secret key was used with a line feed at its end; remove it when the key is read",
        |secret| format!("{secret}\n"),
    ),
    (
        "the secret key was used with a blank at its end; remove it when the key is read",
        |secret| format!("{secret} "),
    ),
    (
        "the secret key was used without the blanks around it; remove them from these credentials too",
        |secret| secret.trim().to_owned(),
    ),
];
