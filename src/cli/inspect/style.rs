//! How text is shown: colours for terminals only, and untrusted text escaped.

use std::fmt::{Display, Write};
use std::io::IsTerminal;

use serde_json::Value;

use crate::config::Environment;
use crate::escape::{Escaped, is_harmful};

/// Whether text has colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) is_terminal: bool,
    pub(super) has_colours: bool,
}

/// A colour, or another look of text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
}

impl Style {
    /// The style of standard output.
    pub(super) fn of_output(environment: &Environment) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let is_plain = environment.get("NO_COLOR").is_some();
        let is_plain = is_plain || environment.text("TERM") == Some("dumb");
        Self {
            is_terminal,
            has_colours: is_terminal && !is_plain,
        }
    }

    /// Text with this look. Untrusted text is to be escaped before.
    pub(super) fn paint(self, look: Look, text: impl Display) -> String {
        let code = match look {
            Look::Bold => 1,
            Look::Dim => 2,
            Look::Red => 31,
            Look::Green => 32,
            Look::Yellow => 33,
            Look::Blue => 34,
        };
        if self.has_colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// A member of JSON as escaped text; empty if it is not a string.
pub(super) fn text(value: &Value) -> String {
    Escaped(value.as_str().unwrap_or_default()).to_string()
}

/// JSON on one line. What would act on a terminal is escaped as JSON escapes it, so that nothing is
/// lost.
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
    match microseconds {
        ..1_000 => format!("{microseconds} us"),
        1_000..10_000 => format!("{}.{} ms", microseconds / 1_000, microseconds / 100 % 10),
        10_000..10_000_000 => format!("{} ms", microseconds / 1_000),
        _ => format!(
            "{}.{} s",
            microseconds / 1_000_000,
            microseconds / 100_000 % 10
        ),
    }
}

/// A number of bytes.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        ..10_000 => format!("{bytes} B"),
        10_000..10_240_000 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / (1024 * 1024)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        for (microseconds, shown) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_250, "1.2 ms"),
            (48_000, "48 ms"),
            (12_340_000, "12.3 s"),
        ] {
            assert_eq!(duration(microseconds), shown);
        }
        for (bytes, shown) in [
            (0, "0 B"),
            (9_999, "9999 B"),
            (20_480, "20 KiB"),
            (11 << 20, "11 MiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn json_is_one_line_that_no_terminal_obeys_and_that_reads_the_same() {
        let value = json!({"path": "/\u{1b}[31m\n\u{202e}\u{9b}\u{e0001}é"});
        let line = json(&value);
        assert!(!line.chars().any(is_harmful), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}
