//! One request in full, as text: why, changes, attempts, canonical request, time.

use std::fmt::Write;

use bytesize::ByteSize;
use serde_json::Value;

use super::text::{duration, remarks, status, text};
use crate::escape::Escaped;

/// The width of a bar as long as the whole request.
const WIDTH: u64 = 48;

/// The request as text of several sections.
pub(super) fn text_of(detail: &Value) -> String {
    let summary = &detail["summary"];
    let took = summary["duration_us"].as_u64();
    let took = took.map_or_else(|| "open".to_owned(), duration);
    let [line, words] = [&detail["received"]["line"], &summary["status_text"]].map(text);
    let (status, remarks) = (status(summary), remarks(summary));
    let mut out = format!("{line}\n{status} {words}, {took}{remarks}\n");
    let attempts = list(&detail["attempts"]).iter();
    let gaps = list(&detail["gaps"]).iter();
    let of_response = &detail["answer"]["changes"];
    for (title, lines) in [
        ("Request", request(detail)),
        ("Why", why(&detail["why"])),
        ("Changes to the request", changes(&detail["changes"])),
        ("Changes to the response", changes(of_response)),
        ("Attempts", attempts.map(attempt).collect()),
        ("Canonical request", canonical(&detail["attempts"])),
        ("Time", times(&detail["spans"])),
        ("Not captured", gaps.map(text).collect()),
    ] {
        if !lines.is_empty() {
            let _ = write!(out, "\n{title}\n");
        }
        for line in lines {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}", format!("  {line}").trim_end());
        }
    }
    out
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn request(detail: &Value) -> Vec<String> {
    let summary = &detail["summary"];
    let sizes = ["bytes_in", "bytes_out"].map(|name| ByteSize(number(&summary[name])));
    let bytes = format!("{} in, {} out", sizes[0], sizes[1]).into();
    facts(&[
        ("id", &summary["id"]),
        ("route", &summary["route"]),
        ("caller", &summary["caller"]),
        ("gateway", &detail["upstream"]),
        ("stage", &detail["stage"]),
        ("replay of", &summary["replay_of"]),
        ("bytes", &bytes),
    ])
}

fn why(why: &Value) -> Vec<String> {
    facts(&[
        ("code", &why["code"]),
        ("meaning", &why["meaning"]),
        ("hint", &why["hint"]),
        ("first difference", &why["difference"]["what"]),
        ("the gateway's request id", &why["gateway_request_id"]),
    ])
}

/// The values that are known, with their names.
fn facts(facts: &[(&str, &Value)]) -> Vec<String> {
    let facts = facts.iter().map(|(name, value)| (name, text(value)));
    let known = facts.filter(|(_, text)| !text.is_empty());
    known
        .map(|(name, text)| format!("{name}: {text}"))
        .collect()
}

fn changes(changes: &Value) -> Vec<String> {
    let changes = list(changes);
    let real = changes.iter().filter(|change| change["kind"] != "kept");
    let mut lines: Vec<String> = real.map(change).collect();
    if !changes.is_empty() {
        lines.push(format!("{} passed unchanged", changes.len() - lines.len()));
    }
    lines
}

fn change(change: &Value) -> String {
    let [kind, name, before, after, reason] =
        ["kind", "name", "before", "after", "reason"].map(|name| text(&change[name]));
    let (sign, what) = match &*kind {
        "dropped" => ('-', before),
        "set" => ('+', after),
        _ => ('~', format!("{before} -> {after}")),
    };
    match &*name {
        ":line" => format!("{sign} {what}  ({reason})"),
        name => format!("{sign} {name}: {what}  ({reason})"),
    }
}

fn attempt(attempt: &Value) -> String {
    let names = ["reason_text", "auth", "protocol", "connection", "code"];
    let [reason, auth, protocol, connection, code] = names.map(|name| text(&attempt[name]));
    let offset = attempt["clock_offset_s"].as_i64().unwrap_or_default();
    let (number, status) = (number(&attempt["number"]), status(attempt));
    let mut line = format!("{number} {reason}, {auth}, {protocol} on a {connection} connection");
    if offset != 0 {
        let _ = write!(line, ", date corrected by {offset:+} s");
    }
    format!("{line}: {status} {code}")
}

