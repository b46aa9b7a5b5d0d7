//! The known mistakes of signers: those in which published SDKs differ, and those that users have
//! reported. Each has a description and a function that makes it with one part of the request.

use serde_json::Value;

use super::canonical::{Canonical, Part};
use super::request::ParsedRequest;
use super::spelling::{
    as_javascript, ascii_json, closed, decoded, encoded, pairs, query, sorted, sorted_by,
    sorted_json, spaced_json, with_lower_escapes, without_dots,
};
use crate::signature::{PayloadHash, UNSIGNED_PAYLOAD};

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
    pub(super) hint: &'static str,
}

/// A request and its canonical form.
pub(super) struct Sent<'a> {
    pub(super) request: &'a ParsedRequest,
    pub(super) canonical: &'a Canonical,
    /// `SignedHeaders` as sent.
    pub(super) names: &'a str,
}

/// The mistakes by part; likely ones come first.
pub(super) const MISTAKES: [PartMistakes; 5] = [
    PartMistakes {
        part: Part::Payload,
        subject: "the body was signed",
        mistakes: &[
            ("as `UNSIGNED-PAYLOAD`", |_| UNSIGNED_PAYLOAD.to_owned()),
            ("by its hash, against `X-Sdk-Content-Sha256`", |sent| {
                hash(&sent.request.body)
            }),
            ("as empty", |_| hash(b"")),
            ("as `{}`", |_| hash(b"{}")),
            ("without the line feed at its end", |sent| {
                sent.text(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            }),
            ("with a line feed at its end", |sent| {
                sent.text(|text| format!("{text}\n"))
            }),
            ("with LF as line ends, and is sent with CR LF", |sent| {
                sent.text(|text| text.replace("\r\n", "\n"))
            }),
            ("without its byte order mark", |sent| {
                sent.text(|text| text.trim_start_matches('\u{feff}').to_owned())
            }),
            ("as UTF-8, and is sent as ISO-8859-1", |sent| {
                let characters = sent.request.body.iter().map(|byte| char::from(*byte));
                hash(characters.collect::<String>().as_bytes())
            }),
            ("as ISO-8859-1, and is sent as UTF-8", |sent| {
                let text = str::from_utf8(&sent.request.body).unwrap_or_default();
                let bytes = text
                    .chars()
                    .map(|character| u8::try_from(character).unwrap_or(b'?'));
                hash(&bytes.collect::<Vec<u8>>())
            }),
            ("as JSON without spaces", |sent| sent.json(Value::to_string)),
            ("as JSON with spaces after commas and colons", |sent| {
                sent.json(spaced_json)
            }),
            ("as JSON with escapes for all but ASCII", |sent| {
                sent.json(|json| ascii_json(&json.to_string()))
            }),
            (
                "as JSON with spaces, and escapes for all but ASCII",
                |sent| sent.json(|json| ascii_json(&spaced_json(json))),
            ),
            ("as JSON with sorted keys", |sent| {
                sent.json(|json| sorted_json(json).to_string())
            }),
            ("as indented JSON", |sent| {
                sent.json(|json| format!("{json:#}"))
            }),
            ("with a line end after its hash", |sent| {
                format!("{}\n", sent.canonical.get(Part::Payload))
            }),
        ],
        hint: "sign and send the same bytes, and declare `X-Sdk-Content-Sha256` if their hash is not signed",
    },
    PartMistakes {
        part: Part::Path,
        subject: "the path was signed",
        mistakes: &[
            ("without the closing slash", |sent| {
                let path = sent.canonical.get(Part::Path);
                path.trim_end_matches('/').to_owned()
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
            ("with `%2F`, which the gateway decodes to `/`", |sent| {
                let segments = sent.path().split('/');
                let segments = segments.map(|segment| encoded(&decoded(segment)));
                closed(&segments.collect::<Vec<_>>().join("/"))
            }),
            ("without its empty and dot segments", |sent| {
                without_dots(sent.canonical.get(Part::Path))
            }),
            ("as encoded by JavaScript's `encodeURIComponent`", |sent| {
                as_javascript(sent.canonical.get(Part::Path))
            }),
            ("with escapes in lower case", |sent| {
                with_lower_escapes(sent.canonical.get(Part::Path))
            }),
        ],
        hint: "encode each segment once, with all but `A-Z a-z 0-9 - _ . ~` as `%XX`, and add a closing `/`",
    },
    PartMistakes {
        part: Part::Query,
        subject: "the query was signed",
        mistakes: &[
            ("unsorted", |sent| query(&pairs(sent.query()))),
            ("sorted by encoded names and values", |sent| {
                sorted_by(sent.query(), |(name, value)| {
                    (encoded(name), encoded(value))
                })
            }),
            ("sorted by encoded names only", |sent| {
                sorted_by(sent.query(), |(name, _)| encoded(name))
            }),
            ("sorted without regard to case", |sent| {
                sorted_by(sent.query(), |(name, value)| {
                    (name.to_ascii_lowercase(), value.clone())
                })
            }),
            ("with `+` as a space", |sent| {
                sorted(&sent.query().replace('+', "%20"))
            }),
            ("with a space as `%2B`", |sent| {
                sent.canonical.get(Part::Query).replace("%20", "%2B")
            }),
            ("with a space as `+`", |sent| {
                sent.canonical.get(Part::Query).replace("%20", "+")
            }),
            ("as it is sent", |sent| sent.query().to_owned()),
            ("encoded twice", |sent| {
                sorted(&sent.query().replace('%', "%25"))
            }),
            ("as encoded by JavaScript's `encodeURIComponent`", |sent| {
                as_javascript(sent.canonical.get(Part::Query))
            }),
            ("with escapes in lower case", |sent| {
                with_lower_escapes(sent.canonical.get(Part::Query))
            }),
            ("without pairs that have `;` in them", |sent| {
                let pairs = sent.query().split('&').filter(|pair| !pair.contains(';'));
                sorted(&pairs.collect::<Vec<_>>().join("&"))
            }),
            ("without `=` after names without a value", |sent| {
                let query = format!("{}&", sent.canonical.get(Part::Query));
                query.replace("=&", "&").trim_end_matches('&').to_owned()
            }),
            ("without pairs that have no name", |sent| {
                let pairs = sent
                    .query()
                    .split('&')
                    .filter(|pair| !pair.starts_with('='));
                sorted(&pairs.collect::<Vec<_>>().join("&"))
            }),
            ("as empty", |_| String::new()),
        ],
        hint: "sort the decoded pairs by name, then by value, and encode each once, with `%20` for a space and `%2B` for `+`",
    },
    PartMistakes {
        part: Part::Method,
        subject: "the method was signed",
        mistakes: &[
            ("in lower case", |sent| {
                sent.request.method.to_ascii_lowercase()
            }),
            ("as `GET`", |_| "GET".to_owned()),
            ("as `POST`", |_| "POST".to_owned()),
        ],
        hint: "sign the method that is sent, in upper case, and sign again after a redirect",
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
            ("with the host in lower case", |sent| {
                sent.with_header("host", str::to_ascii_lowercase)
            }),
            ("with `Content-Type` without its parameters", |sent| {
                sent.with_header("content-type", |value| {
                    let bare = value.split(';').next().unwrap_or_default();
                    bare.trim_end().to_owned()
                })
            }),
            ("with the spaces around their values", |sent| {
                // Most clients write a space after the colon that is not part of the value.
                sent.headers(sent.sorted_names(), |_, raw| {
                    raw.strip_prefix(' ').unwrap_or(raw).to_owned()
                })
            }),
            ("with runs of spaces in their values as one", |sent| {
                let folded = |raw: &str| raw.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                sent.headers(sent.sorted_names(), |_, raw| folded(raw))
            }),
            ("unsorted", |sent| {
                sent.headers(&sent.names.to_ascii_lowercase(), |_, raw| {
                    raw.trim().to_owned()
                })
            }),
            ("with upper case letters in their names", |sent| {
                sent.headers(sent.names, |_, raw| raw.trim().to_owned())
            }),
            ("without the empty line after them", |sent| {
                sent.canonical.get(Part::Headers).replace("\n\n", "\n")
            }),
        ],
        hint: "sign the values that are sent, trimmed, under sorted names in lower case, and end each with a line feed",
    },
];

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

impl Sent<'_> {
    /// The path on the wire.
    fn path(&self) -> &str {
        self.request.target.split('?').next().unwrap_or_default()
    }

    /// The query on the wire, without its question mark.
    fn query(&self) -> &str {
        self.request.target.split_once('?').unwrap_or_default().1
    }

    /// The hash of a text body with a change.
    fn text(&self, change: impl Fn(&str) -> String) -> String {
        hash(change(str::from_utf8(&self.request.body).unwrap_or_default()).as_bytes())
    }

    /// The hash of a JSON body that is written anew.
    fn json(&self, write: impl Fn(&Value) -> String) -> String {
        let value = serde_json::from_slice(&self.request.body).unwrap_or_default();
        hash(write(&value).as_bytes())
    }

    /// `SignedHeaders` in the order of the signature.
    fn sorted_names(&self) -> &str {
        let headers = self.canonical.get(Part::Headers);
        headers.rsplit_once('\n').unwrap_or_default().1
    }

    /// The headers with a change of one value.
    fn with_header(&self, changed: &str, change: impl Fn(&str) -> String) -> String {
        self.headers(self.sorted_names(), |name, raw| {
            let value = raw.trim();
            if name == changed {
                change(value)
            } else {
                value.to_owned()
            }
        })
    }

    /// The header lines and `SignedHeaders` under these names, with values made from the names and
    /// the values as sent, with the spaces around them.
    fn headers(&self, names: &str, value: impl Fn(&str, &str) -> String) -> String {
        let line = |name: &str| {
            let mut headers = self.request.headers.iter();
            let header = headers.find(|header| header.0.eq_ignore_ascii_case(name));
            let raw = header.and_then(|header| str::from_utf8(&header.1).ok());
            format!("{name}:{}\n", value(name, raw.unwrap_or_default()))
        };
        let lines: String = names.split(';').map(line).collect();
        format!("{lines}\n{names}")
    }
}

/// The hash of a body, in hexadecimal.
fn hash(body: &[u8]) -> String {
    PayloadHash::new(body).as_str().to_owned()
}
