//! Spellings, split positions, and what is left alone.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// With every kind of byte that some encoding escapes.
const SECRET: &str = r#"tok/en+x=="%2F\&'<Zz0123456789"#;

fn redactor(secret: &str) -> Redactor {
    Redactor::new(&secret.into()).unwrap()
}

/// The text after it came in these pieces.
fn in_pieces<'a>(secret: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut redactor = redactor(secret);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(redactor.push(piece));
        assert!(redactor.held.len() < 200, "{} held", redactor.held.len());
    }
    out.extend(redactor.finish());
    String::from_utf8(out).unwrap()
}

fn each(encode: impl Fn(u8) -> String) -> String {
    SECRET.bytes().map(encode).collect()
}

/// The secret as encoders write it.
fn spellings_of_secret() -> Vec<String> {
    let json = serde_json::to_string(SECRET).unwrap();
    let json = &json[1..json.len() - 1];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    let where_needed = |encode: fn(u8) -> String| {
        each(|byte| {
            if is_plain(byte) {
                char::from(byte).to_string()
            } else {
                encode(byte)
            }
        })
    };
    vec![
        SECRET.to_owned(),
        json.to_owned(),
        json.replace('/', "\\/"),
        // JSON within JSON.
        json.replace('\\', "\\\\").replace('"', "\\\""),
        where_needed(|byte| format!("\\u{byte:04x}")),
        where_needed(|byte| format!("\\u{byte:04X}")),
        where_needed(|byte| format!("\\\\u{byte:04x}")),
        where_needed(|byte| format!("\\x{byte:02x}")),
        where_needed(|byte| format!("%{byte:02X}")),
        where_needed(|byte| format!("%{byte:02x}")),
        where_needed(|byte| format!("%25{byte:02X}")),
        where_needed(|byte| format!("%2525{byte:02x}")),
        where_needed(|byte| format!("&#{byte};")),
        where_needed(|byte| format!("&#x{byte:X};")),
        where_needed(|byte| format!("&#x00{byte:x};")),
        SECRET
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;")
            .replace('\'', "&apos;"),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("%{byte:02x}")),
    ]
}

#[test]
fn every_spelling_is_redacted_at_every_split_and_no_length_changes() {
    for spelled in spellings_of_secret() {
        let text = format!("{{\"a\":\"{spelled}\"}} tok/en {spelled}|end");
        let stars = "*".repeat(spelled.len());
        let expected = format!("{{\"a\":\"{stars}\"}} tok/en {stars}|end");
        for split in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(split);
            assert_eq!(
                in_pieces(SECRET, [first, second]),
                expected,
                "{split} of {text}"
            );
        }
        let bytes = text.as_bytes().chunks(1);
        assert_eq!(in_pieces(SECRET, bytes), expected, "{text}");
    }
}

#[test]
fn an_echo_that_is_cut_off_is_redacted_from_sixteen_bytes_on() {
    let secret = "0123456789abcdefghijklmnop";
    for (text, expected) in [
        ("0123456789abcde", "0123456789abcde"),
        ("0123456789abcdef", "****************"),
        ("x=0123456789abcdef...", "x=****************..."),
        (
            "0123456789abcdefghi|0123456789abcdefghij",
            "*******************|********************",
        ),
        // A beginning within a beginning.
        (
            "01230123456789abcdefghijklmnop",
            "0123**************************",
        ),
        (
            "0123456789ab0123456789abcdefghijklmnop",
            "0123456789ab**************************",
        ),
        (
            "0123456789abcdefghijklmnop0123456789abcdefghijklmnop",
            "****************************************************",
        ),
    ] {
        assert_eq!(in_pieces(secret, [text.as_bytes()]), expected);
    }
}

#[test]
fn short_secrets_are_found_whole_and_those_that_are_too_short_are_not_looked_for() {
    assert_eq!(
        in_pieces("12345678", [&b"a12345678b1234567"[..]]),
        "a********b1234567"
    );
    assert!(Redactor::new(&"1234567".into()).is_none());
}

#[test]
fn what_is_not_the_secret_passes_and_is_held_back_for_no_longer_than_needed() {
    let mut redactor = redactor("secret-token-0123456789");
    for (piece, passed) in [
        ("an ordinary error", "an ordinary error"),
        ("ends with 100%", "ends with 100"),
        (" of it", "% of it"),
        ("C:\\", "C:"),
        ("temp &", "\\temp "),
        ("copy; sec", "&copy; "),
        ("ond", "second"),
        ("secret-token-0123456789", "***********************"),
        (" and more", " and more"),
    ] {
        assert_eq!(
            redactor.push(piece.as_bytes()),
            passed.as_bytes(),
            "{piece}"
        );
    }
    assert_eq!(redactor.finish(), b"");
}

#[test]
fn a_secret_that_repeats_itself_is_found() {
    let secret = "aaaaaaaaaaaaaaaaaaaaaaab";
    let text = format!("{}{secret}b", "a".repeat(5));
    let redacted = in_pieces(secret, text.as_bytes().chunks(3));
    // Which of the letters are taken for the beginning does not matter.
    assert_eq!(redacted.len(), text.len());
    assert!(!redacted.contains("aaaaaaaaaaaaaaaa"), "{redacted}");
}

#[test]
fn no_debug_output_shows_the_secret() {
    let redactor = redactor("MARKERsecret");
    assert!(!format!("{redactor:?}").contains("MARKER"), "{redactor:?}");
}

proptest! {
    /// However each byte is spelled, and however the text comes in pieces.
    #[test]
    fn mixed_spellings_in_any_pieces_are_redacted(choices in prop::collection::vec(0u8..7, SECRET.len()), size in 1usize..40) {
        let mut spelled = String::new();
        for (byte, choice) in SECRET.bytes().zip(choices) {
            let letter = char::from(byte);
            let written = match choice {
                0 => write!(spelled, "\\u{byte:04x}"),
                1 => write!(spelled, "\\\\u{byte:04X}"),
                2 => write!(spelled, "%{byte:02x}"),
                3 => write!(spelled, "%25{byte:02X}"),
                4 => write!(spelled, "&#{byte};"),
                5 => write!(spelled, "\\x{byte:02x}"),
                _ => write!(spelled, "{letter}"),
            };
            written.unwrap();
        }
        let text = format!("before {spelled} after");
        let expected = format!("before {} after", "*".repeat(spelled.len()));
        prop_assert_eq!(in_pieces(SECRET, text.as_bytes().chunks(size)), expected);
    }

    /// Nothing else changes, and nothing is lost.
    #[test]
    fn other_texts_pass_unchanged(text in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
        let mut redactor = redactor("secret-token-0123456789");
        let mut out = Vec::new();
        for piece in text.chunks(size) {
            out.extend(redactor.push(piece));
        }
        out.extend(redactor.finish());
        prop_assert_eq!(out, text);
    }
}
