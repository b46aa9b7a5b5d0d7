//! Redacts the secret that was sent with a request wherever an error response repeats it.
//!
//! Pure and streaming: bytes go in as they arrive, the same number of bytes comes out in the end, with
//! `*` in the place of the secret, so no length changes.
//!
//! # What it recognises
//!
//! Every byte of the secret may be spelled in one of these ways, whatever the ways of the bytes around it:
//!
//! - as it is;
//! - escaped as in JSON or JavaScript: `\/`, `\u002f`, `\x2f`, with up to four backslashes, since an error
//!   may be wrapped in another one as text;
//! - percent-encoded, up to three times: `%2F`, `%252F`, `%25252F`;
//! - as an entity of HTML: `&#47;`, `&#x2F;`, `&amp;`.
//!
//! The first 16 bytes of the secret are enough, because echoes may be cut off: from there on everything is
//! redacted for as long as it goes on like the secret. Not recognised are other encodings (Base64, compressed
//! data), ends of a secret without its beginning, and secrets of fewer than [`SHORTEST`] bytes, which are too
//! likely to be something else.
//!
//! # Bound
//!
//! At most 16 spelled bytes are held back, each of at most 12 characters: fewer than 200 bytes, however
//! long the secret is, until the next bytes or the end arrive.

mod spelling;

use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use spelling::spellings;

/// The shortest secret that is looked for, in bytes.
const SHORTEST: usize = 8;

/// How many bytes of the beginning of a secret are enough to recognise it.
const RECOGNISED: usize = 16;

/// A streaming redactor for one secret.
#[derive(Debug)]
pub(super) struct Redactor {
    secret: SecretString,
    /// What may be the beginning of the secret, and waits for more.
    held: Vec<u8>,
    /// How many bytes of the secret `held` begins with.
    matched: usize,
    /// Where in `held` they may end. There are several ways to read a secret that holds `%`, `\` or `&`.
    ends: Vec<usize>,
}

impl Redactor {
    /// A redactor for a secret; `None` if it is too short to be looked for.
    pub(super) fn new(secret: &SecretString) -> Option<Self> {
        (secret.expose_secret().len() >= SHORTEST).then(|| Self {
            secret: secret.clone(),
            held: Vec::new(),
            matched: 0,
            ends: Vec::new(),
        })
    }

    /// Takes the next bytes, and returns those that are decided.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.scan(false)
    }

    /// Returns what was held back, at the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.scan(true)
    }

    /// Redacts a text that is complete.
    pub(super) fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut whole = Self {
            secret: self.secret.clone(),
            held: text.to_vec(),
            matched: 0,
            ends: Vec::new(),
        };
        whole.scan(true)
    }

    fn scan(&mut self, is_end: bool) -> Vec<u8> {
        let secret = self.secret.expose_secret().as_bytes();
        let enough = RECOGNISED.min(secret.len());
        let mut out = Vec::with_capacity(self.held.len());
        // What lies before was decided.
        let mut from = 0;
        loop {
            if self.matched == 0 {
                let plain = plain_length(&self.held[from..], secret[0]);
                out.extend_from_slice(&self.held[from..from + plain]);
                from += plain;
                self.ends.clear();
                if from == self.held.len() {
                    break;
                }
                self.ends.push(from);
            }
            let expected = secret.get(self.matched).copied();
            let (next, is_cut_off) = expected.map_or((Vec::new(), false), |byte| {
                spelled(&self.held, &self.ends, byte)
            });
            if is_cut_off && !is_end {
                break;
            }
            if next.is_empty() {
                if self.matched >= enough {
                    let end = self.ends.iter().copied().max().unwrap_or(from);
                    mask(&mut out, end - from);
                    from = end;
                } else {
                    out.push(self.held[from]);
                    from += 1;
                }
                self.matched = 0;
                continue;
            }
            self.matched += 1;
            self.ends = next;
            if self.matched >= enough {
                let end = self.ends.iter().copied().min().unwrap_or(from);
                mask(&mut out, end - from);
                from = end;
            }
        }
        self.held.drain(..from);
        self.ends.iter_mut().for_each(|end| *end -= from);
        out
    }
}

/// Redacts the values of headers.
pub(super) fn headers(redactor: Option<&Redactor>, headers: &mut HeaderMap) {
    let Some(redactor) = redactor else { return };
    for value in headers.values_mut() {
        let redacted = redactor.redact(value.as_bytes());
        // What is masked is as long, and visible.
        if let Ok(redacted) = HeaderValue::try_from(redacted) {
            *value = redacted;
        }
    }
}

fn mask(out: &mut Vec<u8>, length: usize) {
    out.resize(out.len() + length, b'*');
}

/// How many bytes come before the first one that a secret may begin with.
fn plain_length(text: &[u8], first: u8) -> usize {
    let of_secret = memchr::memchr(first, text).unwrap_or(text.len());
    memchr::memchr3(b'\\', b'%', b'&', &text[..of_secret]).unwrap_or(of_secret)
}

/// Where the spellings of a byte end that begin at one of `starts`, and whether the text ends within one.
fn spelled(text: &[u8], starts: &[usize], byte: u8) -> (Vec<usize>, bool) {
    let mut ends = Vec::new();
    let mut is_cut_off = false;
    for start in starts {
        is_cut_off |= spellings(&text[*start..], byte, &mut |length| {
            if !ends.contains(&(start + length)) {
                ends.push(start + length);
            }
        });
    }
    (ends, is_cut_off)
}

#[cfg(test)]
mod tests;
