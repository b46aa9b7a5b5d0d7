//! Members of JSON, and fields of multipart forms.
//!
//! JSON is not parsed: each text between two quotation marks with a colon behind it is a name. So
//! members are found in event streams, in logs, and in JSON that is the text of a JSON string, whose
//! quotation marks have backslashes before them: their number is the level.

use super::{Found, MAX_NAME, remember};
use crate::inspect::rules::{Rules, is_no_secret, is_secret_name};

/// Where a scanner of JSON is.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Text,
    /// Behind the name of a secret.
    Name,
    /// Behind its colon.
    Colon,
    /// In its value, which is hidden.
    String,
    /// In a value that is not a string: how many objects and lists are open, and whether a string is.
    Other(usize, bool),
    /// In the head of a field of a multipart form, behind the name of a secret.
    PartHead,
    /// In its content.
    Part,
}

/// A scanner of anything with JSON in it.
#[derive(Debug, Default)]
pub(in crate::inspect) struct Json {
    at: At,
    /// What has come since the last quotation mark; from [`At::Name`] on, the name of the secret.
    name: Vec<u8>,
    /// The level of the last quotation mark; `None` if what follows is too long for a name.
    quote: Option<u32>,
    /// How many backslashes were the last bytes.
    slashes: usize,
    /// The last byte.
    last: u8,
    is_multipart: bool,
    /// The last quotation mark that began a text was behind `=`.
    is_field: bool,
    hidden: Vec<u8>,
    pub(in crate::inspect) found: Found,
}

impl Json {
    /// A scanner, maybe of a multipart form.
    pub(in crate::inspect) fn new(is_multipart: bool) -> Self {
        Self {
            is_multipart,
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
    pub(in crate::inspect) fn push(&mut self, rules: &Rules, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = bytes.first() {
            if matches!(self.at, At::Text) {
                let plain = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                let (plain, rest) = bytes.split_at(plain);
                self.plain(plain, out);
                bytes = rest;
                if !plain.is_empty() {
                    continue;
                }
            }
            bytes = &bytes[1..];
            self.byte(rules, byte, out);
            self.slashes = if byte == b'\\' { self.slashes + 1 } else { 0 };
            self.last = byte;
        }
    }

    /// Ends a value that is hidden.
    pub(in crate::inspect) fn finish(&mut self, rules: &Rules, out: &mut Vec<u8>) {
        match self.at {
            At::String | At::Part => self.hide(rules, out),
            At::Other(..) => self.hide_quoted(rules, out),
            At::Text | At::Name | At::Colon | At::PartHead => {}
        }
        self.at = At::Text;
    }

    /// The level of a quotation mark that comes now: that of no string in a string is 0. Within a
    /// string of level n, a backslash is written as 2^(n+1) of them.
    fn level(&self) -> u32 {
        self.slashes.trailing_ones()
    }

    fn level_of_name(&self) -> u32 {
        self.quote.unwrap_or_default()
    }

    /// Text without quotation marks and backslashes.
    fn plain(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        let Some(last) = text.last() else {
            return;
        };
        (self.slashes, self.last) = (0, *last);
        if self.name.len() + text.len() > MAX_NAME {
            self.quote = None;
        } else {
            self.name.extend_from_slice(text);
        }
    }

    fn byte(&mut self, rules: &Rules, byte: u8, out: &mut Vec<u8>) {
        match self.at {
            At::Text => self.text(byte, out),
            At::Name => self.behind_name(byte, out),
            At::Colon => self.colon(byte, out),
            At::String => self.string(rules, byte, out),
            At::Other(depth, in_string) => self.other(rules, byte, (depth, in_string), out),
            At::PartHead => self.part_head(byte, out),
            At::Part => {
                self.hidden.push(byte);
                if self.hidden.ends_with(b"\r\n--") {
                    self.hidden.truncate(self.hidden.len() - 4);
                    self.hide(rules, out);
                    out.extend_from_slice(b"\r\n--");
                    self.name.clear();
                    self.at = At::Text;
                }
            }
        }
    }

    fn behind_name(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b':' => self.at = At::Colon,
            _ => return self.again(byte, out),
        }
        out.push(byte);
    }

    fn part_head(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        self.hidden.push(byte);
        if self.hidden.ends_with(b"\r\n\r\n") {
            self.hidden.clear();
            self.at = At::Part;
        }
    }

    fn string(&mut self, rules: &Rules, byte: u8, out: &mut Vec<u8>) {
        let level = self.level();
        if byte != b'"' || level > self.level_of_name() {
            return self.hidden.push(byte);
        }
        let slashes = (1 << level) - 1;
        let length = self.hidden.len().saturating_sub(slashes);
        self.hidden.truncate(length);
        self.hide(rules, out);
        out.resize(out.len() + slashes, b'\\');
        self.again(byte, out);
    }

    /// Takes a byte as text, after all.
    fn again(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.name.clear();
        self.hidden.clear();
        self.at = At::Text;
        self.text(byte, out);
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte != b'"' {
            out.push(byte);
            if self.name.len() < MAX_NAME {
                self.name.push(byte);
            }
            return;
        }
        out.push(byte);
        let level = self.level();
        let slashes = self.slashes.min(self.name.len());
        self.name.truncate(self.name.len() - slashes);
        if self.quote == Some(level) && self.is_secret(level) {
            self.at = match self.is_multipart && self.is_field {
                true => At::PartHead,
                false => At::Name,
            };
        } else {
            self.name.clear();
            self.is_field = self.last == b'=';
        }
        self.quote = Some(level);
    }

    /// True if what has come between two quotation marks of a level is the name of a secret.
    fn is_secret(&self, level: u32) -> bool {
        match memchr::memchr(b'\\', &self.name) {
            None => is_secret_name(&self.name),
            Some(_) => is_secret_name(&unescaped_from(&self.name, level)),
        }
    }

    fn colon(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'"' if self.level() >= self.level_of_name() => self.at = At::String,
            b' ' | b'\t' | b'\r' | b'\n' | b'\\' => {}
            // Blanks of JSON in a string.
            b'n' | b'r' | b't' if self.slashes > 0 => {}
            b'{' if self.name.ends_with(b"tokens_details") => return self.again(byte, out),
            b'"' | b',' | b'}' | b']' => return self.again(byte, out),
            _ => {
                let depth = usize::from(matches!(byte, b'{' | b'['));
                self.at = At::Other(depth, false);
                return self.hidden.push(byte);
            }
        }
        out.push(byte);
    }

