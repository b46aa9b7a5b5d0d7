//! A `curl` command for any POSIX shell.
//!
//! # What can go wrong
//!
//! The text of a request must not become a part of the command. A shell interprets nothing in single
//! quotes; what cannot be quoted like that goes through `printf` or `base64`.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::head::text;
use super::{DEFAULTS, ReplaySource};
use crate::escape::is_harmful;

/// The longest body on a command line, in bytes. Linux takes 128 KiB in one argument.
const MAX_ARGUMENT: usize = 96 * 1024;

/// A command for any POSIX shell.
pub(super) fn command(source: &ReplaySource, url: &str) -> String {
    let mut words = vec!["curl".to_owned()];
    match (source.method.as_str(), source.body.is_empty()) {
        ("GET", true) => {}
        ("HEAD", true) => words.push("--head".to_owned()),
        (method, _) => words.extend(["-X".to_owned(), quoted(method)]),
    }
    for (is_needed, option) in [
        (url.contains(['[', ']', '{', '}']), "--globoff"),
        (url.contains("/."), "--path-as-is"),
        (source.has("accept-encoding"), "--compressed"),
    ] {
        words.extend(is_needed.then(|| option.to_owned()));
    }
    words.push(quoted(url));
    let given = source.headers.iter().map(|(name, value)| match &value[..] {
        // A name with a colon alone would remove the header.
        b"" => format!("{name};").into_bytes(),
        value => [name.as_bytes(), b": ", value].concat(),
    });
    let own = DEFAULTS.into_iter();
    let own = own.chain((!source.body.is_empty()).then_some("content-type"));
    let removed = own.filter(|name| !source.has(name));
    for header in given.chain(removed.map(|name| format!("{name}:").into_bytes())) {
        words.extend(["-H".to_owned(), quoted(OsStr::from_bytes(&header))]);
    }
    let command = words.join(" ");
    match quotable(&source.body) {
        Some("") => command,
        Some(body) => format!("{command} --data-raw {}", quoted(body)),
        None => format!(
            "printf %s '{}' | base64 -d | {command} --data-binary @-",
            BASE64_STANDARD.encode(&source.body)
        ),
    }
}

/// The text of a body that can be an argument: not too long, and without control characters other
/// than tab and line feed.
fn quotable(body: &[u8]) -> Option<&str> {
    let is_plain = |c: char| !is_harmful(c) || matches!(c, '\t' | '\n');
    let text = str::from_utf8(body).ok()?;
    (text.len() <= MAX_ARGUMENT && text.chars().all(is_plain)).then_some(text)
}

/// One shell word for these bytes, which do not end with a line feed. Bytes that a terminal would
/// interpret, or that are not UTF-8, become a `printf`.
pub(crate) fn quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !bytes.is_empty() && bytes.iter().all(|byte| is_safe(*byte)) {
        return text(bytes).into_owned();
    }
    let mut shown = "'".to_owned();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => shown.push_str("'\\''"),
                c if is_harmful(c) && !matches!(c, '\t' | '\n') => {
                    push_octal(&mut shown, c.encode_utf8(&mut [0; 4]).as_bytes())
                }
                c => shown.push(c),
            }
        }
        if !chunk.invalid().is_empty() {
            push_octal(&mut shown, chunk.invalid());
        }
    }
    shown.push('\'');
    shown
}

/// Appends a `printf` of these bytes between two quoted parts of a word.
fn push_octal(word: &mut String, bytes: &[u8]) {
    word.push_str("'\"$(printf '");
    for byte in bytes {
        let _ = write!(word, "\\{byte:03o}");
    }
    word.push_str("')\"'");
}
