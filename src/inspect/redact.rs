//! Hides the secrets of heads, and the secrets that are known wherever they occur.
//!
//! # What can go wrong
//!
//! A secret that neither its name nor the proxy identifies as one is shown.

use std::sync::Arc;

use super::rules::{Rules, is_no_secret, is_secret_name};
use super::scan::{Form, Json, Kind};
use crate::proxy::redact::Redactor;

/// The prefix of headers that contain rules, not credentials.
const RULES_OF_PAGES: &str = "access-control-";

/// The schemes of `Authorization` that are shown. Behind the first four stand named parts.
const SCHEMES: [&str; 9] = [
    "sdk-hmac-sha256",
    "sdk-hmac-sm3",
    "v11-hmac-sha256",
    "aws4-hmac-sha256",
    "basic",
    "bearer",
    "digest",
    "negotiate",
    "token",
];
const WITH_PARTS: &[&str] = SCHEMES.split_at(4).0;

const SHOWN_PARTS: [&str; 3] = ["access", "credential", "signedheaders"];

/// A hidden value of at least this length is looked for in what follows, in bytes; shorter ones are
/// too likely to be something else.
const MIN_KNOWN: usize = 8;

/// How many secrets are looked for besides those of the proxy, and how many of these are not parts
/// of signatures.
const MAX_REMEMBERED: usize = 32;
const MAX_FOUND: usize = 24;

/// The longest value that is remembered, in bytes.
const LONGEST_KNOWN: usize = 8 * 1024;

/// Hides the secrets of one request, and remembers them: what follows may repeat them.
#[derive(Debug)]
pub(super) struct Hider {
    pub(super) rules: Arc<Rules>,
    pub(super) secrets: Vec<Redactor>,
    /// How many of them messages have added.
    remembered: usize,
}

