//! Spellings, split positions, and what is left alone.

use proptest::prelude::*;

use super::*;

/// A secret with every kind of byte that some encoding escapes.
const SECRET: &str = r#"tok/en+x=="%2F\&'<Zz0123456789"#;
const PLAIN_SECRET: &str = "0123456789abcdefghijklmnop";

/// The redacted text, if it comes in these pieces.
fn in_pieces<'a>(secret: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut redactor = Redactor::new(&secret.into()).unwrap();
    let (mut out, mut whole) = (Vec::new(), Vec::new());
    for piece in pieces {
        whole.extend_from_slice(piece);
        // The quick looks, here and below, miss nothing that is redacted or held back.
        let passes = redactor.passes(piece);
        let pushed = redactor.push_with(piece, stars);
        assert!(!passes || (pushed == piece && redactor.held.is_empty()));
        out.extend(pushed);
        assert!(
            redactor.held.len() <= 12 * secret.len(),
            "{} held",
            redactor.held.len()
        );
    }
    out.extend(redactor.finish_with(stars));
    assert!(out == whole || redactor.may_be_in(&whole));
    String::from_utf8(out).unwrap()
}

#[test]
fn an_echo_that_is_cut_off_is_redacted_from_sixteen_bytes_on() {
    for (secret, text, stars, rest) in [
        (PLAIN_SECRET, "0123456789abcde", 0, "0123456789abcde"),
        (PLAIN_SECRET, "0123456789abcdef", 16, ""),
        (PLAIN_SECRET, "0123456789abcdef...", 16, "..."),
        (
            PLAIN_SECRET,
            "0123456789abcdefghi|0123456789",
            19,
            "|0123456789",
        ),
        ("12345678", "12345678|1234567", 8, "|1234567"),
    ] {
        let expected = format!("x={}{rest}", "*".repeat(stars));
        assert_eq!(
            in_pieces(secret, [format!("x={text}").as_bytes()]),
            expected
        );
    }
    // A beginning within a beginning.
    let text = format!("0123{PLAIN_SECRET}0123456789ab{PLAIN_SECRET}");
    let stars = "*".repeat(PLAIN_SECRET.len());
    let expected = format!("0123{stars}0123456789ab{stars}");
    assert_eq!(in_pieces(PLAIN_SECRET, [text.as_bytes()]), expected);
    // A secret that repeats itself: any of the letters may be taken for the beginning.
    let repeated = "aaaaaaaaaaaaaaaaaaaaaaab";
    let redacted = in_pieces(repeated, format!("aaaaa{repeated}b").as_bytes().chunks(3));
    assert!(
        !redacted.contains("aaaaaaaaaaaaaaaa") && redacted.len() == 30,
        "{redacted}"
    );
    assert!(Redactor::new(&"1234567".into()).is_none());
}

#[test]
fn other_bytes_are_held_back_for_no_longer_than_needed() {
    let mut redactor = Redactor::new(&"secret-token-0123456789".into()).unwrap();
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
            redactor.push_with(piece.as_bytes(), stars),
            passed.as_bytes(),
            "{piece}"
        );
    }
    assert_eq!(redactor.finish_with(stars), b"");
    assert!(
        !format!("{redactor:?}").contains("secret-token"),
        "{redactor:?}"
    );
}

proptest! {
    /// However each byte is written, and however the text comes in pieces. Where a secret has a
    /// backslash, the escape of the byte behind it could be read as one of the backslash.
    #[test]
    fn mixed_spellings_in_any_pieces_are_redacted(
        choices in prop::collection::vec(0u8..10, SECRET.len() - 1),
        size in 1usize..40,
    ) {
        let secret = SECRET.replace('\\', "");
        let mut spelled = String::new();
        for (byte, choice) in secret.bytes().zip(choices) {
            spelled += &match (choice, byte) {
                (0, _) => format!("\\u{byte:04x}"),
                (1, _) => format!("\\\\u{byte:04X}"),
                (2, _) => format!("%{byte:02x}"),
                (3, _) => format!("%25{byte:02X}"),
                (4, _) => format!("%2525{byte:02x}"),
                (5, _) => format!("&#{byte};"),
                (6, _) => format!("&#x00{byte:X};"),
                (7, _) => format!("\\x{byte:02x}"),
                (8, b'&') => "&amp;".to_owned(),
                (8, b'<') => "&lt;".to_owned(),
                (8, b'/') => "\\/".to_owned(),
                (8, b'"') => "\\\\\"".to_owned(),
                _ => char::from(byte).to_string(),
            };
        }
        let text = format!("before {spelled} after");
        let expected = format!("before {} after", "*".repeat(spelled.len()));
        prop_assert_eq!(in_pieces(&secret, text.as_bytes().chunks(size)), expected);
    }

    /// Nothing else changes, and nothing is lost.
    #[test]
    fn other_texts_pass_unchanged(
        text in prop::collection::vec(any::<u8>(), 0..300),
        size in 1usize..40,
    ) {
        let mut redactor = Redactor::new(&"secret-token-0123456789".into()).unwrap();
        let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| redactor.push_with(piece, stars)).collect();
        out.extend(redactor.finish_with(stars));
        prop_assert_eq!(out, text);
    }
}
