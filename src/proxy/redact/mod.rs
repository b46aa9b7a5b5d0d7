//! Redacts the secret of a request wherever an error response repeats it.
//!
//! Pure and streaming: the output has `*` in the place of the secret, so no length changes. Each
//! byte of the secret may be written in one of these ways, whatever the bytes around it:
//!
//! - as it is;
//! - escaped as in JSON or JavaScript: `\/`, `\u002f`, `\x2f`, with up to four backslashes, since an
//!   error may be wrapped in another one as text;
//! - percent-encoded, up to three times: `%2F`, `%252F`, `%25252F`;
//! - as an HTML entity: `&#47;`, `&#x2F;`, `&amp;`.
//!
//! The first 16 bytes of the secret are enough, because echoes may be cut off; from there on
//! everything is redacted that continues the secret.
//!
//! # What can go wrong
//!
//! Not recognised are other encodings (Base64, compressed data), the end of a secret without its
//! beginning, and secrets of fewer than [`MIN_SECRET`] bytes, which are too likely to be something
//! else.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// The shortest secret that is looked for, in bytes.
const MIN_SECRET: usize = 8;

/// The length of the beginning of a secret that is enough to recognise it, in bytes.
const RECOGNISED: usize = 16;

/// The most backslashes before an escaped byte.
const MAX_BACKSLASHES: usize = 4;

/// The longest text between `&` and `;`.
const MAX_ENTITY: usize = 9;

const NAMED_ENTITIES: [(&str, u8); 8] = [
    ("amp", b'&'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("sol", b'/'),
    ("plus", b'+'),
    ("equals", b'='),
];

/// A streaming redactor for one secret.
#[derive(Clone, Debug)]
pub(crate) struct Redactor {
    /// Shared, because each body has a redactor of its own.
    secret: Arc<SecretString>,
    /// Bytes that may be the beginning of the secret.
    held: Vec<u8>,
}

impl Redactor {
    /// A redactor for a secret; `None` if it is too short to be looked for.
    pub(crate) fn new(secret: &SecretString) -> Option<Self> {
        let (secret, held) = (Arc::new(secret.clone()), Vec::new());
        (secret.expose_secret().len() >= MIN_SECRET).then_some(Self { secret, held })
    }

    /// True if both look for the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.secret.expose_secret() == other.secret.expose_secret()
    }

    /// False if a complete text certainly does not contain the secret: it has neither the beginning of
    /// it nor an escaped byte. Much faster than redacting it.
    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        let secret = self.secret.expose_secret().as_bytes();
        let beginning = &secret[..RECOGNISED.min(secret.len())];
        memchr::memchr3(b'\\', b'%', b'&', text).is_some()
            || memchr::memmem::find(text, beginning).is_some()
    }

    /// True if [`Self::push_with`] certainly would return these bytes as they are.
    pub(crate) fn passes(&self, bytes: &[u8]) -> bool {
        let secret = self.secret.expose_secret().as_bytes();
        let mut beginnings = 1..RECOGNISED.min(secret.len());
        self.held.is_empty()
            && !self.may_be_in(bytes)
            && !beginnings.any(|length| bytes.ends_with(&secret[..length]))
    }

    /// Takes the next bytes, and returns those that are decided. `hide` appends what replaces a
    /// secret.
    pub(crate) fn push_with(
        &mut self,
        bytes: &[u8],
        hide: impl Fn(&[u8], &mut Vec<u8>),
    ) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let (redacted, length) = self.scan(&self.held, false, hide);
        self.held.drain(..length);
        redacted
    }

    /// Returns what was held back, at the end.
    pub(crate) fn finish_with(&mut self, hide: impl Fn(&[u8], &mut Vec<u8>)) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        self.redact_with(&held, hide)
    }

    /// Redacts a complete text.
    pub(crate) fn redact_with(&self, text: &[u8], hide: impl Fn(&[u8], &mut Vec<u8>)) -> Vec<u8> {
        self.scan(text, true, hide).0
    }

    /// Redacts a text as far as it is decided, and returns how many bytes of it that is.
    fn scan(
        &self,
        text: &[u8],
        is_end: bool,
        hide: impl Fn(&[u8], &mut Vec<u8>),
    ) -> (Vec<u8>, usize) {
        let secret = self.secret.expose_secret().as_bytes();
        let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
        while at < text.len() {
            let rest = &text[at..];
            let (plain, rest) = rest.split_at(plain_length(rest, secret[0]));
            out.extend_from_slice(plain);
            at += plain.len();
            let (length, is_cut_off) = secret_length(rest, secret);
            if is_cut_off && !is_end {
                break;
            }
            match length {
                0 => out.extend(rest.first()),
                length => hide(&rest[..length], &mut out),
            }
            at += length.max(1).min(rest.len());
        }
        (out, at)
    }
}

