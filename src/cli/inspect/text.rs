//! Requests as text. Untrusted text is escaped, so that terminals do not interpret it.

use std::fmt::Write;

use bytesize::ByteSize;
use jiff::Timestamp;
use serde_json::Value;

use crate::escape::{Escaped, is_harmful};

/// A member of JSON as escaped text; empty if it is not a string.
pub(super) fn text(value: &Value) -> String {
    Escaped(value.as_str().unwrap_or_default()).to_string()
}

/// JSON on one line. Characters that a terminal would interpret are escaped as in JSON, so that
/// nothing is lost.
pub(super) fn json(value: &Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    line
}

/// A time in microseconds.
pub(super) fn duration(microseconds: u64) -> String {
    let (tenths, unit) = match microseconds {
        ..10_000_000 => (microseconds / 100, "ms"),
        _ => (microseconds / 100_000, "s"),
    };
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A request as a line of the list.
pub(super) fn row(summary: &Value) -> String {
    let number = |name: &str| summary[name].as_u64();
    let took = number("duration_us").map(duration).unwrap_or_default();
    let bytes = ByteSize(number("bytes_out").unwrap_or_default()).to_string();
    let time = Timestamp::from_millisecond(summary["time"].as_i64().unwrap_or_default());
    // The time of day, in UTC as in the log.
    let time = format!("{:.1}", time.unwrap_or_default());
    let query = text(&summary["query"]);
    let question = if query.is_empty() { "" } else { "?" };
    format!(
        "{}  {:.8} {:<7} {:<6} {took:>10} {bytes:>10}  {}{question}{query}{}",
        &time[11..21],
        text(&summary["id"]),
        text(&summary["method"]),
        status(summary),
        text(&summary["path"]),
        remarks(summary),
    )
}

pub(super) fn status(value: &Value) -> String {
    let status = value["status"].as_u64();
    status.map_or_else(|| "-".to_owned(), |status| status.to_string())
}

/// What is unusual about a request.
pub(super) fn remarks(summary: &Value) -> String {
    let [code, kind, state, end] =
        ["code", "kind", "state", "end"].map(|name| text(&summary[name]));
    let attempts = summary["attempts"].as_u64().unwrap_or_default();
    let is = |name: &str| summary[name] == true;
    let remarks = [
        (true, code),
        (true, kind),
        (state != "done", "open".to_owned()),
        (end != "whole", end.replace('_', " ")),
        (attempts > 1, format!("{attempts} attempts")),
        (summary["replay_of"].is_string(), "replayed".to_owned()),
        (is("has_gaps"), "has gaps".to_owned()),
        (is("has_hint"), "hint".to_owned()),
    ];
    let holding = remarks
        .into_iter()
        .filter(|(holds, text)| *holds && !text.is_empty());
    let texts: Vec<String> = holding.map(|(_, text)| text).collect();
    match texts.is_empty() {
        true => String::new(),
        false => format!("  {}", texts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_one_line_that_no_terminal_obeys() {
        let mut summary = json!({
            "id": "3f9a01c2000000000000000000000000", "time": 1_764_511_402_123_i64, "method": "POST",
            "path": "/flowers", "query": "limit=3", "status": 401, "state": "done", "end": "broken_off",
            "duration_us": 48_250, "bytes_out": 1_234_567, "code": "APIG.0301", "attempts": 2, "replay_of": "00",
            "has_hint": true, "has_gaps": true, "kind": null
        });
        let expected = "14:03:22.1  3f9a01c2 POST    401       48.2 ms    1.2 MiB  /flowers?limit=3  \
                        APIG.0301, broken off, 2 attempts, replayed, has gaps, hint";
        assert_eq!(row(&summary), expected);
        summary["path"] = "/a\u{1b}[2J\n".into();
        summary["method"] = "\u{202e}".into();
        assert!(!row(&summary).chars().any(is_harmful));
        let open = json!({
            "id": "0a", "time": 0, "method": "GET", "path": "/s", "status": 200, "state": "streaming",
            "kind": "event-stream", "bytes_out": 0, "attempts": 1
        });
        let expected =
            "00:00:00.0  0a GET     200                      0 B  /s  event-stream, open";
        assert_eq!(row(&open), expected);
    }
}
