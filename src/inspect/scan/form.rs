//! Fields of forms, and in other text the parameters of URLs, and the users of URLs with their
//! passwords.

use percent_encoding::percent_decode;

use super::json::Json;
use super::{Found, MAX_NAME, remember};
use crate::inspect::rules::{Rules, is_no_secret, is_secret_name};

/// How often a value may be percent-encoded: a URL in a URL in a URL.
const MAX_ENCODED: usize = 3;

/// What is scanned, and so where a name begins and a value ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::inspect) enum Kind {
    #[default]
    Fields,
    /// Only the first name, and those of URLs, are names. What ends a URL ends a value.
    Text,
    /// Each word may be a name, as in a header.
    Words,
    /// A value of another form, read like words.
    Value,
}

/// Where a scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Name,
    Plain,
    /// In the value of a secret name.
    Secret,
    /// In another value, which may have a URL or JSON with secrets in it.
    Value,
    /// Behind the `//` of a URL.
    Authority,
}

/// A scanner of `name=value&name=value`.
#[derive(Debug, Default)]
pub(in crate::inspect) struct Form {
    kind: Kind,
    at: At,
    name: Vec<u8>,
    /// A value, or the authority of a URL, as far as it has come.
    held: Vec<u8>,
    is_behind_slash: bool,
    pub(in crate::inspect) found: Found,
}

impl Form {
    /// A scanner of a kind of text.
    pub(in crate::inspect) fn new(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// Scans a complete text, and appends it without its secrets.
    pub(in crate::inspect) fn scan(
        mut self,
        rules: &Rules,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Found {
        self.push(rules, text, out);
        self.finish(rules, out);
        self.found
    }

    /// Takes the next bytes, and appends what is decided.
    pub(in crate::inspect) fn push(&mut self, rules: &Rules, bytes: &[u8], out: &mut Vec<u8>) {
        let mut bytes = bytes;
        while let Some(&byte) = bytes.first() {
            if self.at == At::Plain && self.kind == Kind::Text && !self.is_behind_slash {
                let is_special = |byte: &u8| matches!(byte, b'/' | b'?' | b'&' | b';');
                let plain = bytes.iter().position(is_special).unwrap_or(bytes.len());
                out.extend_from_slice(&bytes[..plain]);
                bytes = &bytes[plain..];
                if plain > 0 {
                    continue;
                }
            }
            bytes = &bytes[1..];
            let is_end = self.is_end(byte);
            if matches!(self.at, At::Secret | At::Value | At::Authority) {
                if !is_end {
                    self.held.push(byte);
                    continue;
                }
                self.finish(rules, out);
            }
            out.push(byte);
            self.plain(byte, is_end);
        }
    }

    fn is_end(&self, byte: u8) -> bool {
        let is_end_of_url = self.kind != Kind::Fields && b"\"'<>\\)".contains(&byte);
        match self.at {
            At::Authority => b"/?# \t\r\n\"<>\\".contains(&byte),
            At::Value if byte == b';' => true,
            _ => is_end_of_url || b"&# \t\r\n".contains(&byte),
        }
    }

    fn plain(&mut self, byte: u8, is_end: bool) {
        let is_behind_slash = std::mem::take(&mut self.is_behind_slash);
        match byte {
            b'=' if self.at == At::Name => self.behind_name(),
            b'/' if is_behind_slash => self.at = At::Authority,
            b'&' | b'?' | b';' => self.begin(At::Name),
            b',' if matches!(self.kind, Kind::Words | Kind::Value) => self.begin(At::Name),
            // JSON may write a slash as `\/`.
            b'\\' if is_behind_slash => self.is_behind_slash = true,
            _ if is_end && self.kind == Kind::Text => self.begin(At::Plain),
            _ if is_end => self.begin(At::Name),
            _ => {
                self.is_behind_slash = byte == b'/';
                if self.at == At::Name && self.name.len() < MAX_NAME {
                    self.name.push(byte);
                }
            }
        }
    }

    fn begin(&mut self, at: At) {
        self.name.clear();
        self.at = at;
    }

    fn behind_name(&mut self) {
        self.name = decoded(&self.name);
        self.at = match is_secret_name(&self.name) {
            true => At::Secret,
            false if self.kind == Kind::Value => At::Plain,
            false => At::Value,
        };
    }

    /// Ends what is held.
    pub(in crate::inspect) fn finish(&mut self, rules: &Rules, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.at, At::Plain) {
            At::Secret if !is_no_secret(&self.name, &held) => {
                rules.hide(&self.name, &held, out);
                remember(&mut self.found, decoded(&held));
            }
            At::Value if self.has_secrets(rules, &held) => rules.hide(&self.name, &held, out),
            At::Authority => {
                let user = memchr::memrchr(b'@', &held).unwrap_or_default();
                let (user, host) = held.split_at(user);
                if !user.is_empty() {
                    rules.hide(b"password", user, out);
                    remember(&mut self.found, decoded(user));
                }
                out.extend_from_slice(host);
            }
            _ => out.extend_from_slice(&held),
        }
    }

    /// True if there are secrets in a value, which may be percent-encoded.
    fn has_secrets(&mut self, rules: &Rules, value: &[u8]) -> bool {
        let may_have = |byte: &u8| b"%=@\"".contains(byte);
        if !value.iter().any(may_have) {
            return false;
        }
        let mut text = value.to_vec();
        for _ in 0..=MAX_ENCODED {
            let mut found = Self::new(Kind::Value).scan(rules, &text, &mut Vec::new());
            found.extend(Json::default().scan(rules, &text, &mut Vec::new()));
            if !found.is_empty() {
                let found = found.into_iter();
                found.for_each(|value| remember(&mut self.found, value));
                return true;
            }
            text = decoded(&text);
        }
        false
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let blanks: Vec<u8> = (text.iter())
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&blanks).collect()
}
