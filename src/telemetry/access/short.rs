//! Text of others, made harmless and kept in place.

use std::fmt;

/// At most `N` bytes of visible ASCII: what is not is written as an escape, and what is too long ends
/// with three dots.
#[derive(Clone, Copy)]
pub(super) struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

const DOTS: &[u8] = b"...";

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> Short<N> {
    /// The visible form of a value.
    pub(super) fn of(value: &[u8]) -> Self {
        let mut short = Self::default();
        // Where the dots go if it gets too long: after a whole escape, so that they are no part of one.
        let mut whole = 0;
        for byte in value {
            let is_pushed = match byte {
                b'\\' => short.push(b"\\\\"),
                b'!'..=b'~' => short.push(std::slice::from_ref(byte)),
                // A blank is visible to nobody either.
                _ => short.push(&hex_escape(*byte)),
            };
            if !is_pushed {
                short.length = whole;
                short.push(DOTS);
                break;
            }
            if short.length + DOTS.len() <= N {
                whole = short.length;
            }
        }
        short
    }

    fn push(&mut self, piece: &[u8]) -> bool {
        let end = self.length + piece.len();
        let Some(room) = self.bytes.get_mut(self.length..end) else {
            return false;
        };
        room.copy_from_slice(piece);
        self.length = end;
        true
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).expect("it is ascii")
    }
}

/// A byte as `\xNN`.
fn hex_escape(byte: u8) -> [u8; 4] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value & 0xf)];
    [b'\\', b'x', digit(byte >> 4), digit(byte)]
}

impl<const N: usize> fmt::Display for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_visible_is_escaped_and_what_is_too_long_ends_with_dots() {
        for (value, shown) in [
            (&b""[..], ""),
            (b"/v1/a%20b", "/v1/a%20b"),
            (b"/\"'", "/\"'"),
            (b"a b", "a\\x20b"),
            (b"\n\x1b\\", "\\x0a\\x1b\\\\"),
            (b"\xc3\xa9", "\\xc3\\xa9"),
            (b"0123456789ab", "0123456789ab"),
            (b"0123456789abc", "012345678..."),
            (b"0123456789\x1b", "012345678..."),
            (b"\xff\xff\xff\xff", "\\xff\\xff..."),
        ] {
            assert_eq!(Short::<12>::of(value).to_string(), shown);
        }
    }
}
