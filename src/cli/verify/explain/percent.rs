//! Percent encoding as mistaken signers do it: of anything, keeping anything.
//!
//! Not that of the signature, which never decodes and encodes apart.

use std::fmt::Write;

/// The bytes that percent-encoded text stands for.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [0];
        let escape = after.get(..2).filter(|_| *first == b'%');
        if escape.is_some_and(|digits| hex::decode_to_slice(digits, &mut byte).is_ok()) {
            bytes.push(byte[0]);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

/// Text for these bytes, with everything encoded but what is unreserved and what is in `kept`.
pub(super) fn encoded(bytes: &[u8], kept: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_plain(*byte) || kept.contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// With the five characters in plain that JavaScript's `encodeURIComponent` leaves alone.
pub(super) fn as_javascript(text: &str) -> String {
    let kept = [
        ("%21", "!"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
    ];
    kept.iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// With the digits of escapes in small letters.
pub(super) fn in_small_letters(text: &str) -> String {
    let mut digits = 0;
    let small = |character: char| {
        let is_digit = digits > 0;
        digits = if character == '%' {
            2
        } else {
            digits.max(1) - 1
        };
        if is_digit {
            character.to_ascii_lowercase()
        } else {
            character
        }
    };
    text.chars().map(small).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_escapes_stand_for_themselves() {
        assert_eq!(decoded("a%20%2fb%zz%2"), b"a /b%zz%2");
        assert_eq!(encoded(b"a /b%", b"/"), "a%20/b%25");
    }

    #[test]
    fn spellings_of_other_languages_differ_in_nothing_else() {
        assert_eq!(as_javascript("%21%27%28%29%2A%3A"), "!'()*%3A");
        assert_eq!(in_small_letters("A%2FB%E4AB%"), "A%2fB%e4AB%");
    }
}
