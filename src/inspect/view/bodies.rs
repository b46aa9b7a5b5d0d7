//! What is kept of the two bodies, and the events of a stream.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::super::entry::{Body, Entry};
use super::super::head::text;
use super::super::note::Side;
use super::times::micros;

/// The most events that are told apart.
const MAX_EVENTS: usize = 2000;

pub(super) fn body(entry: &Entry, side: Side) -> Value {
    let (body, is_complete) = (entry.body(side), entry.is_complete(side));
    let (content_type, decoded) = (content_type(entry, side), decoded(entry, side));
    let bytes = &body.bytes;
    let text = match str::from_utf8(bytes) {
        // The body was cut within a character.
        Err(error) if !is_complete && error.error_len().is_none() => {
            str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        text => text.ok(),
    };
    let is_stream = content_type.as_deref().is_some_and(is_event_stream);
    json!({
        "total": body.total,
        "kept": if is_complete && decoded.is_none() { body.total } else { bytes.len() as u64 },
        "complete": is_complete,
        "type": content_type,
        "text": text,
        "base64": text.is_none().then(|| BASE64_STANDARD.encode(bytes)),
        // What is decoded has one time for all of it.
        "events": if is_stream && decoded.is_none() { events(body) } else { Vec::new() },
        "decoded": decoded,
    })
}

/// The `Content-Encoding` of a body that is kept decoded.
pub(in crate::inspect) fn decoded(entry: &Entry, side: Side) -> Option<String> {
    let is_kept = side == Side::Out && !entry.body(side).bytes.is_empty();
    let head = entry.answer().filter(|_| is_kept)?;
    let coding = head.get("content-encoding")?;
    (!coding.eq_ignore_ascii_case("identity")).then(|| coding.into_owned())
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
pub(super) fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}

/// The server-sent events in a body (HTML, "Parsing an event stream"), each with the time when its
/// last byte came. One that is not complete is left out.
fn events(body: &Body) -> Vec<Value> {
    let mut found = Vec::new();
    let (mut kind, mut data) = (None, Vec::new());
    let mut end = 0;
    for line in body.bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        let line = text(line);
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "event" => kind = Some(value),
            "data" => data.push(value),
            // An empty line ends an event. One without data is none.
            "" if line.is_empty() => {
                let kind = kind.take().unwrap_or_else(|| "message".to_owned());
                let data = std::mem::take(&mut data);
                if !data.is_empty() {
                    let mark = body.marks.iter().find(|(mark, _)| *mark as usize >= end);
                    let at = mark
                        .or_else(|| body.marks.last())
                        .map(|(_, at)| micros(*at));
                    found.push(json!({"at_us": at, "event": kind, "data": data.join("\n")}));
                }
            }
            _ => {}
        }
        if found.len() == MAX_EVENTS {
            break;
        }
    }
    found
}
