//! A request of a caller as a command that sends it again through the proxy, unsigned.

use super::entry::Entry;
use super::head::{Head, has_hidden, request_line, text};
use super::note::Side;
use crate::config::owned_headers::{folded, is_hop_by_hop, is_owned};

/// The form of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyKind {
    Curl,
    Python,
    Raw,
}

/// A request that can be sent through the proxy again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReplaySource {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case, in the order they came.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
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
    let is_kept = entry.is_complete(Side::In) && !head.fields.is_empty();
    let is_websocket = head
        .all("upgrade")
        .any(|value| value.eq_ignore_ascii_case(b"websocket"));
    let source = source(entry, &head);
    let has_hidden = has_hidden(source.target.as_bytes())
        || has_hidden(&source.body)
        || source.headers.iter().any(|(_, value)| has_hidden(value));
    match () {
        () if is_websocket => Err(ReplayError::WebSocket),
        () if !is_kept => Err(ReplayError::BodyNotKept),
        () if has_hidden => Err(ReplayError::HiddenValues),
        () => Ok(source),
    }
}

fn source(entry: &Entry, head: &Head<'_>) -> ReplaySource {
    let (method, target) = request_line(head.line);
    let (path, query) = super::head::path_and_query(&target);
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    ReplaySource {
        method: method.into_owned(),
        target,
        headers: own_headers(head),
        body: entry.body(Side::In).bytes.clone(),
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

/// A request in a form; `None` if its head is not kept.
pub(super) fn copy(entry: &Entry, kind: CopyKind, base: &str) -> Option<Vec<u8>> {
    let _ = (kind, base);
    entry.received().map(|head| head.line.to_vec())
}
