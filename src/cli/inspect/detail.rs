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
    let mut out = head(detail);
    for (title, lines) in [
        ("Why", why(&detail["why"])),
        ("Changes to the request", changes(&detail["changes"])),
        (
            "Changes to the response",
            changes(&detail["answer"]["changes"]),
        ),
        ("Attempts", attempts(detail)),
        ("Canonical request", canonical(detail)),
        ("Time", times(&detail["spans"])),
        (
            "Not captured",
            list(&detail["gaps"]).iter().map(text).collect(),
        ),
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

/// The members of an object that have text.
fn texts<const N: usize>(object: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| text(&object[name]))
}

fn head(detail: &Value) -> String {
    let summary = &detail["summary"];
    let took = summary["duration_us"].as_u64();
    let took = took.map_or_else(|| "open".to_owned(), duration);
    let [id, words, route, caller, original] = texts(
        summary,
        ["id", "status_text", "route", "caller", "replay_of"],
    );
    let line = text(&detail["received"]["line"]);
    let mut head = format!(
        "{line}\n{} {words}, {took}{}\n",
        status(summary),
        remarks(summary)
    );
    for (name, value) in [
        ("id", id),
        ("route", route),
        ("caller", caller),
        ("gateway", text(&detail["upstream"])),
        ("stage", text(&detail["stage"])),
        ("replay of", original),
    ] {
        if !value.is_empty() {
            let _ = writeln!(head, "  {name} {value}");
        }
    }
    let bytes = |name: &str| ByteSize(number(&summary[name]));
    let _ = writeln!(
        head,
        "  {} in, {} out",
        bytes("bytes_in"),
        bytes("bytes_out")
    );
    head
}

fn why(why: &Value) -> Vec<String> {
    let [code, meaning, hint, id] = texts(why, ["code", "meaning", "hint", "gateway_request_id"]);
    let different = &why["difference"];
    let [what] = texts(different, ["what"]);
    let line = number(&different["line"]);
    let lines = [
        (
            &code,
            match meaning.is_empty() {
                true => code.clone(),
                false => format!("{code}: {meaning}"),
            },
        ),
        (&hint, format!("hint: {hint}")),
        (&id, format!("the gateway's request id is {id}")),
        (
            &what,
            format!("line {line} of the canonical request differs: {what}"),
        ),
    ];
    let known = lines.into_iter().filter(|(known, _)| !known.is_empty());
    known.map(|(_, line)| line).collect()
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
        texts(change, ["kind", "name", "before", "after", "reason"]);
    let (sign, what) = match &*kind {
        "dropped" => ('-', before),
        "set" => ('+', after),
        _ => ('~', format!("{before} -> {after}")),
    };
    let name = match &*name {
        ":line" => String::new(),
        name => format!("{name}: "),
    };
    format!("{sign} {name}{what}  ({reason})")
}

fn attempts(detail: &Value) -> Vec<String> {
    let line = |attempt: &Value| {
        let [reason, auth, protocol, connection, code] = texts(
            attempt,
            ["reason_text", "auth", "protocol", "connection", "code"],
        );
        let offset = match attempt["clock_offset_s"].as_i64() {
            None | Some(0) => String::new(),
            Some(offset) => format!(", date corrected by {offset:+} s"),
        };
        let (number, status) = (number(&attempt["number"]), status(attempt));
        format!(
            "{number} {reason}, {auth}, {protocol} on a {connection} connection{offset}: {status} {code}"
        )
    };
    list(&detail["attempts"]).iter().map(line).collect()
}

/// The canonical request of the last attempt, and the lines in which that of the gateway differs.
fn canonical(detail: &Value) -> Vec<String> {
    let mut attempts = list(&detail["attempts"]).iter().rev();
    let Some(attempt) = attempts.find(|attempt| attempt["canonical"].is_string()) else {
        return Vec::new();
    };
    let of = |name: &str| {
        attempt[name]
            .as_str()
            .map(|text| text.split('\n').collect())
    };
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
    let spans = list(spans).iter().map(|span| {
        let start = number(&span["start_us"]);
        (
            text(&span["name"]),
            start,
            start.saturating_add(number(&span["us"])),
        )
    });
    let spans: Vec<_> = spans.collect();
    let whole = spans.iter().map(|(_, _, end)| *end).max();
    let whole = whole.unwrap_or_default().max(1);
    // At least one mark for each.
    let place = |time: u64| usize::try_from(time.saturating_mul(WIDTH) / whole).unwrap_or_default();
    let bar = |(name, start, end): (String, u64, u64)| {
        let (took, from) = (duration(end - start), place(start));
        let length = place(end).saturating_sub(from).max(1);
        format!("{name:<8} {took:>10}  {:from$}{}", "", "#".repeat(length))
    };
    spans.into_iter().map(bar).collect()
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
  id 0a
  route /
  caller tcp
  gateway https://host
  stage RELEASE
  8 B in, 900 B out

Why
  APIG.0301: the signature is wrong
  hint: do this\\u{1b}[2J
  the gateway's request id is 77
  line 2 of the canonical request differs: the path was altered

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
