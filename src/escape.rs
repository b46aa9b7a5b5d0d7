//! Text that came from elsewhere, so written that it cannot pass for something else.
//!
//! A peer's words, a library's error about them, the name of a file: each may hold a line feed, which
//! forges a line of a log, an escape sequence, which a terminal obeys, or a character that reorders what
//! is shown. All of these are written as escapes (`\n`, `\u{1b}`). A backslash stays as it is, so a text
//! can look as if something had been escaped in it, but never the other way round.

use std::fmt::{self, Display, Formatter, Write};

/// A text on one line.
#[derive(Clone, Copy, Debug)]
pub struct Visible<T>(pub T);

impl<T: Display> Display for Visible<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping::new(f, Within::Line), "{}", self.0)
    }
}

/// A text that may have several lines of its own.
#[derive(Clone, Copy, Debug)]
pub struct VisibleLines<T>(pub T);

impl<T: Display> Display for VisibleLines<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping::new(f, Within::Lines), "{}", self.0)
    }
}

/// Where a text is to stand, which decides what would break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// On a line.
    Line,
    /// On several lines.
    Lines,
    /// Between the quotation marks of a JSON string.
    Json,
}

/// Writes text on, with what would break it escaped.
#[derive(Debug)]
pub(crate) struct Escaping<W> {
    out: W,
    within: Within,
    /// How many bytes are still written.
    left: usize,
    is_cut: bool,
}

impl<W: Write> Escaping<W> {
    pub(crate) fn new(out: W, within: Within) -> Self {
        Self::cut_at(usize::MAX, out, within)
    }

    /// As [`Self::new`], with dots in place of everything after so many bytes.
    pub(crate) fn cut_at(longest: usize, out: W, within: Within) -> Self {
        Self {
            out,
            within,
            left: longest,
            is_cut: false,
        }
    }

    fn changes(&self, c: char) -> bool {
        match self.within {
            Within::Line => is_harmful(c),
            Within::Lines => is_harmful(c) && c != '\n',
            Within::Json => is_harmful(c) || matches!(c, '"' | '\\'),
        }
    }

    /// Writes what may be cut anywhere.
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
            // A JSON reader takes one of the two backslashes away, and the escape stays one.
            (Within::Json, _) => write!(escape, "\\{}", c.escape_default())?,
            (Within::Line | Within::Lines, _) => write!(escape, "{}", c.escape_default())?,
        }
        // Half an escape would be another one.
        if escape.len() > self.left {
            self.left = 0;
        }
        self.put(&escape)
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| self.changes(c)) {
            self.put(&rest[..at])?;
            self.put_escaped(c)?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.put(rest)
    }
}

/// Whether a character acts on the text around it instead of being seen.
fn is_harmful(c: char) -> bool {
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
        write!(Escaping::cut_at(longest, &mut out, Within::Json), "{text}").unwrap();
        out
    }

    #[test]
    fn what_acts_on_the_text_around_it_is_escaped() {
        let shown = Visible(HARMFUL).to_string();
        assert!(
            shown.bytes().all(|byte| byte.is_ascii_graphic()),
            "{shown:?}"
        );
        assert!(
            shown.starts_with(r"\n\r\t\u{0}\u{1b}\u{7f}\u{85}"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_seen_stays_as_it_is() {
        for text in ["a \"b\" \\n", "花園/Übersicht", "e\u{301}", "😀"] {
            assert_eq!(Visible(text).to_string(), text);
        }
    }

    #[test]
    fn several_lines_keep_their_ends_and_nothing_else() {
        assert_eq!(
            VisibleLines("a\n b\r\n\u{1b}").to_string(),
            "a\n b\\r\n\\u{1b}"
        );
    }

    #[test]
    fn in_json_the_escapes_reach_the_reader() {
        let text = format!("{HARMFUL}\"\\x");
        let read: String = serde_json::from_str(&format!("\"{}\"", json(999, &text))).unwrap();
        assert_eq!(read, format!("{}\"\\x", Visible(HARMFUL)));
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_between_escapes() {
        let text = "aé\n\"\u{202e}z";
        for longest in 0..20 {
            let cut = json(longest, text);
            assert!(cut.len() <= longest + 3, "{cut}");
            let read: String = serde_json::from_str(&format!("\"{cut}\"")).unwrap();
            let whole = Visible(text).to_string();
            let kept = read.strip_suffix("...").unwrap_or(&read);
            assert!(whole.starts_with(kept), "{longest}: {read}");
        }
        assert_eq!(json(1, "ab"), "a...");
    }
}
