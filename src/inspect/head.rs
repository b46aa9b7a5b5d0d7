//! Reads the heads of notes: a line, and fields. Their bytes need not be UTF-8.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::note::HeadText;
use crate::config::owned_headers::folded;

/// A name and a value.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// A head by its parts.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// The request line or the status line.
    pub(super) line: &'a [u8],
    pub(super) fields: Vec<Field<'a>>,
}

impl<'a> Head<'a> {
    /// The parts of a head; `None` if it was not kept.
    pub(super) fn parse(text: &'a HeadText) -> Option<Self> {
        let lines = text.0.split(|byte| *byte == b'\n');
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().filter(|line| !line.is_empty())?;
        let fields = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        });
        let fields = fields.collect();
        Some(Self { line, fields })
    }

    /// The values of a name, which is in lower case.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |field: &&Field<'_>| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_it).map(|(_, value)| *value)
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.all(name).next().map(String::from_utf8_lossy)
    }

    /// True if `Connection` lists a name, so that it is about this connection only.
    pub(super) fn is_named_by_connection(&self, name: &[u8]) -> bool {
        let options = self.all("connection");
        let mut options = options.flat_map(|value| value.split(|byte| *byte == b','));
        options.any(|option| folded(option.trim_ascii()).eq(folded(name)))
    }

    /// The head for the API.
    pub(super) fn json(&self) -> Value {
        let field = |(name, value): &Field<'_>| json!([text(name), text(value)]);
        json!({
            "line": text(self.line),
            "fields": self.fields.iter().map(field).collect::<Value>(),
        })
    }
}

/// Method and target of a request line, or of the head that it begins.
pub(super) fn request_line(head: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let mut words = line.unwrap_or_default().splitn(2, |byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let rest = words.next().unwrap_or_default();
    // A hidden value in the target may have blanks of its own.
    let end = rest.iter().rposition(|byte| *byte == b' ');
    let end = end.unwrap_or(rest.len());
    (text(method), text(&rest[..end]))
}

/// The text of bytes; what is no UTF-8 becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Path and query of a target, which may be absolute, as one text.
pub(super) fn origin_form(target: &str) -> &str {
    match target.find("://") {
        Some(at) if !target.starts_with('/') => {
            let rest = &target[at + 3..];
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

/// Path and query of a target.
pub(super) fn path_and_query(target: &str) -> (&str, Option<&str>) {
    let target = origin_form(target);
    let parts = target.split_once('?');
    parts.map_or((target, None), |(path, query)| (path, Some(query)))
}

/// True if a text holds a value that was hidden, like `‹cookie, 12 bytes, sha256 ab12cd34›`.
pub(super) fn has_hidden(bytes: &[u8]) -> bool {
    hidden(&text(bytes)).next().is_some()
}

/// A text with something else in the place of each hidden value.
pub(super) fn replace_hidden(text: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let values = hidden(text);
    values.fold(text.to_owned(), |text, value| {
        text.replacen(value, &replace(value), 1)
    })
}

fn hidden(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find('‹')?;
            let length = rest[start..].find('›')? + '›'.len_utf8();
            let found = &rest[start..start + length];
            rest = &rest[start + length..];
            if found.contains(" bytes, sha256 ") {
                return Some(found);
            }
        }
    })
}