/// The canonical request of the last attempt, and the lines in which that of the gateway differs.
fn canonical(attempts: &Value) -> Vec<String> {
    let mut attempts = list(attempts).iter().rev();
    let Some(attempt) = attempts.find(|attempt| attempt["canonical"].is_string()) else {
        return Vec::new();
    };
    let of = |name: &str| Some(attempt[name].as_str()?.split('\n').collect());
    let ours: Vec<&str> = of("canonical").unwrap_or_default();
    let gateway = of("echo").unwrap_or_else(|| ours.clone());
    let mut lines = Vec::new();
    let mut add = |side: &str, line: Option<&&str>| {
        lines.extend(line.map(|line| format!("{side:<7}  {}", Escaped(line))));
    };
    for at in 0..ours.len().max(gateway.len()) {
        match (ours.get(at), gateway.get(at)) {
            (our, theirs) if our == theirs => add("", our),
            (our, theirs) => {
                add("ours", our);
                add("gateway", theirs);
            }
        }
    }
    lines
}

/// Where the time went, as bars.
fn times(spans: &Value) -> Vec<String> {
    let place_of = |span: &Value| (number(&span["start_us"]), number(&span["us"]));
    let ends = list(spans).iter().map(place_of);
    let ends = ends.map(|(start, length)| start.saturating_add(length));
    let whole = ends.max().unwrap_or_default().max(1);
    // At least one mark for each.
    let place = |time: u64| usize::try_from(time.saturating_mul(WIDTH) / whole).unwrap_or_default();
    let bar = |span: &Value| {
        let (start, length) = place_of(span);
        let (name, took, from) = (text(&span["name"]), duration(length), place(start));
        let marks = place(start.saturating_add(length))
            .saturating_sub(from)
            .max(1);
        format!("{name:<8} {took:>10}  {:from$}{}", "", "#".repeat(marks))
    };
    list(spans).iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_request_says_why_and_what_was_changed_and_signed() {
        let detail = json!({
            "summary": {"id": "0a", "status": 401, "status_text": "Unauthorized", "duration_us": 48_000,
                "bytes_in": 8, "bytes_out": 900, "route": "/", "caller": "tcp", "state": "done", "end": "whole", "attempts": 2},
            "received": {"line": "POST /a?q=x+y HTTP/1.1"},
            "upstream": "https://host", "stage": "RELEASE",
            "why": {"code": "APIG.0301", "meaning": "the signature is wrong", "hint": "do this\u{1b}[2J",
                "gateway_request_id": "77", "difference": {"line": 2, "what": "the path was altered"}},
            "changes": [
                {"kind": "kept", "name": "accept"},
                {"kind": "rewritten", "name": ":line", "before": "q=x+y", "after": "q=x%20y", "reason": "normalized"},
                {"kind": "dropped", "name": "connection", "before": "keep-alive", "reason": "hop-by-hop"},
                {"kind": "set", "name": "x-stage", "after": "RELEASE", "reason": "stage"}],
            "answer": {"changes": []},
            "attempts": [{"number": 1, "reason_text": "first attempt", "auth": "key", "protocol": "HTTP/1.1",
                "connection": "new", "status": 401, "code": "APIG.0301", "clock_offset_s": 921,
                "canonical": "POST\n/a/\n\nhost:x", "echo": "POST\n/a\n\nhost:x"}],
            "spans": [{"name": "wait", "start_us": 0, "us": 12_000}, {"name": "gateway", "start_us": 12_000, "us": 36_000}],
            "gaps": ["one note was dropped"]
        });
        let expected = "\
POST /a?q=x+y HTTP/1.1
401 Unauthorized, 48.0 ms  2 attempts

Request
  id: 0a
  route: /
  caller: tcp
  gateway: https://host
  stage: RELEASE
  bytes: 8 B in, 900 B out

Why
  code: APIG.0301
  meaning: the signature is wrong
  hint: do this\\u{1b}[2J
  first difference: the path was altered
  the gateway's request id: 77

Changes to the request
  ~ q=x+y -> q=x%20y  (normalized)
  - connection: keep-alive  (hop-by-hop)
  + x-stage: RELEASE  (stage)
  1 passed unchanged

Attempts
  1 first attempt, key, HTTP/1.1 on a new connection, date corrected by +921 s: 401 APIG.0301

Canonical request
           POST
  ours     /a/
  gateway  /a

           host:x

Time
  wait        12.0 ms  ############
  gateway     36.0 ms              ####################################

Not captured
  one note was dropped
";
        assert_eq!(text_of(&detail), expected);
        text_of(&Value::Null);
    }
}
