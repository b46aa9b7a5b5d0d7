//! Percent encoding as the signature wants it: what is unreserved stays, everything else becomes `%XY`.
//!
//! Not the `percent-encoding` crate, because the canonical form is made by decoding and encoding in
//! one pass over text that is already encoded, without a buffer between the two.

use std::fmt;

use super::SignatureError;

/// The unreserved characters of RFC 3986 §2.3, which are never encoded.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// What decides whether a decoded slash stays one.
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
        let byte = *bytes.get(at)?;
        let escaped = if byte == b'%' {
            escape(bytes, at)
        } else {
            None
        };
        at += if escaped.is_some() { 3 } else { 1 };
        Some(escaped.unwrap_or(byte))
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
    while at < bytes.len() {
        // Nearly all bytes stay as they are, so they are written in runs.
        let run = bytes[at..].iter().take_while(|byte| keeps(**byte)).count();
        if run > 0 {
            out.write_str(&text[at..at + run])?;
            at += run;
            last = Some(bytes[at - 1]);
            continue;
        }
        let escaped = if bytes[at] == b'%' {
            escape(bytes, at)
        } else {
            None
        };
        let byte = escaped.unwrap_or(bytes[at]);
        at += if escaped.is_some() { 3 } else { 1 };
        if keeps(byte) {
            out.write_char(char::from(byte))?;
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.write_char('%')?;
            out.write_char(char::from(HEX[usize::from(byte >> 4)]))?;
            out.write_char(char::from(HEX[usize::from(byte & 15)]))?;
        }
        last = Some(byte);
    }
    Ok(last)
}

/// Checks that all bytes are visible ASCII, all escapes whole, and the decoded bytes UTF-8.
///
/// # Errors
///
/// [`SignatureError::RawByte`], [`SignatureError::BrokenEscape`] or [`SignatureError::NotUtf8`].
pub(super) fn check(text: &str) -> Result<(), SignatureError> {
    let bytes = text.as_bytes();
    let mut utf8_needed = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let byte = escape(bytes, at).ok_or(SignatureError::BrokenEscape)?;
                utf8_needed |= !byte.is_ascii();
                at += 3;
            }
            b'!'..=b'~' => at += 1,
            _ => return Err(SignatureError::RawByte),
        }
    }
    // Rare, so that the buffer costs nothing in the usual case.
    if utf8_needed && std::str::from_utf8(&decoded(text).collect::<Vec<_>>()).is_err() {
        return Err(SignatureError::NotUtf8);
    }
    Ok(())
}

/// The byte that the escape at `at` stands for, if there is a whole one.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| char::from(*bytes.get(at + offset)?).to_digit(16);
    let byte = digit(1)? * 16 + digit(2)?;
    Some(u8::try_from(byte).expect("two hexadecimal digits make one byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str, slash: Slash) -> String {
        let mut out = String::new();
        write_encoded(&mut out, text, slash).unwrap();
        out
    }

    #[test]
    fn what_is_encoded_already_is_encoded_once() {
        assert_eq!(
            encoded("/a%20b/%e4%b8%ad", Slash::Separates),
            "/a%20b/%E4%B8%AD"
        );
        assert_eq!(encoded("%7Euser", Slash::Separates), "~user");
    }

    #[test]
    fn an_encoded_slash_separates_in_a_path_and_stays_encoded_in_a_query() {
        assert_eq!(encoded("/a%2fb", Slash::Separates), "/a/b");
        assert_eq!(encoded("/a%2fb", Slash::Encoded), "%2Fa%2Fb");
    }

    #[test]
    fn sub_delimiters_are_encoded() {
        assert_eq!(encoded("!*'():", Slash::Encoded), "%21%2A%27%28%29%3A");
    }

    #[test]
    fn broken_escapes_raw_bytes_and_bad_utf8_are_told_apart() {
        assert_eq!(check("/a%2"), Err(SignatureError::BrokenEscape));
        assert_eq!(check("/a%zz"), Err(SignatureError::BrokenEscape));
        assert_eq!(check("/é"), Err(SignatureError::RawByte));
        assert_eq!(check("/a b"), Err(SignatureError::RawByte));
        assert_eq!(check("/%ff"), Err(SignatureError::NotUtf8));
        assert_eq!(check("/%C3%A9"), Ok(()));
    }
}