impl Hider {
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            secrets: Vec::new(),
            remembered: 0,
        }
    }

    /// Hides a secret wherever it occurs from now on.
    pub(super) fn add(&mut self, secret: &Redactor) {
        if !self.secrets.iter().any(|known| known.is_same(secret)) {
            self.secrets.push(secret.clone());
        }
    }

    pub(super) fn found(&mut self, value: &[u8]) {
        if self.remembered < MAX_FOUND {
            self.remember(value);
        }
    }

    fn remember(&mut self, value: &[u8]) {
        if let (MIN_KNOWN..=LONGEST_KNOWN, Ok(text)) = (value.len(), str::from_utf8(value))
            && self.remembered < MAX_REMEMBERED
            && let Some(secret) = Redactor::new(&text.into())
        {
            let before = self.secrets.len();
            self.add(&secret);
            self.remembered += self.secrets.len() - before;
        }
    }

    /// A complete text without the secrets that are known.
    pub(super) fn without_known(&self, mut text: Vec<u8>) -> Vec<u8> {
        for redactor in &self.secrets {
            if !redactor.may_be_in(&text) {
                continue;
            }
            text = redactor.redact_with(&text, |secret, out| {
                self.rules.hide(b"secret", secret, out);
            });
        }
        text
    }

    fn hide(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if is_no_secret(name, value) {
            return out.extend_from_slice(value);
        }
        self.rules.hide(name, value, out);
        self.found(value);
    }

    /// Appends the value of a header. `is_sensitive` is true if it is known to be a secret.
    pub(super) fn header(
        &mut self,
        name: &str,
        value: &[u8],
        is_sensitive: bool,
        out: &mut Vec<u8>,
    ) {
        let is_secret =
            is_sensitive || (!name.starts_with(RULES_OF_PAGES) && is_secret_name(name.as_bytes()));
        match name {
            _ if self.rules.reveals(name) => out.extend_from_slice(value),
            "cookie" => self.cookies(value, out),
            "set-cookie" => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                self.cookies(&value[..end], out);
                out.extend_from_slice(&value[end..]);
            }
            "host" => self.authority(value, out),
            name if name.ends_with("authorization") => self.authorization(name, value, out),
            name if is_secret => self.hide(name.as_bytes(), value, out),
            _ => self.text(value, out),
        }
    }

    fn cookies(&mut self, value: &[u8], out: &mut Vec<u8>) {
        pairs(value, b';', out, |name, value, out| {
            let name = name.trim_ascii();
            let name = if name.is_empty() { b"cookie" } else { name };
            self.hide(name, value, out);
        });
    }

    /// The scheme, and of a signature what is no secret.
    fn authorization(&mut self, name: &str, value: &[u8], out: &mut Vec<u8>) {
        let end = memchr::memchr(b' ', value).map_or(0, |at| at + 1);
        let (scheme, rest) = value.split_at(end);
        let scheme_name = scheme.trim_ascii().to_ascii_lowercase();
        let is = |known: &str| known.as_bytes() == scheme_name;
        if !SCHEMES.iter().any(|known| is(known)) {
            return self.hide(name.as_bytes(), value, out);
        }
        out.extend_from_slice(scheme);
        if !WITH_PARTS.iter().any(|known| is(known)) {
            return self.hide(name.as_bytes(), rest, out);
        }
        pairs(rest, b',', out, |key, value, out| {
            let key = key.strip_suffix(b"=").unwrap_or(name.as_bytes());
            let is_shown = |shown: &&str| shown.as_bytes().eq_ignore_ascii_case(key.trim_ascii());
            if SHOWN_PARTS.iter().any(is_shown) {
                return out.extend_from_slice(value);
            }
            self.rules.hide(key, value, out);
            // With the rest of the request, which the gateway may repeat, it is a credential.
            self.remember(value);
        });
    }

    /// Appends a target, a URL or some other text, without the password and the parameters of a URL
    /// and the members of JSON that are secrets.
    pub(super) fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.iter().all(|byte| !b"=\"@".contains(byte)) {
            return out.extend_from_slice(text);
        }
        let query = text.iter().position(|byte| b"?#".contains(byte));
        let (path, query) = text.split_at(query.map_or(text.len(), |at| at + 1));
        let mut shown = Vec::with_capacity(text.len());
        let mut found = Form::new(Kind::Words).scan(&self.rules, path, &mut shown);
        found.extend(Form::default().scan(&self.rules, query, &mut shown));
        if memchr::memchr(b'"', &shown).is_some() {
            let plain = std::mem::take(&mut shown);
            found.extend(Json::default().scan(&self.rules, &plain, &mut shown));
        }
        found.iter().for_each(|value| self.found(value));
        out.append(&mut shown);
    }

    /// Appends the authority of a URL without its user and password.
    pub(super) fn authority(&mut self, authority: &[u8], out: &mut Vec<u8>) {
        let user = memchr::memrchr(b'@', authority).unwrap_or_default();
        self.hide(b"password", &authority[..user], out);
        out.extend_from_slice(&authority[user..]);
    }

    /// A canonical request, as the gateway echoes it, without its secrets.
    pub(super) fn canonical(&mut self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        for (number, line) in text.split('|').enumerate() {
            if number > 0 {
                out.push(b'|');
            }
            match line.split_once(':') {
                _ if number == 2 => {
                    let found = Form::default().scan(&self.rules, line.as_bytes(), &mut out);
                    found.iter().for_each(|value| self.found(value));
                }
                Some((name, value)) if number > 2 => {
                    out.extend_from_slice(name.as_bytes());
                    out.push(b':');
                    self.header(
                        &name.to_ascii_lowercase(),
                        value.as_bytes(),
                        false,
                        &mut out,
                    );
                }
                _ => self.text(line.as_bytes(), &mut out),
            }
        }
        String::from_utf8_lossy(&self.without_known(out)).into_owned()
    }
}

/// Appends a list of `name=value`, whose values `show` appends. The name has its `=`, and is empty
/// without one.
fn pairs(
    list: &[u8],
    separator: u8,
    out: &mut Vec<u8>,
    mut show: impl FnMut(&[u8], &[u8], &mut Vec<u8>),
) {
    for (number, pair) in list.split(|byte| *byte == separator).enumerate() {
        if number > 0 {
            out.push(separator);
        }
        let equals = memchr::memchr(b'=', pair).map_or(0, |at| at + 1);
        let (name, value) = pair.split_at(equals);
        out.extend_from_slice(name);
        show(name, value, out);
    }
}
