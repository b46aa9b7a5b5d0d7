//! A request of a caller as something to send again through the proxy, unsigned: a command of curl, a
//! Python program, the text of HTTP/1.1, or what the inspector itself sends.
//!
//! The headers are those that the caller itself set. Hidden values become placeholders like
//! `HIDDEN_COOKIE`.

mod curl;
mod python;

use super::entry::Entry;
use super::head::{Head, has_hidden, hidden, path_and_query, request_line, text};
use super::note::Side;
use crate::config::owned_headers::{folded, is_hop_by_hop, is_owned};

/// Headers that clients send of their own.
const DEFAULTS: [&str; 2] = ["accept", "user-agent"];

/// The form of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyKind {
    Curl,
    Python,
    Raw,
}

/// A request that can be sent through the proxy again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplaySource {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case, in the order they came.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// Index of the route that takes it, whatever its path.
    pub(super) route: Option<usize>,
}

/// Why a request cannot be sent again as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplayError {
    #[error("no request of this id is kept")]
    NotFound,
    #[error("the head or the body of the request was not kept as a whole")]
    BodyNotKept,
    #[error("the request has hidden values, which the inspector does not know")]
    HiddenValues,
    #[error("a WebSocket cannot be opened again from here")]
    WebSocket,
}

/// The request that a caller sent, without what is of its connection only.
///
/// # Errors
///
/// [`ReplayError`] if a part of it is not there.
pub(super) fn replay_source(entry: &Entry) -> Result<ReplaySource, ReplayError> {
    let head = entry.received().ok_or(ReplayError::BodyNotKept)?;
    let is_kept = entry.is_complete(Side::In) && entry.has_heads();
    let mut source = source(entry, &head);
    let host = head.get("host").map(|host| host.into_owned().into_bytes());
    source
        .headers
        .extend(host.map(|host| ("host".to_owned(), host)));
    let has_hidden = has_hidden(source.target.as_bytes())
        || has_hidden(&source.body)
        || source.headers.iter().any(|(_, value)| has_hidden(value));
    match () {
        () if is_websocket(&head) => Err(ReplayError::WebSocket),
        () if !is_kept => Err(ReplayError::BodyNotKept),
        () if has_hidden => Err(ReplayError::HiddenValues),
        () => Ok(source),
    }
}

fn is_websocket(head: &Head<'_>) -> bool {
    head.all("upgrade")
        .any(|value| value.eq_ignore_ascii_case(b"websocket"))
}

fn source(entry: &Entry, head: &Head<'_>) -> ReplaySource {
    let (method, target) = request_line(head.line);
    let (path, query) = path_and_query(&target);
    ReplaySource {
        method: method.into_owned(),
        target: query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")),
        headers: own_headers(head),
        body: entry.body(Side::In).bytes.clone(),
        route: entry.start.as_ref().and_then(|begun| begun.listener_route),
    }
}

/// The headers that the caller itself set, and that go to the gateway.
fn own_headers(head: &Head<'_>) -> Vec<(String, Vec<u8>)> {
    let options = head
        .all("connection")
        .flat_map(|value| value.split(|byte| *byte == b','));
    let options: Vec<&[u8]> = options.map(<[u8]>::trim_ascii).collect();
    let is_named = |name: &[u8]| options.iter().any(|option| folded(option).eq(folded(name)));
    let fields = head.fields.iter().filter(|(name, _)| {
        let is_passed = !is_owned(&text(name)) || name.eq_ignore_ascii_case(b"x-project-id");
        is_passed && !is_hop_by_hop(name) && !is_named(name)
    });
    fields
        .map(|(name, value)| (text(name).to_ascii_lowercase(), value.to_vec()))
        .collect()
}

/// A request in a form; `None` if its head is not kept. `base` is the address of the proxy, like
/// `http://127.0.0.1:8080`.
pub(super) fn copy(entry: &Entry, kind: CopyKind, base: &str) -> Option<Vec<u8>> {
    let mut source = source(entry, &entry.received()?);
    if let Some(target) = with_placeholders(source.target.as_bytes()) {
        source.target = text(&target).into_owned();
    }
    for bytes in source
        .headers
        .iter_mut()
        .map(|header| &mut header.1)
        .chain([&mut source.body])
    {
        if let Some(replaced) = with_placeholders(bytes) {
            *bytes = replaced;
        }
    }
    let url = format!("{}{}", base.trim_end_matches('/'), source.target);
    let remark = remark(entry);
    Some(match kind {
        CopyKind::Curl => format!("{remark}{}\n", curl::command(&source, &url)).into_bytes(),
        CopyKind::Python => format!("{remark}{}", python::program(&source, &url)).into_bytes(),
        CopyKind::Raw => raw(&source, base),
    })
}

/// A comment about a body that is not whole. It has no character that a shell could read.
fn remark(entry: &Entry) -> String {
    let body = entry.body(Side::In);
    match entry.is_complete(Side::In) {
        true => String::new(),
        false => format!(
            "# the body is not whole, {} of {} bytes were kept\n",
            body.kept(),
            body.total
        ),
    }
}

/// The bytes with placeholders for hidden values; `None` if there are none.
fn with_placeholders(bytes: &[u8]) -> Option<Vec<u8>> {
    let shown = str::from_utf8(bytes).ok().filter(|_| has_hidden(bytes))?;
    let replaced = hidden(shown).fold(shown.to_owned(), |shown, value| {
        let name = value
            .trim_start_matches('‹')
            .split(',')
            .next()
            .unwrap_or_default();
        let letter = |byte: u8| match byte.to_ascii_uppercase() {
            byte if byte.is_ascii_alphanumeric() => char::from(byte),
            _ => '_',
        };
        let name: String = name.bytes().map(letter).collect();
        shown.replacen(value, &format!("HIDDEN_{name}"), 1)
    });
    Some(replaced.into_bytes())
}

impl ReplaySource {
    /// True if there is a header of this name.
    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }
}

/// The request as HTTP/1.1.
fn raw(source: &ReplaySource, base: &str) -> Vec<u8> {
    let (method, target) = (&source.method, &source.target);
    let host = base
        .split("://")
        .nth(1)
        .unwrap_or(base)
        .trim_end_matches('/');
    let mut message = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n").into_bytes();
    for (name, value) in &source.headers {
        message.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if !source.body.is_empty() {
        message.extend(format!("content-length: {}\r\n", source.body.len()).bytes());
    }
    message.extend([b"\r\n", source.body.as_slice()].concat());
    message
}
