//! Finds the end of a head in bytes as they arrive.
//!
//! Each byte is looked at once, so that a head which comes byte by byte costs no more than one which
//! comes at once. Every line must end with CR LF: servers disagree on what a bare line feed ends.

use super::malformed::Malformed;

/// What a TLS connection begins with: the type of a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// How far the search for the end of a head is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanner {
    /// Bytes that were searched.
    searched: usize,
    /// Where the current line begins.
    line: usize,
    /// Where the first line begins, after an empty line that is passed over.
    start: usize,
    /// Where the second line begins; 0 until it does.
    second: usize,
}

/// Where a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its empty line.
    pub end: usize,
}

impl Scanner {
    /// Searches what came since the last call; `None` if the head is not complete. One empty line
    /// before the head is passed over, as RFC 9112 §2.2 asks.
    ///
    /// # Errors
    ///
    /// [`Malformed::LineEnd`] for a bare line feed, [`Malformed::HeadTooLong`] or
    /// [`Malformed::FirstLineTooLong`] once more than `limit` bytes have come without an end, and
    /// [`Malformed::Tls`].
    pub fn find(&mut self, input: &[u8], limit: usize) -> Result<Option<Span>, Malformed> {
        if input.first() == Some(&TLS_HANDSHAKE) {
            return Err(Malformed::Tls);
        }
        for at in memchr::memchr_iter(b'\n', &input[self.searched..]) {
            let at = self.searched + at;
            // First of all, so that a head which comes at once is refused for what it is refused for
            // when it comes slowly.
            self.bounded(at + 1, limit)?;
            if at == 0 || input[at - 1] != b'\r' {
                return Err(Malformed::LineEnd);
            }
            if at == self.line + 1 {
                if self.line > self.start {
                    return Ok(Some(Span {
                        start: self.start,
                        end: at + 1,
                    }));
                }
                if self.start > 0 {
                    return Err(Malformed::RequestLine);
                }
                self.start = at + 1;
            } else if self.second == 0 {
                self.second = at + 1;
            }
            self.line = at + 1;
        }
        self.searched = input.len();
        self.bounded(input.len(), limit).map(|()| None)
    }

    fn bounded(&self, length: usize, limit: usize) -> Result<(), Malformed> {
        if length - self.start <= limit {
            Ok(())
        } else if self.second == 0 || self.second - self.start > limit {
            Err(Malformed::FirstLineTooLong)
        } else {
            Err(Malformed::HeadTooLong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    /// Where the head ends when `text` comes byte by byte.
    fn bytewise(text: &str) -> Result<Option<Span>, Malformed> {
        let mut scanner = Scanner::default();
        for end in 1..text.len() {
            if let Some(span) = scanner.find(&text.as_bytes()[..end], LIMIT)? {
                return Ok(Some(span));
            }
        }
        scanner.find(text.as_bytes(), LIMIT)
    }

    #[test]
    fn the_end_is_the_same_however_the_bytes_come() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\nrest", Ok(Some((0, 18)))),
            ("GET / HTTP/1.1\r\na: b\r\n\r\n", Ok(Some((0, 24)))),
            ("\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some((2, 20)))),
            ("GET / HTTP/1.1\r\na: b\r\n", Ok(None)),
            (
                "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                Err(Malformed::RequestLine),
            ),
            ("GET / HTTP/1.1\n\n", Err(Malformed::LineEnd)),
            ("GET / HTTP/1.1\r\na: b\n\r\n", Err(Malformed::LineEnd)),
            ("\n", Err(Malformed::LineEnd)),
            ("\x16\x03\x01", Err(Malformed::Tls)),
        ] {
            let whole = Scanner::default().find(text.as_bytes(), LIMIT);
            let expected = expected.map(|span| span.map(|(start, end)| Span { start, end }));
            assert_eq!((whole, bytewise(text)), (expected, expected), "{text:?}");
        }
    }

    #[test]
    fn a_head_over_the_limit_is_refused_whether_it_ends_or_not() {
        let line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(LIMIT));
        assert_eq!(bytewise(&line), Err(Malformed::FirstLineTooLong));
        let fields = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "a".repeat(LIMIT));
        assert_eq!(bytewise(&fields), Err(Malformed::HeadTooLong));
        assert_eq!(
            Scanner::default().find(fields.as_bytes(), LIMIT),
            Err(Malformed::HeadTooLong)
        );
        let beyond = format!("GET / HTTP/1.1\r\na: {}\n\r\n", "a".repeat(LIMIT));
        let at_once = Scanner::default().find(beyond.as_bytes(), LIMIT);
        assert_eq!(
            (at_once, bytewise(&beyond)),
            (Err(Malformed::HeadTooLong), at_once)
        );
        let exact = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "a".repeat(LIMIT - 23));
        assert_eq!(exact.len(), LIMIT);
        assert!(bytewise(&exact).is_ok_and(|span| span.is_some()));
    }
}
