//! One row of the list.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::note::Side;
use super::times::{Timeline, micros};

/// A request in a list.
pub(in crate::inspect) fn summary(entry: &Entry) -> Value {
    let (method, path, query) = entry.request_line();
    let (begun, ended) = (&entry.start, entry.ended.as_ref());
    let state = match (ended, &entry.relayed) {
        (Some(_), _) => "done",
        (None, Some(_)) => "streaming",
        (None, None) => "open",
    };
    let known = ended.map_or(0, |ended| ended.times.attempts.len());
    json!({
        "seq": entry.seq,
        "id": id(entry.id),
        "number": entry.number,
        "time": entry.start.time.as_millisecond(),
        "method": method,
        "path": path,
        "query": query,
        "route": entry.route(),
        "caller": entry.caller(),
        "version": begun.version,
        "state": state,
        "status": entry.status(),
        "status_text": status_text(entry).unwrap_or_default(),
        "outcome": ended.map_or("open", |ended| ended.outcome),
        "end": ended.map(|ended| ended.end),
        "duration_us": ended.map(|ended| micros(ended.times.total)),
        "bar": Timeline::new(entry).bar(),
        "bytes_in": entry.body(Side::In).total,
        "bytes_out": entry.body(Side::Out).total,
        "attempts": entry.attempts.len().max(known),
        "code": entry.code(),
        "has_hint": !entry.hint().is_empty(),
        "kind": kind(entry),
        "replay_of": begun.caller.replay_of.map(id),
        "has_gaps": !entry.gaps().is_empty(),
    })
}

pub(in crate::inspect) fn status_text(entry: &Entry) -> Option<&'static str> {
    let status = StatusCode::from_u16(entry.status()?).ok()?;
    status.canonical_reason()
}

/// An id as 32 hexadecimal digits.
pub(in crate::inspect) fn id(id: u128) -> String {
    format!("{id:032x}")
}

/// What is special about a response that may take long.
fn kind(entry: &Entry) -> Option<&'static str> {
    if entry.status() == Some(101) {
        return Some("websocket");
    }
    let content_type = entry.answer()?.get("content-type")?;
    super::bodies::is_event_stream(&content_type).then_some("event-stream")
}
