//! Where the time of a request went, as bars of text.

use std::fmt::Write;

use serde_json::Value;

use super::style::{Look, Style, duration, text};

/// The width of the whole time.
const WIDTH: u64 = 48;

/// The spans of the request and of its attempts, one a line.
pub(super) fn waterfall(detail: &Value, style: Style) -> String {
    let spans = |value: &Value| value["spans"].as_array().cloned().unwrap_or_default();
    let attempts = detail["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    let mut all: Vec<(String, Value)> = Vec::new();
    for attempt in attempts {
        let number = attempt["number"].as_u64().unwrap_or_default();
        all.extend(
            spans(attempt)
                .into_iter()
                .map(|span| (number.to_string(), span)),
        );
    }
    // The spans of the request include those of its attempts.
    for span in spans(detail) {
        if !all.iter().any(|(_, known)| *known == span) {
            all.push((" ".to_owned(), span));
        }
    }
    let row = |(number, span): (String, Value)| {
        let time = |name: &str| span[name].as_u64().unwrap_or_default();
        let name = format!("{number} {}", text(&span["name"]));
        (name, time("start_us"), time("us"))
    };
    let mut rows: Vec<_> = all.into_iter().map(row).collect();
    rows.sort_by_key(|(_, start, _)| *start);
    let end = rows
        .iter()
        .map(|(_, start, length)| start.saturating_add(*length))
        .max();
    let total = detail["summary"]["duration_us"]
        .as_u64()
        .max(end)
        .unwrap_or_default()
        .max(1);
    let mut out = String::new();
    for (name, start, length) in rows {
        let bar = bar(start, length, total);
        let bar = style.paint(Look::Blue, bar);
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {name:<12} {:>8}  |{bar}|", duration(length));
    }
    out
}

/// The part of the whole time from `start` on, at least one character wide.
fn bar(start: u64, length: u64, total: u64) -> String {
    let place = |time: u64| {
        let place = u128::from(time.min(total)) * u128::from(WIDTH) / u128::from(total);
        usize::try_from(place).unwrap_or_default()
    };
    let width = place(total);
    let from = place(start).min(width - 1);
    let to = place(start.saturating_add(length)).clamp(from + 1, width);
    format!(
        "{}{}{}",
        " ".repeat(from),
        "#".repeat(to - from),
        " ".repeat(width - to)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_bar_has_the_width_of_the_whole_time_and_at_least_one_mark() {
        for (start, length, total) in [
            (0, 0, 1),
            (0, 10, 10),
            (10, 0, 10),
            (9, 99, 10),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            let bar = bar(start, length, total);
            assert_eq!(bar.len(), 48, "{bar}");
            assert!(bar.contains('#'), "{start} {length} {total}");
        }
    }

    #[test]
    fn spans_are_in_the_order_of_time_with_the_number_of_their_attempt() {
        let detail = json!({
            "summary": {"duration_us": 4_800},
            "spans": [{"name": "wait", "start_us": 0, "us": 1_200},
                {"name": "gateway", "start_us": 1_200, "us": 2_400}, {"name": "answer", "start_us": 3_600, "us": 1_200}],
            "attempts": [{"number": 1, "spans": [{"name": "gateway", "start_us": 1_200, "us": 2_400}]}]
        });
        let style = Style {
            is_terminal: false,
            has_colours: false,
        };
        let spaces = |count| " ".repeat(count);
        let expected = [
            format!(
                "    wait         1.2 ms  |{}{}|",
                "#".repeat(12),
                spaces(36)
            ),
            format!(
                "  1 gateway      2.4 ms  |{}{}{}|",
                spaces(12),
                "#".repeat(24),
                spaces(12)
            ),
            format!(
                "    answer       1.2 ms  |{}{}|",
                spaces(36),
                "#".repeat(12)
            ),
        ];
        assert_eq!(waterfall(&detail, style), expected.join("\n") + "\n");
    }
}