    fn other(
        &mut self,
        rules: &Rules,
        byte: u8,
        (depth, in_string): (usize, bool),
        out: &mut Vec<u8>,
    ) {
        let (level, level_of_name) = (self.level(), self.level_of_name());
        let is_over = match (byte, depth) {
            (b'"', 1..) => level < level_of_name,
            (_, 0) => byte.is_ascii_whitespace() || b",}]\"\\".contains(&byte),
            _ => false,
        };
        if is_over {
            self.hide_quoted(rules, out);
            return self.again(byte, out);
        }
        self.hidden.push(byte);
        let is_inside = depth > 0 && !in_string;
        self.at = match byte {
            b'"' if level == level_of_name => At::Other(depth, !in_string),
            b'{' | b'[' if is_inside => At::Other(depth + 1, in_string),
            b'}' | b']' if is_inside => At::Other(depth - 1, in_string),
            _ => return,
        };
        if matches!(self.at, At::Other(0, _)) {
            self.hide_quoted(rules, out);
            self.name.clear();
            self.at = At::Text;
        }
    }

    /// Hides a value that is not a string; what is shown instead is one.
    fn hide_quoted(&mut self, rules: &Rules, out: &mut Vec<u8>) {
        if is_no_secret(&self.name, &self.hidden) {
            return out.append(&mut self.hidden);
        }
        let slashes = vec![b'\\'; (1 << self.level_of_name()) - 1];
        let quote = [&slashes[..], b"\""].concat();
        out.extend_from_slice(&quote);
        self.hide(rules, out);
        out.extend_from_slice(&quote);
    }

    fn hide(&mut self, rules: &Rules, out: &mut Vec<u8>) {
        let value = std::mem::take(&mut self.hidden);
        if !value.is_empty() {
            rules.hide(&self.name, &value, out);
        }
        remember(&mut self.found, unescaped(&value));
    }
}

/// The text of a JSON string that is itself in so many others.
fn unescaped_from(text: &[u8], level: u32) -> Vec<u8> {
    (0..level).fold(unescaped(text), |text, _| unescaped(&text))
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let quoted = || serde_json::from_slice::<String>(&[b"\"", text, b"\""].concat());
    let has_escapes = memchr::memchr(b'\\', text).is_some();
    let text_of = has_escapes.then(quoted).and_then(Result::ok);
    text_of.map_or_else(|| text.to_vec(), String::into_bytes)
}
