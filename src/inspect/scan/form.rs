//! Fields of forms, and parameters of the URLs in other text.

use percent_encoding::percent_decode;

use super::{MAX_FOUND, MAX_NAME};
use crate::inspect::rules::{Rules, is_no_secret, is_secret_name};

/// A scanner of `name=value&name=value`.
#[derive(Debug, Default)]
pub(in crate::inspect) struct Form {
    /// Set in other text, where a name begins with `?` or `&`, and what ends a URL ends a value.
    is_text: bool,
    name: Vec<u8>,
    /// A value that is hidden, as far as it has come.
    hidden: Option<Vec<u8>>,
    is_value: bool,
    /// The values that were hidden.
    pub(in crate::inspect) found: Vec<Vec<u8>>,
}

impl Form {
    /// A scanner of the URLs in some other text.
    pub(in crate::inspect) fn in_text() -> Self {
        Self {
            is_text: true,
            is_value: true,
            ..Self::default()
        }
    }

    /// Takes the next bytes, and appends what is decided.
    pub(in crate::inspect) fn push(&mut self, rules: &Rules, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            let is_end_of_url = self.is_text && b"\"'<>\\)".contains(&byte);
            let is_end = is_end_of_url || b"&# \t\r\n".contains(&byte);
            if let Some(hidden) = &mut self.hidden {
                if !is_end {
                    hidden.push(byte);
                    continue;
                }
                self.finish(rules, out);
            }
            out.push(byte);
            match byte {
                b'&' | b'?' => self.begin(false),
                b'=' if !self.is_value => {
                    self.is_value = true;
                    self.name = decoded(&self.name);
                    self.hidden = is_secret_name(&self.name).then(Vec::new);
                }
                b';' => self.begin(self.is_text),
                _ if is_end => self.begin(self.is_text),
                _ if !self.is_value && self.name.len() < MAX_NAME => self.name.push(byte),
                _ => {}
            }
        }
    }

    /// Begins a name, or text that is none.
    fn begin(&mut self, is_value: bool) {
        self.is_value = is_value;
        self.name.clear();
    }

    /// Ends a value that is hidden.
    pub(in crate::inspect) fn finish(&mut self, rules: &Rules, out: &mut Vec<u8>) {
        let Some(value) = self.hidden.take() else {
            return;
        };
        if is_no_secret(&self.name, &value) {
            return out.extend_from_slice(&value);
        }
        rules.hide(&self.name, &value, out);
        if self.found.len() < MAX_FOUND {
            self.found.push(decoded(&value));
        }
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let blanks: Vec<u8> = (text.iter())
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&blanks).collect()
}
