//! Requests as an HTTP archive (HAR 1.2), which browsers and many tools read. `_apig` has what is not
//! part of the format. Hidden values stay hidden, and a comment says so where a body was cut.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::entry::Entry;
use super::head::{Head, text};
use super::note::Side;
use super::view::times::Timeline;
use super::view::{content_type, decoded, request_changes, status_text, summary, why};

/// What ends an archive.
pub(super) const END: &str = "]}}";

/// What stands before the entries of an archive, which have commas between them.
pub(super) fn start() -> String {
    let creator = json!({"name": "apig-proxy", "version": env!("CARGO_PKG_VERSION")});
    format!(r#"{{"log":{{"version":"1.2","creator":{creator},"entries":["#)
}

pub(super) fn entry(entry: &Entry) -> Value {
    let line = Timeline::new(entry);
    json!({
        "startedDateTime": format!("{:.3}", entry.start.time),
        "time": milliseconds(line.spans.iter().map(|span| span.us).sum()),
        "request": request(entry),
        "response": response(entry),
        "cache": {},
        "timings": timings(&line),
        "comment": entry.gaps().join("; "),
        "_apig": {
            "summary": summary(entry),
            "why": why(entry),
            "upstream": entry.routed.as_ref().map(|routed| &routed.upstream),
            "stage": entry.routed.as_ref().map(|routed| &routed.stage),
            "changes": request_changes(entry),
        },
    })
}

fn request(entry: &Entry) -> Value {
    let (method, path, query) = entry.request_line();
    let head = entry.received();
    let host = head.as_ref().and_then(|head| head.get("host"));
    let host = host.as_deref().unwrap_or("localhost");
    let is_tls = entry.start.caller.listener == "tls";
    let scheme = if is_tls { "https" } else { "http" };
    let query = query.unwrap_or_default();
    let mark = if query.is_empty() { "" } else { "?" };
    let mut request = json!({
        "method": method,
        "url": format!("{scheme}://{host}{path}{mark}{query}"),
        "httpVersion": entry.start.version,
        "cookies": [],
        "headers": headers(head.as_ref()),
        "queryString": pairs(&query),
        "headersSize": -1,
        "bodySize": entry.body(Side::In).total,
    });
    if entry.body(Side::In).total > 0 {
        request["postData"] = body(entry, Side::In);
    }
    request
}

fn response(entry: &Entry) -> Value {
    let head = entry.answer();
    let location = head.as_ref().and_then(|head| head.get("location"));
    json!({
        "status": entry.status().unwrap_or_default(),
        "statusText": status_text(entry).unwrap_or_default(),
        "httpVersion": entry.start.version,
        "cookies": [],
        "headers": headers(head.as_ref()),
        "content": body(entry, Side::Out),
        "redirectURL": location.unwrap_or_default(),
        "headersSize": -1,
        "bodySize": entry.body(Side::Out).total,
    })
}

fn headers(head: Option<&Head<'_>>) -> Value {
    let fields = head.iter().flat_map(|head| &head.fields);
    fields
        .map(|(name, value)| json!({"name": text(name), "value": text(value)}))
        .collect()
}

fn pairs(query: &str) -> Value {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    pairs
        .map(|(name, value)| json!({"name": decoded(name), "value": decoded(value)}))
        .collect()
}

/// A body, in the format of both directions.
fn body(entry: &Entry, side: Side) -> Value {
    let (kept, decoded) = (entry.body(side), decoded(entry, side));
    let mut content = json!({
        "mimeType": content_type(entry, side).unwrap_or_default(),
        "size": if decoded.is_some() { kept.bytes.len() as u64 } else { kept.total },
    });
    let mut comments = Vec::from_iter(decoded.map(|coding| format!("decoded from {coding}")));
    if let Ok(text) = str::from_utf8(&kept.bytes) {
        content["text"] = text.into();
    } else {
        content["text"] = BASE64_STANDARD.encode(&kept.bytes).into();
        content["encoding"] = "base64".into();
        comments.push("the text is in Base64".to_owned());
    }
    if !entry.is_complete(side) {
        let length = kept.bytes.len();
        comments.push(format!("the body is cut: {length} bytes were kept"));
    }
    content["comment"] = comments.join("; ").into();
    content
}

/// The timings in milliseconds, -1 for a step that did not happen. `connect` includes TLS.
fn timings(line: &Timeline) -> Value {
    let known = |names: &[&str]| match line.sum(names) {
        0 => -1.0,
        micros => milliseconds(micros),
    };
    json!({
        "blocked": known(&["body", "wait", "sign"]),
        "dns": known(&["dns"]),
        "connect": known(&["tcp", "tls"]),
        "ssl": known(&["tls"]),
        "send": milliseconds(line.sum(&["send"])),
        "wait": milliseconds(line.sum(&["gateway"])),
        "receive": milliseconds(line.sum(&["answer"])),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a request takes less than 285 years"
)]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
