//! Redacts the secret of a request wherever an error response repeats it.
//!
//! Pure and streaming: what goes in comes out with `*` in the place of the secret, so no length
//! changes.
//!
//! # What is recognised
//!
//! Each byte of the secret may be written in one of these ways, whatever the bytes around it:
//!
//! - as it is;
//! - escaped as in JSON or JavaScript: `\/`, `\u002f`, `\x2f`, with up to four backslashes, since an error
//!   may be wrapped in another one as text;
//! - percent-encoded, up to three times: `%2F`, `%252F`, `%25252F`;
//! - as an HTML entity: `&#47;`, `&#x2F;`, `&amp;`.
//!
//! The first 16 bytes of the secret are enough, because echoes may be cut off; from there on
//! everything is redacted that continues the secret. Not recognised are other encodings (Base64,
//! compressed data), the end of a secret without its beginning, and secrets of fewer than
//! [`MIN_SECRET`] bytes, which are too likely to be something else.
//!
//! # Bound
//!
//! At most 16 written bytes of at most 12 characters are held back, until the next bytes or the
//! end.

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
#[derive(Debug)]
pub(super) struct Redactor {
    secret: SecretString,
    /// Bytes that may be the beginning of the secret.
    held: Vec<u8>,
    /// How many bytes of the secret were recognised.
    matched: usize,
    /// Where in `held` they may end, in order. A secret with `%`, `\` or `&` can be read in several
    /// ways.
    ends: Vec<usize>,
}

impl Redactor {
    /// A redactor for a secret; `None` if it is too short to be looked for.
    pub(super) fn new(secret: &SecretString) -> Option<Self> {
        let is_long = secret.expose_secret().len() >= MIN_SECRET;
        is_long.then(|| Self::holding(secret, Vec::new()))
    }

    fn holding(secret: &SecretString, held: Vec<u8>) -> Self {
        Self {
            secret: secret.clone(),
            held,
            matched: 0,
            ends: Vec::new(),
        }
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

    /// Redacts a complete text.
    pub(super) fn redact(&self, text: &[u8]) -> Vec<u8> {
        Self::holding(&self.secret, text.to_vec()).scan(true)
    }

    fn scan(&mut self, is_end: bool) -> Vec<u8> {
        let secret = self.secret.expose_secret().as_bytes();
        let enough = RECOGNISED.min(secret.len());
        // No length changes, so its length is also the position in `held`.
        let mut out = Vec::with_capacity(self.held.len());
        while out.len() < self.held.len() {
            if self.matched == 0 {
                let text = &self.held[out.len()..];
                let plain = plain_length(text, secret[0]);
                if plain > 0 {
                    out.extend_from_slice(&text[..plain]);
                    continue;
                }
                self.ends = vec![out.len()];
            }
            let next = secret.get(self.matched);
            let next = next.map(|byte| Spellings::find(&self.held, &self.ends, *byte));
            let next = next.unwrap_or_default();
            if next.is_cut_off && !is_end {
                break;
            }
            if !next.ends.is_empty() {
                self.matched += 1;
                self.ends = next.ends;
                if self.matched >= enough {
                    out.resize(self.ends[0], b'*');
                }
                continue;
            }
            match self.ends.last() {
                Some(end) if self.matched >= enough => out.resize(*end, b'*'),
                _ => out.push(self.held[out.len()]),
            }
            self.matched = 0;
            self.ends.clear();
        }
        self.held.drain(..out.len());
        self.ends.iter_mut().for_each(|end| *end -= out.len());
        out
    }
}

/// Redacts the values of headers.
pub(super) fn headers(redactor: Option<&Redactor>, headers: &mut HeaderMap) {
    let Some(redactor) = redactor else { return };
    for value in headers.values_mut() {
        if let Ok(redacted) = HeaderValue::try_from(redactor.redact(value.as_bytes())) {
            *value = redacted;
        }
    }
}

/// The number of bytes before the first one that a secret may begin with.
fn plain_length(text: &[u8], first: u8) -> usize {
    let of_secret = memchr::memchr(first, text).unwrap_or(text.len());
    memchr::memchr3(b'\\', b'%', b'&', &text[..of_secret]).unwrap_or(of_secret)
}

/// Where the spellings of one byte end in a text, in order.
#[derive(Default)]
struct Spellings {
    ends: Vec<usize>,
    /// The text ends within a spelling.
    is_cut_off: bool,
}

impl Spellings {
    /// Finds the spellings of a byte that begin at one of `starts`.
    fn find(text: &[u8], starts: &[usize], byte: u8) -> Self {
        let mut found = Self::default();
        for start in starts {
            found.add(text, *start, byte);
        }
        found.ends.sort_unstable();
        found.ends.dedup();
        found
    }

    fn add(&mut self, text: &[u8], start: usize, byte: u8) {
        let digit = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
        let (high, low) = (digit(byte >> 4), digit(byte & 15));
        self.expect(text, start, &[byte]);
        match text.get(start) {
            Some(b'\\') => {
                let slashes = text[start..]
                    .iter()
                    .take_while(|byte| **byte == b'\\')
                    .count();
                if byte == b'\\' {
                    self.expect(text, start, b"\\\\");
                    self.expect(text, start, b"\\\\\\\\");
                }
                if slashes <= MAX_BACKSLASHES {
                    self.expect(text, start + slashes, &[b'u', b'0', b'0', high, low]);
                    self.expect(text, start + slashes, &[b'x', high, low]);
                    if b"/\"'".contains(&byte) {
                        self.expect(text, start + slashes, &[byte]);
                    }
                }
            }
            Some(b'%') => {
                let recoded = [b'2', b'5', b'2', b'5', high, low];
                for skipped in [4, 2, 0] {
                    self.expect(text, start + 1, &recoded[skipped..]);
                }
            }
            Some(b'&') => self.add_entity(text, start + 1, byte),
            _ => {}
        }
    }

    /// Looks for a pattern. Letters after an escape are hexadecimal digits, in any case.
    fn expect(&mut self, text: &[u8], at: usize, pattern: &[u8]) {
        let rest = &text[at..];
        let common = rest.len().min(pattern.len());
        let is_equal = if let [byte] = pattern {
            rest.first().is_none_or(|first| first == byte)
        } else {
            rest[..common].eq_ignore_ascii_case(&pattern[..common])
        };
        if is_equal && common < pattern.len() {
            self.is_cut_off = true;
        } else if is_equal {
            self.ends.push(at + common);
        }
    }

    fn add_entity(&mut self, text: &[u8], at: usize, byte: u8) {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'#';
        let length = text[at..].iter().take_while(is_part).count();
        if length > MAX_ENTITY {
            return;
        }
        match text.get(at + length) {
            None => self.is_cut_off = true,
            Some(b';') if entity(&text[at..at + length]) == Some(byte.into()) => {
                self.ends.push(at + length + 1);
            }
            Some(_) => {}
        }
    }
}

/// The character of an HTML entity.
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
