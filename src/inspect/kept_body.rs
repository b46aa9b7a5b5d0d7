//! What is kept of a body: its beginning, decoded and without secrets.

use std::rc::Rc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::note::Side;
use super::redact::Hider;
use super::rules::Rules;
use super::scan::{Form, Json, Kind};
use crate::proxy::content_coding::{Decoder, decoder};
use crate::proxy::redact::Redactor;

/// How much of an encoded body is decoded, in bytes, and of how many at once in one worker.
const MAX_ENCODED: usize = 64 * 1024;
const MAX_DECODING: usize = 64;

/// One side's body while it passes.
#[derive(Debug, Default)]
pub(super) struct Copied {
    kept: Option<Kept>,
    /// The beginning of an encoded body, and what decodes it at its end.
    encoded: Option<(Decoder, Vec<u8>, Rc<()>)>,
    /// Some of the body is not kept, or could not be decoded.
    pub(super) is_cut: bool,
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
    /// How many more bytes are scanned. What is shown may be longer than a hidden value.
    left: usize,
}

impl Copied {
    /// A body with this head. Nothing is kept of one that cannot be decoded, whose secrets are not
    /// recognised, nor of an encoded request, which is sent again as it was. Those that are decoded at
    /// their end have a clone of `decoding`.
    pub(super) fn new(side: Side, headers: &HeaderMap, hider: &Hider, decoding: &Rc<()>) -> Self {
        let limit = hider.rules.bodies;
        let is_encoded = is_coded(headers, CONTENT_ENCODING.as_str());
        let has_room = side == Side::Out && Rc::strong_count(decoding) <= MAX_DECODING;
        let decoder = decoder(headers).filter(|_| is_encoded && has_room && limit > 0);
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let names = |name: &str| memchr::memmem::find(&content_type, name.as_bytes()).is_some();
        let is_text = !is_coded(headers, "grpc-encoding") && !names("utf-16") && !names("utf-32");
        let is_kept = limit > 0 && is_text && is_encoded == decoder.is_some();
        let is_form = content_type.starts_with(b"application/x-www-form-urlencoded");
        let kind = if is_form { Kind::Fields } else { Kind::Text };
        let kept = || Kept {
            form: Form::new(kind),
            json: Json::new(content_type.starts_with(b"multipart/")),
            redactors: None,
            left: limit,
        };
        Self {
            kept: is_kept.then(kept),
            encoded: decoder.map(|decode| (decode, Vec::new(), Rc::clone(decoding))),
            ..Self::default()
        }
    }

    /// Takes the next bytes, and returns those that are kept and decided.
    pub(super) fn push(&mut self, hider: &mut Hider, data: &[u8]) -> Vec<u8> {
        self.unreported += data.len() as u64;
        let Some((_, encoded, _)) = &mut self.encoded else {
            return self.push_decoded(hider, data);
        };
        let now = &data[..data.len().min(MAX_ENCODED - encoded.len())];
        encoded.extend_from_slice(now);
        self.is_cut = now.len() < data.len();
        match self.is_cut {
            true => self.end(hider, false),
            false => Vec::new(),
        }
    }

    fn push_decoded(&mut self, hider: &mut Hider, data: &[u8]) -> Vec<u8> {
        let Some(kept) = &mut self.kept else {
            return Vec::new();
        };
        let now = &data[..data.len().min(kept.left)];
        kept.left -= now.len();
        kept.redactors.get_or_insert_with(|| hider.secrets.clone());
        let mut out = kept.push(&hider.rules, now, None);
        if now.len() < data.len() {
            self.is_cut = true;
            // What is held back may be the beginning of a secret.
            out.append(&mut self.end(hider, false));
        }
        out
    }

    /// Ends the body, and returns what was held back. What may be the beginning of a secret is
    /// dropped unless the body `is_complete`.
    pub(super) fn end(&mut self, hider: &mut Hider, is_complete: bool) -> Vec<u8> {
        let (mut out, mut is_complete) = (Vec::new(), is_complete);
        if let Some((decode, encoded, _)) = self.encoded.take() {
            let (text, is_whole) = decode(&encoded);
            is_complete &= is_whole;
            self.is_cut |= !is_whole;
            out = self.push_decoded(hider, &text);
        }
        let Some(mut kept) = self.kept.take() else {
            return out;
        };
        out.append(&mut kept.push(&hider.rules, &[], Some(is_complete)));
        let found = kept.form.found.iter().chain(&kept.json.found);
        found.for_each(|value| hider.found(value));
        out
    }
}

impl Kept {
    /// Takes the next bytes, or the last ones of a body that is complete or not, and returns those
    /// that are decided.
    fn push(&mut self, rules: &Rules, data: &[u8], end: Option<bool>) -> Vec<u8> {
        let (mut fields, mut text) = (Vec::with_capacity(data.len()), Vec::new());
        self.form.push(rules, data, &mut fields);
        if end.is_some() {
            self.form.finish(rules, &mut fields);
        }
        self.json.push(rules, &fields, &mut text);
        if end.is_some() {
            self.json.finish(rules, &mut text);
        }
        let hide = |secret: &[u8], out: &mut Vec<u8>| rules.hide(b"secret", secret, out);
        for known in self.redactors.iter_mut().flatten() {
            if !known.passes(&text) {
                text = known.push_with(&text, hide);
            }
            if end == Some(true) {
                text.append(&mut known.finish_with(hide));
            }
        }
        text
    }
}

/// True if a header names a coding that changes the bytes.
fn is_coded(headers: &HeaderMap, name: &str) -> bool {
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    !headers.get_all(name).iter().all(is_identity)
}
