//! A request of a caller as something to send again through the proxy, unsigned: a command of curl, a
//! Python program, the text of HTTP/1.1, or what the inspector itself sends.
//!
//! The headers are those that the caller itself set. Hidden values become placeholders like
//! `HIDDEN_COOKIE`.

mod curl;
mod python;

pub(crate) use curl::quoted;

use super::entry::Entry;
use super::head::{Head, has_hidden, origin_form, replace_hidden, request_line, text};
use super::note::Side;
use super::problem::{BODY_NOT_KEPT, HIDDEN_VALUES, Problem, WEBSOCKET};
use crate::config::owned_headers::{is_hop_by_hop, is_owned};

/// Headers that clients add by themselves.
const DEFAULTS: [&str; 2] = ["accept", "user-agent"];

/// A request that can be sent through the proxy again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// The request that a caller sent, without hop-by-hop headers.
pub(super) fn replay_source(entry: &Entry) -> Result<ReplaySource, Problem> {
    let head = entry.received().ok_or(BODY_NOT_KEPT)?;
    let mut upgrades = head.all("upgrade");
    if upgrades.any(|value| value.eq_ignore_ascii_case(b"websocket")) {
        return Err(WEBSOCKET);
    }
    if !entry.is_complete(Side::In) || !entry.has_heads() {
        return Err(BODY_NOT_KEPT);
    }
    let source = source(entry, &head);
    match source.has_hidden() {
        true => Err(HIDDEN_VALUES),
        false => Ok(source),
    }
}

fn source(entry: &Entry, head: &Head<'_>) -> ReplaySource {
    let (method, target) = request_line(head.line);
    let headers = head.fields.iter().map(|(name, value)| {
        let name = text(name).to_ascii_lowercase();
        (name, value.to_vec())
    });
    let headers = headers
        .filter(|(name, _)| is_from_caller(name) && !head.is_named_by_connection(name.as_bytes()));
    ReplaySource {
        method: method.into_owned(),
        target: origin_form(&target).to_owned(),
        headers: headers.collect(),
        body: entry.body(Side::In).bytes.clone(),
        route: entry.start.caller.listener_route,
    }
}

/// True for a header that callers may set: it is not hop-by-hop, not set by the proxy, and not a
/// pseudo-header of HTTP/2.
pub(super) fn is_from_caller(name: &str) -> bool {
    let taken = ["host", "x-project-id"];
    let is_taken = taken.iter().any(|taken| name.eq_ignore_ascii_case(taken));
    (is_taken || !is_owned(name)) && !is_hop_by_hop(name.as_bytes()) && !name.starts_with(':')
}

/// True for a `Host` that names a cloud service, like `vpc.cn-north-4.localhost:8080`: it selects
/// the route.
fn names_service(host: &[u8]) -> bool {
    let host = text(host).to_ascii_lowercase();
    let name = host.split(':').next().unwrap_or_default();
    name.trim_end_matches('.').ends_with(".localhost")
}

/// A request as `curl`, `python` or `raw`; `None` if its head is not kept, or for another form. `base`
/// is the address of the proxy, like `http://127.0.0.1:8080`.
pub(super) fn copy(entry: &Entry, form: &str, base: &str) -> Option<Vec<u8>> {
    let mut source = source(entry, &entry.received()?);
    let headers = &mut source.headers;
    headers.retain(|(name, value)| name != "host" || names_service(value));
    if let Some(target) = with_placeholders(source.target.as_bytes()) {
        source.target = text(&target).into_owned();
    }
    let values = source.headers.iter_mut().map(|header| &mut header.1);
    for bytes in values.chain([&mut source.body]) {
        if let Some(replaced) = with_placeholders(bytes) {
            *bytes = replaced;
        }
    }
    let base = base.trim_end_matches('/');
    let url = format!("{base}{}", source.target);
    let body = entry.body(Side::In);
    // It contains nothing that a shell interprets.
    let (kept, total) = (body.bytes.len(), body.total);
    let remark = match entry.is_complete(Side::In) {
        true => String::new(),
        false => format!("# the body is incomplete: {kept} of {total} bytes were kept\n"),
    };
    match form {
        "curl" => Some(format!("{remark}{}\n", curl::command(&source, &url)).into_bytes()),
        "python" => Some(format!("{remark}{}", python::program(&source, &url)).into_bytes()),
        "raw" => Some(raw(&source, base)),
        _ => None,
    }
}

/// The bytes with placeholders for hidden values; `None` if there are none.
fn with_placeholders(bytes: &[u8]) -> Option<Vec<u8>> {
    let shown = str::from_utf8(bytes).ok().filter(|_| has_hidden(bytes))?;
    let replaced = replace_hidden(shown, |value| {
        let name = value.trim_start_matches('‹').split(',').next();
        let letter = |byte: u8| match byte.to_ascii_uppercase() {
            byte if byte.is_ascii_alphanumeric() => char::from(byte),
            _ => '_',
        };
        let name: String = name.unwrap_or_default().bytes().map(letter).collect();
        format!("HIDDEN_{name}")
    });
    Some(replaced.into_bytes())
}

impl ReplaySource {
    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    pub(super) fn has_hidden(&self) -> bool {
        let values = self.headers.iter().map(|(_, value)| &value[..]);
        let mut parts = values.chain([self.target.as_bytes(), &self.body]);
        parts.any(has_hidden)
    }
}

fn raw(source: &ReplaySource, base: &str) -> Vec<u8> {
    let (method, target) = (&source.method, &source.target);
    let host = base.split("://").nth(1).unwrap_or(base);
    let host = match source.has("host") {
        true => String::new(),
        false => format!("host: {host}\r\n"),
    };
    let mut message = format!("{method} {target} HTTP/1.1\r\n{host}").into_bytes();
    for (name, value) in &source.headers {
        message.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if !source.body.is_empty() {
        message.extend(format!("content-length: {}\r\n", source.body.len()).bytes());
    }
    message.extend([b"\r\n", source.body.as_slice()].concat());
    message
}
