//! What is kept of the two bodies, and the events of a stream.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::super::entry::{Body, Entry};
use super::super::note::Side;
use super::times::micros;

/// The most events that are told apart.
const MAX_EVENTS: usize = 2000;

/// Both bodies for the API.
pub(super) fn bodies(entry: &Entry) -> Value {
    json!({"in": body(entry, Side::In), "out": body(entry, Side::Out)})
}

fn body(entry: &Entry, side: Side) -> Value {
    let body = entry.body(side);
    let content_type = content_type(entry, side);
    let text = str::from_utf8(&body.bytes)
        .ok()
        .or_else(|| cut_text(entry, side));
    let is_stream = content_type.as_deref().is_some_and(is_event_stream);
    let events = if is_stream { events(body) } else { Vec::new() };
    json!({
        "total": body.total,
        "kept": body.kept(),
        "complete": entry.is_complete(side),
        "type": content_type,
        "text": text,
        "base64": text.is_none().then(|| base64(&body.bytes)),
        "events": events,
    })
}

/// The text of a body that was cut within a character.
fn cut_text(entry: &Entry, side: Side) -> Option<&str> {
    let bytes = &entry.body(side).bytes;
    let valid = str::from_utf8(bytes).err()?.valid_up_to();
    let is_cut = !entry.is_complete(side) && bytes.len() - valid < 4;
    is_cut.then(|| str::from_utf8(&bytes[..valid]).ok())?
}

/// Bytes in Base64.
pub(in crate::inspect) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The media type of a body, as its head says it.
pub(in crate::inspect) fn content_type(entry: &Entry, side: Side) -> Option<String> {
    let head = match side {
        Side::In => entry.received(),
        Side::Out => entry.answer(),
    };
    head?.get("content-type").map(std::borrow::Cow::into_owned)
}

/// True for the media type of server-sent events.
pub(in crate::inspect) fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}

/// The server-sent events in a body (HTML, "Parsing an event stream"), each with the time when its
/// last byte came. One that is not complete is left out.
fn events(body: &Body) -> Vec<Value> {
    let text = String::from_utf8_lossy(&body.bytes);
    let is_text = text.len() == body.bytes.len();
    let mut found = Vec::new();
    let (mut kind, mut data, mut id) = (None, Vec::new(), None::<String>);
    let mut at = 0;
    while let Some((line, end)) = line(&text, at) {
        at = end;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "event" => kind = Some(value),
            "data" => data.push(value),
            "id" => id = Some(value),
            // An empty line ends an event.
            "" if line.is_empty() && !data.is_empty() => {
                let came = is_text.then(|| micros(arrival(body, at)));
                found.push(json!({
                    "at_us": came,
                    "event": kind.take().unwrap_or_else(|| "message".to_owned()),
                    "data": std::mem::take(&mut data).join("\n"),
                    "id": id,
                }));
            }
            "" if line.is_empty() => kind = None,
            _ => {}
        }
        if found.len() == MAX_EVENTS {
            break;
        }
    }
    found
}

/// The line that begins at this byte, and where the next one begins; `None` if it does not end.
fn line(text: &str, at: usize) -> Option<(&str, usize)> {
    // A byte order mark may be at the start.
    let start = if at == 0 && text.starts_with('\u{feff}') {
        3
    } else {
        at
    };
    let rest = &text[start..];
    let length = rest.find(['\r', '\n'])?;
    let is_crlf = rest[length..].starts_with("\r\n");
    Some((
        &rest[..length],
        start + length + if is_crlf { 2 } else { 1 },
    ))
}

/// When the byte before this place came.
fn arrival(body: &Body, end: usize) -> Duration {
    let mark = body
        .marks
        .partition_point(|(mark, _)| (*mark as usize) < end);
    body.marks
        .get(mark)
        .or_else(|| body.marks.last())
        .map_or(Duration::ZERO, |(_, at)| *at)
}
