//! One request in full, as text: why, changes, attempts, canonical request, time.

use std::fmt::{Display, Write};

use serde_json::Value;

use super::row::{remarks, status};
use super::style::{Look, Style, duration, size, text};
use super::waterfall::waterfall;
use crate::escape::Escaped;

/// The widest column of changes; longer lines push their reason to the right.
const MAX_COLUMN: usize = 64;

/// The request as text of several sections.
pub(super) fn text_of(detail: &Value, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
    };
    page.head(detail);
    page.why(&detail["why"]);
    page.changes("Changes to the request", &detail["changes"]);
    page.changes("Changes to the response", &detail["answer"]["changes"]);
    page.attempts(detail);
    page.canonical(detail);
    let bars = waterfall(detail, style);
    if !bars.is_empty() {
        page.title("Time");
        page.out.push_str(&bars);
    }
    if let Some(gaps) = detail["gaps"].as_array().filter(|gaps| !gaps.is_empty()) {
        page.title("Not captured");
        for gap in gaps {
            page.line(text(gap));
        }
    }
    page.out
}

/// The text as far as it is written.
struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn title(&mut self, title: &str) {
        let title = self.style.paint(Look::Bold, title);
        // Writing to a string does not fail, here and below.
        let _ = writeln!(self.out, "\n{title}");
    }

    fn line(&mut self, line: impl Display) {
        let line = format!("  {line}");
        let _ = writeln!(self.out, "{}", line.trim_end());
    }

    fn head(&mut self, detail: &Value) {
        let summary = &detail["summary"];
        let line = text(&detail["received"]["line"]);
        let took = summary["duration_us"].as_u64();
        let took = took.map_or_else(|| "open".to_owned(), duration);
        let status = status(summary, self.style, 0);
        let words = text(&summary["status_text"]);
        let remarks = remarks(summary, self.style);
        let _ = writeln!(self.out, "{line}\n{status} {words}, {took}{remarks}");
        let bytes = |name: &str| size(summary[name].as_u64().unwrap_or_default());
        self.line(format_args!("id {}", text(&summary["id"])));
        for (name, value) in [
            ("route", &summary["route"]),
            ("caller", &summary["caller"]),
            ("gateway", &detail["upstream"]),
            ("stage", &detail["stage"]),
            ("replay of", &summary["replay_of"]),
        ] {
            let value = text(value);
            if !value.is_empty() {
                self.line(format_args!("{name} {value}"));
            }
        }
        self.line(format_args!(
            "{} in, {} out",
            bytes("bytes_in"),
            bytes("bytes_out")
        ));
    }

    fn why(&mut self, why: &Value) {
        let [code, meaning, hint, id] =
            ["code", "meaning", "hint", "gateway_request_id"].map(|name| text(&why[name]));
        if code.is_empty() && hint.is_empty() {
            return;
        }
        self.title("Why");
        match meaning.is_empty() {
            true => self.line(code),
            false => self.line(format_args!("{code}: {meaning}")),
        }
        if !hint.is_empty() {
            self.line(format_args!("hint: {hint}"));
        }
        if !id.is_empty() {
            self.line(format_args!("the gateway's request id is {id}"));
        }
        if why["difference"].is_object() {
            let line = why["difference"]["line"].as_u64().unwrap_or_default();
            let what = text(&why["difference"]["what"]);
            self.line(format_args!(
                "line {line} of the canonical request differs: {what}"
            ));
        }
    }

    fn changes(&mut self, title: &str, changes: &Value) {
        let changes = changes.as_array().map_or(&[][..], Vec::as_slice);
        let is_kept = |change: &&Value| change["kind"] == "kept";
        let kept = changes.iter().filter(is_kept).count();
        if changes.is_empty() {
            return;
        }
        self.title(title);
        let rows: Vec<_> = changes
            .iter()
            .filter(|change| !is_kept(change))
            .map(change)
            .collect();
        let width = rows.iter().map(|(_, what, _)| what.chars().count()).max();
        let width = width.unwrap_or_default().min(MAX_COLUMN);
        for (sign, what, reason) in rows {
            let look = match sign {
                '-' => Look::Red,
                '+' => Look::Green,
                _ => Look::Yellow,
            };
            let (sign, reason) = (
                self.style.paint(look, sign),
                self.style.paint(Look::Dim, reason),
            );
            self.line(format_args!("{sign} {what:<width$}  {reason}"));
        }
        self.line(format_args!("{kept} passed unchanged"));
    }

    fn attempts(&mut self, detail: &Value) {
        let attempts = detail["attempts"].as_array().map_or(&[][..], Vec::as_slice);
        if attempts.is_empty() {
            return;
        }
        self.title("Attempts");
        for attempt in attempts {
            let number = attempt["number"].as_u64().unwrap_or_default();
            let [reason, auth, protocol, connection, code] =
                ["reason_text", "auth", "protocol", "connection", "code"]
                    .map(|name| text(&attempt[name]));
            let status = status(attempt, self.style, 0);
            let offset = attempt["clock_offset_s"]
                .as_i64()
                .filter(|offset| *offset != 0);
            let offset = offset.map(|offset| format!(", date corrected by {offset:+} s"));
            self.line(format_args!(
                "{number} {reason}, {auth}, {protocol} on a {connection} connection{}: {status} {code}",
                offset.unwrap_or_default(),
            ));
        }
    }

    /// The canonical request of the last attempt, and the lines in which that of the gateway differs.
    fn canonical(&mut self, detail: &Value) {
        let mut attempts = detail["attempts"].as_array().into_iter().flatten().rev();
        let Some(attempt) = attempts.find(|attempt| attempt["canonical"].is_string()) else {
            return;
        };
        let lines = |name: &str| -> Vec<&str> {
            attempt[name]
                .as_str()
                .map(|text| text.split('\n').collect())
                .unwrap_or_default()
        };
        let (ours, gateway) = (lines("canonical"), lines("echo"));
        self.title("Canonical request");
        for at in 0..ours.len().max(gateway.len()) {
            let (our, theirs) = (ours.get(at), gateway.get(at));
            if gateway.is_empty() || our == theirs {
                self.canonical_line("", Look::Dim, our);
            } else {
                self.canonical_line("ours", Look::Green, our);
                self.canonical_line("gateway", Look::Red, theirs);
            }
        }
    }

    fn canonical_line(&mut self, side: &str, look: Look, line: Option<&&str>) {
        if let Some(line) = line {
            let side = self.style.paint(look, format_args!("{side:<7}"));
            let line = Escaped(line);
            self.line(format_args!("{side}  {line}"));
        }
    }
}

/// A change as its sign, what it is about, and its reason.
fn change(change: &Value) -> (char, String, String) {
    let [kind, name, before, after, reason] =
        ["kind", "name", "before", "after", "reason"].map(|name| text(&change[name]));
    let name = match &*name {
        ":line" => String::new(),
        name => format!("{name}: "),
    };
    let (sign, what) = match &*kind {
        "dropped" => ('-', before),
        "set" => ('+', after),
        _ => ('~', format!("{before} -> {after}")),
    };
    (sign, format!("{name}{what}"), reason)
}

#[cfg(test)]
mod tests;
