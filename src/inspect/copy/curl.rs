//! A command of curl, for any POSIX shell.
//!
//! # What can go wrong
//!
//! The text of a request must not be read as a part of the command. In single quotes a shell reads
//! nothing, and what cannot stand there goes through `printf` or `base64`.

use std::fmt::Write as _;

use super::super::head::text;
use super::super::view::base64;
use super::{DEFAULTS, ReplaySource};
use crate::escape::is_harmful;

/// The longest body on a command line, in bytes. Linux takes 128 KiB in one argument.
const MAX_ARGUMENT: usize = 96 * 1024;

/// A command for any POSIX shell.
pub(super) fn command(source: &ReplaySource, url: &str) -> String {
    let mut command = "curl".to_owned();
    let mut add = |arguments: &[String]| {
        arguments
            .iter()
            .for_each(|argument| command.extend([" ", argument]))
    };
    match (source.method.as_str(), source.body.is_empty()) {
        ("GET", true) => {}
        ("HEAD", true) => add(&["--head".to_owned()]),
        (method, _) => add(&["-X".to_owned(), quoted(method.as_bytes())]),
    }
    if url.contains(['[', ']', '{', '}']) {
        add(&["--globoff".to_owned()]);
    }
    if url.contains("/.") {
        add(&["--path-as-is".to_owned()]);
    }
    if source.has("accept-encoding") {
        add(&["--compressed".to_owned()]);
    }
    add(&[quoted(url.as_bytes())]);
    for (name, value) in &source.headers {
        // A name with a colon alone would remove the header.
        let header = match value.as_slice() {
            b"" => format!("{name};").into_bytes(),
            value => [name.as_bytes(), b": ", value].concat(),
        };
        add(&["-H".to_owned(), quoted(&header)]);
    }
    let type_of_body = (!source.body.is_empty()).then_some("content-type");
    for name in DEFAULTS
        .into_iter()
        .chain(type_of_body)
        .filter(|name| !source.has(name))
    {
        add(&["-H".to_owned(), quoted(format!("{name}:").as_bytes())]);
    }
    match quotable(&source.body) {
        Some("") => command,
        Some(body) if body.len() <= MAX_ARGUMENT => {
            add(&["--data-raw".to_owned(), quoted(body.as_bytes())]);
            command
        }
        Some(body) => format!(
            "printf %s {} | {command} --data-binary @-",
            quoted(body.as_bytes())
        ),
        None => format!(
            "printf %s '{}' | base64 -d | {command} --data-binary @-",
            base64(&source.body)
        ),
    }
}

/// The text of a body that can stand in a command: no control character but tab and line feed.
fn quotable(body: &[u8]) -> Option<&str> {
    let is_plain = |text: &&str| {
        !text
            .chars()
            .any(|c| is_harmful(c) && !matches!(c, '\t' | '\n'))
    };
    str::from_utf8(body).ok().filter(is_plain)
}

/// One word for a shell that stands for these bytes, which have no line feed at their end. Bytes that a
/// terminal could obey, or that are no UTF-8, become a `printf`.
fn quoted(bytes: &[u8]) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !bytes.is_empty() && bytes.iter().all(|byte| is_safe(*byte)) {
        return text(bytes).into_owned();
    }
    let mut word = "'".to_owned();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => word.push_str("'\\''"),
                c if is_harmful(c) && !matches!(c, '\t' | '\n') => {
                    push_octal(&mut word, c.encode_utf8(&mut [0; 4]).as_bytes())
                }
                c => word.push(c),
            }
        }
        if !chunk.invalid().is_empty() {
            push_octal(&mut word, chunk.invalid());
        }
    }
    word.push('\'');
    word
}

/// Leaves the quotes for a `printf` of these bytes.
fn push_octal(word: &mut String, bytes: &[u8]) {
    word.push_str("'\"$(printf '");
    for byte in bytes {
        let _ = write!(word, "\\{byte:03o}");
    }
    word.push_str("')\"'");
}