/// Puts stars in the place of a secret, so that the text keeps its length.
pub(super) fn stars(secret: &[u8], out: &mut Vec<u8>) {
    out.resize(out.len() + secret.len(), b'*');
}

/// Redacts the values of headers.
pub(super) fn headers(redactor: Option<&Redactor>, headers: &mut HeaderMap) {
    let Some(redactor) = redactor else { return };
    for value in headers.values_mut() {
        if let Ok(redacted) = HeaderValue::try_from(redactor.redact_with(value.as_bytes(), stars)) {
            *value = redacted;
        }
    }
}

/// The number of bytes before the first one that a secret may begin with.
fn plain_length(text: &[u8], first: u8) -> usize {
    let of_secret = memchr::memchr(first, text).unwrap_or(text.len());
    memchr::memchr3(b'\\', b'%', b'&', &text[..of_secret]).unwrap_or(of_secret)
}

/// How many bytes at the start of a text spell the secret, or enough of its beginning; and whether
/// more text could make them more.
fn secret_length(text: &[u8], secret: &[u8]) -> (usize, bool) {
    let (mut length, mut matched, mut is_cut_off) = (0, 0, false);
    while matched < secret.len() && length < text.len() {
        let (spelled, is_cut) = spelling(&text[length..], secret[matched]);
        is_cut_off |= is_cut;
        if spelled == 0 {
            break;
        }
        length += spelled;
        matched += 1;
    }
    is_cut_off |= matched > 0 && matched < secret.len() && length == text.len();
    let is_recognised = matched >= RECOGNISED.min(secret.len());
    (if is_recognised { length } else { 0 }, is_cut_off)
}

/// The length of the longest spelling of `byte` at the start of a text, 0 without one; and whether
/// the text ends within a spelling.
fn spelling(text: &[u8], byte: u8) -> (usize, bool) {
    let mut found = Spelling {
        text,
        length: usize::from(text[0] == byte),
        is_cut_off: false,
    };
    let [high, low] = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    match text[0] {
        b'\\' => {
            let slashes = text.iter().take_while(|byte| **byte == b'\\').count();
            if byte == b'\\' {
                found.expect(0, b"\\\\");
                found.expect(0, b"\\\\\\\\");
            }
            if slashes <= MAX_BACKSLASHES {
                found.expect(slashes, &[b'u', b'0', b'0', high, low]);
                found.expect(slashes, &[b'x', high, low]);
                if b"/\"'".contains(&byte) {
                    found.expect(slashes, &[byte]);
                }
            }
        }
        b'%' => {
            let recoded = [b'2', b'5', b'2', b'5', high, low];
            for skipped in [0, 2, 4] {
                found.expect(1, &recoded[skipped..]);
            }
        }
        b'&' => found.expect_entity(byte),
        _ => {}
    }
    (found.length, found.is_cut_off)
}

/// The longest spelling of a byte that was found at the start of a text.
struct Spelling<'t> {
    text: &'t [u8],
    length: usize,
    /// The text ends within a spelling.
    is_cut_off: bool,
}

impl Spelling<'_> {
    /// Looks for a pattern behind `at` bytes. Letters in it are hexadecimal digits, in any case.
    fn expect(&mut self, at: usize, pattern: &[u8]) {
        let rest = &self.text[at..];
        let common = pattern.len().min(rest.len());
        if !rest[..common].eq_ignore_ascii_case(&pattern[..common]) {
            return;
        }
        if common < pattern.len() {
            self.is_cut_off = true;
        } else {
            self.length = self.length.max(at + common);
        }
    }

    fn expect_entity(&mut self, byte: u8) {
        let name = &self.text[1..];
        let end = name.iter().position(|byte| *byte == b';');
        let name = &name[..end.unwrap_or(name.len()).min(MAX_ENTITY + 1)];
        if name.len() > MAX_ENTITY {
            return;
        }
        if entity(name) == Some(byte.into()) {
            self.expect(1 + name.len(), b";");
        } else if end.is_none() {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
            self.is_cut_off |= name.iter().all(is_part);
        }
    }
}

fn entity(name: &[u8]) -> Option<u32> {
    let name = str::from_utf8(name).ok()?;
    if let Some(number) = name.strip_prefix('#') {
        return match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        };
    }
    let named = NAMED_ENTITIES.iter().find(|(known, _)| *known == name);
    named.map(|(_, byte)| u32::from(*byte))
}

#[cfg(test)]
mod tests;
