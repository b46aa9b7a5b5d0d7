//! Percent encoding as the signature defines it: unreserved characters stay, all others become
//! `%XY`.
//!
//! Not the `percent-encoding` crate: the text is encoded already, and is decoded and encoded again
//! in one pass, without a buffer between the two.

use std::fmt;

use super::SignatureError;

/// The unreserved characters of RFC 3986 §2.3, which are never encoded.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// The treatment of slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slash {
    /// In a path: `/` and `%2F` are both `/`, as the official SDKs have it.
    Separates,
    /// In a query: `/` and `%2F` are both `%2F`.
    Encoded,
}

/// The bytes that percent-encoded `text` stands for. A broken escape stands for itself.
pub(super) fn decoded(text: &str) -> impl Iterator<Item = u8> + Clone + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let (byte, length) = decoded_at(bytes, at)?;
        at += length;
        Some(byte)
    })
}

/// Writes `text`, decoded once and encoded once. Returns the last byte written.
pub(super) fn write_encoded(
    out: &mut impl fmt::Write,
    text: &str,
    slash: Slash,
) -> Result<Option<u8>, fmt::Error> {
    let keeps = |byte| is_unreserved(byte) || (byte == b'/' && slash == Slash::Separates);
    let bytes = text.as_bytes();
    let mut last = None;
    let mut at = 0;
    while let Some((byte, length)) = decoded_at(bytes, at) {
        // Nearly all bytes stay as they are, so they are written in runs.
        let run = bytes[at..].iter().take_while(|byte| keeps(**byte)).count();
        if run > 0 {
            out.write_str(&text[at..at + run])?;
            at += run;
            last = Some(bytes[at - 1]);
            continue;
        }
        if keeps(byte) {
            out.write_char(char::from(byte))?;
        } else {
            write_escape(out, byte)?;
        }
        at += length;
        last = Some(byte);
    }
    Ok(last)
}

/// Writes the escape of a byte, like `%2F`.
pub(super) fn write_escape(out: &mut impl fmt::Write, byte: u8) -> fmt::Result {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.write_char('%')?;
    out.write_char(char::from(HEX[usize::from(byte >> 4)]))?;
    out.write_char(char::from(HEX[usize::from(byte & 15)]))
}

/// Checks that all bytes are visible ASCII and all escapes whole. What they stand for need not be
/// UTF-8: text of other encodings is signed and sent as it is.
///
/// # Errors
///
/// [`SignatureError::RawByte`] or [`SignatureError::BrokenEscape`].
pub(super) fn check(text: &str) -> Result<(), SignatureError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                escape(bytes, at).ok_or(SignatureError::BrokenEscape)?;
                at += 3;
            }
            b'!'..=b'~' => at += 1,
            _ => return Err(SignatureError::RawByte),
        }
    }
    Ok(())
}

/// The byte at `at`, decoded, and the length of what stands for it.
fn decoded_at(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let byte = *bytes.get(at)?;
    let escaped = if byte == b'%' {
        escape(bytes, at)
    } else {
        None
    };
    Some(escaped.map_or((byte, 1), |byte| (byte, 3)))
}

/// The byte that the escape at `at` stands for, if it is whole.
pub(super) fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| char::from(*bytes.get(at + offset)?).to_digit(16);
    let byte = digit(1)? * 16 + digit(2)?;
    Some(u8::try_from(byte).expect("two hexadecimal digits make one byte"))
}
