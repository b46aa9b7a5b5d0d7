//! A request on one line.

use jiff::Timestamp;
use serde_json::Value;

use super::style::{Look, Style, duration, size, text};

/// The names of the columns.
pub(super) const HEADER: &str = "time (UTC)  id       method  status duration    bytes  path";

/// The request as a line of the list.
pub(super) fn row(summary: &Value, style: Style) -> String {
    let number = |name: &str| summary[name].as_u64();
    let method = format!("{:<7}", text(&summary["method"]));
    let took = number("duration_us").map(duration).unwrap_or_default();
    let bytes = number("bytes_out").map(size).unwrap_or_default();
    let query = summary["query"].as_str().filter(|query| !query.is_empty());
    let query = query.map(|_| format!("?{}", text(&summary["query"])));
    format!(
        "{}  {} {method} {} {took:>8} {bytes:>8}  {}{}{}",
        time(summary),
        style.paint(Look::Dim, format!("{:.8}", text(&summary["id"]))),
        status(summary, style, 6),
        text(&summary["path"]),
        query.unwrap_or_default(),
        remarks(summary, style),
    )
}

/// The status in a column of its own.
pub(super) fn status(summary: &Value, style: Style, width: usize) -> String {
    let Some(status) = summary["status"].as_u64() else {
        return format!("{:<width$}", "-");
    };
    let look = match status {
        ..400 => Look::Green,
        400..500 => Look::Yellow,
        _ => Look::Red,
    };
    style.paint(look, format!("{status:<width$}"))
}

/// The time of day when the request began, in UTC as in the log.
fn time(summary: &Value) -> String {
    let time = summary["time"].as_i64().unwrap_or_default();
    let time = Timestamp::from_millisecond(time)
        .unwrap_or_default()
        .to_string();
    let time = time.split(['T', 'Z']).nth(1).unwrap_or_default();
    let (second, fraction) = time.split_once('.').unwrap_or((time, "0"));
    format!("{second}.{fraction:.1}")
}

/// What is not as usual.
pub(super) fn remarks(summary: &Value, style: Style) -> String {
    let mut remarks = Vec::new();
    let mut add = |holds: bool, remark: String| {
        if holds {
            remarks.push(remark);
        }
    };
    let flag = |name: &str| summary[name].as_bool() == Some(true);
    let (code, kind) = (text(&summary["code"]), text(&summary["kind"]));
    let end = text(&summary["end"]).replace('_', " ");
    let attempts = summary["attempts"].as_u64().unwrap_or_default();
    add(!code.is_empty(), code);
    add(!kind.is_empty(), kind);
    add(
        summary["state"]
            .as_str()
            .is_some_and(|state| state != "done"),
        "open".to_owned(),
    );
    add(!end.is_empty() && end != "whole", end);
    add(attempts > 1, format!("{attempts} attempts"));
    add(summary["replay_of"].is_string(), "replayed".to_owned());
    add(flag("has_gaps"), "has gaps".to_owned());
    add(flag("has_hint"), style.paint(Look::Bold, "hint"));
    if remarks.is_empty() {
        return String::new();
    }
    format!("  {}", remarks.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style {
        is_terminal: false,
        has_colours: false,
    };

    #[test]
    fn a_request_is_one_line_with_its_columns_where_the_header_has_them() {
        let mut summary = json!({
            "id": "3f9a01c2000000000000000000000000", "time": 1_764_511_402_123_i64, "method": "POST",
            "path": "/flowers", "query": "limit=3", "status": 401, "state": "done", "end": "whole",
            "code": "APIG.0301", "duration_us": 48_000, "bytes_out": 900, "attempts": 2,
            "has_hint": true, "kind": null, "replay_of": null, "has_gaps": false
        });
        let line = row(&summary, PLAIN);
        let expected = "14:03:22.1  3f9a01c2 POST    401       48 ms    900 B  /flowers?limit=3  APIG.0301, 2 attempts, hint";
        assert_eq!(line, expected);
        for (name, value) in [
            ("id", "3f9a01c2"),
            ("method", "POST"),
            ("status", "401"),
            ("path", "/flowers"),
        ] {
            assert_eq!(HEADER.find(name), line.find(value), "{name}");
        }
        let coloured = row(
            &summary,
            Style {
                has_colours: true,
                ..PLAIN
            },
        );
        assert!(
            coloured.contains("\u{1b}[33m401   \u{1b}[0m"),
            "{coloured:?}"
        );
        summary["path"] = "/a\u{1b}[2J\n".into();
        summary["method"] = "\u{202e}".into();
        assert!(!row(&summary, PLAIN).chars().any(crate::escape::is_harmful));
    }

    #[test]
    fn an_open_stream_has_neither_duration_nor_end() {
        let summary = json!({
            "id": "0a", "time": 0, "method": "GET", "path": "/s", "status": null, "state": "streaming",
            "kind": "event-stream", "end": null, "duration_us": null, "attempts": 1
        });
        let expected = "00:00:00.0  0a GET     -                         /s  event-stream, open";
        assert_eq!(row(&summary, PLAIN), expected);
    }
}
