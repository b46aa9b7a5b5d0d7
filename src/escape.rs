//! Escaping of untrusted text, for log lines and messages.
//!
//! The words of a peer, an error that quotes them, the name of a file: each may hold a line feed,
//! which forges a log line, an escape sequence, which a terminal obeys, or a character that
//! reorders the line. All of these are escaped (`\n`, `\u{1b}`). A backslash stays as it is, so a
//! text can look as if it had been escaped, but never the other way round.

use std::fmt::{self, Display, Formatter, Write};

/// Displays a text on one line.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(EscapeWriter::new(f, Within::Line), "{}", self.0)
    }
}

/// Displays a text that may have several lines.
#[derive(Clone, Copy, Debug)]
pub struct EscapedLines<T>(pub T);

impl<T: Display> Display for EscapedLines<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(EscapeWriter::new(f, Within::Lines), "{}", self.0)
    }
}

/// The context of a text, which decides what is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// On a line.
    Line,
    /// On several lines.
    Lines,
    /// Between the quotation marks of a JSON string.
    Json,
}

/// A writer that escapes what would break the context.
#[derive(Debug)]
pub(crate) struct EscapeWriter<W> {
    out: W,
    within: Within,
    /// How many more bytes may be written.
    left: usize,
    is_cut: bool,
}

impl<W: Write> EscapeWriter<W> {
    pub(crate) fn new(out: W, within: Within) -> Self {
        Self::cut_at(usize::MAX, out, within)
    }

    /// A writer of at most `max` bytes; dots replace the rest.
    pub(crate) fn cut_at(max: usize, out: W, within: Within) -> Self {
        Self {
            out,
            within,
            left: max,
            is_cut: false,
        }
    }

    fn escapes(&self, c: char) -> bool {
        match self.within {
            Within::Line => is_harmful(c),
            Within::Lines => is_harmful(c) && c != '\n',
            Within::Json => is_harmful(c) || matches!(c, '"' | '\\'),
        }
    }

    /// Writes text that may be cut anywhere.
    fn put(&mut self, text: &str) -> fmt::Result {
        if self.is_cut || text.is_empty() {
            return Ok(());
        }
        if text.len() <= self.left {
            self.left -= text.len();
            return self.out.write_str(text);
        }
        self.is_cut = true;
        let kept = &text[..text.floor_char_boundary(self.left)];
        self.out.write_str(kept)?;
        self.out.write_str("...")
    }

    fn put_escaped(&mut self, c: char) -> fmt::Result {
        let mut escape = String::new();
        match (self.within, c) {
            (Within::Json, '"' | '\\') => write!(escape, "\\{c}")?,
            // A JSON reader removes one of the two backslashes, and the escape stays.
            (Within::Json, _) => write!(escape, "\\{}", c.escape_default())?,
            (Within::Line | Within::Lines, _) => write!(escape, "{}", c.escape_default())?,
        }
        // A cut escape would be another one.
        if escape.len() > self.left {
            self.left = 0;
        }
        self.put(&escape)
    }
}

impl<W: Write> Write for EscapeWriter<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| self.escapes(c)) {
            self.put(&rest[..at])?;
            self.put_escaped(c)?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.put(rest)
    }
}

/// True for control and formatting characters, which change how the text around them is displayed.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'                        // soft hyphen
            | '\u{61c}'                     // Arabic letter mark
            | '\u{180e}'                    // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}'       // zero width, and marks of direction
            | '\u{2028}'..='\u{202e}'       // separators of lines and paragraphs, changes of direction
            | '\u{2060}'..='\u{206f}'       // invisible operators, isolates
            | '\u{feff}'                    // byte order mark
            | '\u{fff9}'..='\u{fffb}'       // annotations
            | '\u{e0000}'..='\u{e007f}'     // tags
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMFUL: &str = "\n\r\t\0\u{1b}\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}";

    fn json(longest: usize, text: &str) -> String {
        let mut out = String::new();
        write!(
            EscapeWriter::cut_at(longest, &mut out, Within::Json),
            "{text}"
        )
        .unwrap();
        out
    }

    #[test]
    fn characters_that_act_on_the_text_around_them_are_escaped_and_no_others() {
        let shown = Escaped(HARMFUL).to_string();
        assert!(
            shown.bytes().all(|byte| byte.is_ascii_graphic()),
            "{shown:?}"
        );
        assert!(
            shown.starts_with(r"\n\r\t\u{0}\u{1b}\u{7f}\u{85}"),
            "{shown}"
        );
        for text in ["a \"b\" \\n", "花園/Übersicht", "e\u{301}", "😀"] {
            assert_eq!(Escaped(text).to_string(), text);
        }
        let lines = EscapedLines("a\n b\r\n\u{1b}").to_string();
        assert_eq!(lines, "a\n b\\r\n\\u{1b}");
    }

    #[test]
    fn in_json_the_escapes_reach_the_reader() {
        let text = format!("{HARMFUL}\"\\x");
        let read: String = serde_json::from_str(&format!("\"{}\"", json(999, &text))).unwrap();
        assert_eq!(read, format!("{}\"\\x", Escaped(HARMFUL)));
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_between_escapes() {
        let text = "aé\n\"\u{202e}z";
        for longest in 0..20 {
            let cut = json(longest, text);
            assert!(cut.len() <= longest + 3, "{cut}");
            let read: String = serde_json::from_str(&format!("\"{cut}\"")).unwrap();
            let whole = Escaped(text).to_string();
            let kept = read.strip_suffix("...").unwrap_or(&read);
            assert!(whole.starts_with(kept), "{longest}: {read}");
        }
        assert_eq!(json(1, "ab"), "a...");
    }
}
