//! What is kept of a body: its beginning, without secrets.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::redact::Hider;
use super::rules::Rules;
use super::scan::{Form, Json, Kind};
use crate::proxy::redact::Redactor;

/// One side's body while it passes.
#[derive(Debug, Default)]
pub(super) struct Copied {
    kept: Option<Kept>,
    /// Bytes that passed since the last note.
    pub(super) unreported: u64,
}

/// The beginning of a body, and the state of all that hides secrets in it.
#[derive(Debug)]
struct Kept {
    form: Form,
    json: Json,
    /// Made with the first bytes: most requests have no body.
    redactors: Option<Vec<Redactor>>,
    /// How many more bytes are scanned, and kept. What is shown may be longer than a hidden value.
    left: usize,
    room: usize,
}

impl Copied {
    /// A body with this head. Nothing is kept of an encoded one, whose secrets are not recognised.
    pub(super) fn new(headers: &HeaderMap, hider: &Hider) -> Self {
        let limit = hider.rules.bodies;
        let is_kept = limit > 0 && !is_encoded(headers);
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let is_form = content_type.starts_with(b"application/x-www-form-urlencoded");
        let kind = if is_form { Kind::Fields } else { Kind::Text };
        let kept = || Kept {
            form: Form::new(kind),
            json: Json::new(content_type.starts_with(b"multipart/")),
            redactors: None,
            left: limit,
            room: limit,
        };
        Self {
            kept: is_kept.then(kept),
            unreported: 0,
        }
    }

    /// Takes the next bytes, and returns those that are kept and decided.
    pub(super) fn push(&mut self, hider: &mut Hider, data: &[u8]) -> Vec<u8> {
        self.unreported += data.len() as u64;
        let Some(kept) = &mut self.kept else {
            return Vec::new();
        };
        let now = &data[..data.len().min(kept.left)];
        kept.left -= now.len();
        kept.redactors.get_or_insert_with(|| hider.redactors());
        let mut out = kept.push(&hider.rules, now);
        if now.len() < data.len() {
            // What is held back may be the beginning of a secret.
            out.append(&mut self.end(hider, false));
        }
        out
    }

    /// Ends the body, and returns what was held back. What may be the beginning of a secret is
    /// dropped unless the body `is_complete`.
    pub(super) fn end(&mut self, hider: &mut Hider, is_complete: bool) -> Vec<u8> {
        let Some(mut kept) = self.kept.take() else {
            return Vec::new();
        };
        let out = kept.finish(&hider.rules, is_complete);
        let found = kept.form.found.iter().chain(&kept.json.found);
        found.for_each(|value| hider.found(value));
        out
    }
}

impl Kept {
    fn push(&mut self, rules: &Rules, data: &[u8]) -> Vec<u8> {
        let (mut fields, mut members) = (Vec::with_capacity(data.len()), Vec::new());
        self.form.push(rules, data, &mut fields);
        self.json.push(rules, &fields, &mut members);
        let mut text = members;
        for known in self.redactors.iter_mut().flatten() {
            if known.passes(&text) {
                continue;
            }
            text = known.push_with(&text, |secret, out| rules.hide(b"secret", secret, out));
        }
        self.fitting(text)
    }

    fn finish(&mut self, rules: &Rules, is_complete: bool) -> Vec<u8> {
        let (mut fields, mut text) = (Vec::new(), Vec::new());
        self.form.finish(rules, &mut fields);
        self.json.push(rules, &fields, &mut text);
        self.json.finish(rules, &mut text);
        let hide = |secret: &[u8], out: &mut Vec<u8>| rules.hide(b"secret", secret, out);
        for known in self.redactors.iter_mut().flatten() {
            text = known.push_with(&text, hide);
            if is_complete {
                text.append(&mut known.finish_with(hide));
            }
        }
        self.fitting(text)
    }

    fn fitting(&mut self, mut text: Vec<u8>) -> Vec<u8> {
        text.truncate(self.room);
        self.room -= text.len();
        text
    }
}

/// True if secrets in a body cannot be recognised.
fn is_encoded(headers: &HeaderMap) -> bool {
    let is_coded = |name| {
        let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        !headers.get_all(name).iter().all(is_identity)
    };
    let is_wide = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        let names = |charset: &str| memchr::memmem::find(&value, charset.as_bytes()).is_some();
        names("utf-16") || names("utf-32")
    };
    is_coded(CONTENT_ENCODING.as_str())
        || is_coded("grpc-encoding")
        || headers.get(CONTENT_TYPE).is_some_and(is_wide)
}
