//! Text of fixed capacity, so that a record needs no memory of its own.

use std::fmt::{self, Write};

/// At most `N` bytes of printable ASCII. Other bytes are escaped, and a longer value ends in dots.
#[derive(Clone, Copy)]
pub(super) struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

const DOTS: &str = "...";

impl<const N: usize> Short<N> {
    /// The escaped form of a value.
    pub(super) fn new(value: &[u8]) -> Self {
        let mut short = Self::default();
        // The length up to the last whole escape that leaves room for the dots.
        let mut kept = 0;
        for byte in value {
            let written = match byte {
                b'\\' => short.write_str("\\\\"),
                b'!'..=b'~' => short.write_char(char::from(*byte)),
                _ => write!(short, "\\x{byte:02x}"),
            };
            if written.is_err() {
                short.length = kept;
                short.write_str(DOTS).expect("room for the dots was kept");
                break;
            }
            if short.length + DOTS.len() <= N {
                kept = short.length;
            }
        }
        short
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> Write for Short<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.bytes[..self.length]).expect("only ASCII is written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_escaped_and_a_longer_value_ends_in_dots() {
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
            assert_eq!(Short::<12>::new(value).to_string(), shown);
        }
    }
}
