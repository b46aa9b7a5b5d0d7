//! Whatever answers in the place of the gateway, its refusal is read, compared and explained, and the
//! explanation can stand in a header.
//!
//! The input is a line with the status and what is known of the request, then the body.

use apig_proxy::config::AuthMode;
use apig_proxy::gateway::{CanonicalText, Context, GatewayError, Meaning};

const SECRET: &str = "MARKER";

/// A canonical request whose values must not be shown.
const SIGNED: &str = "POST\n/v1/infers/x/\na=MARKER1&b=MARKER2\nhost:gateway.example\n\
    x-sdk-date:20261123T080000Z\nx-security-token:MARKER3\nx-stage:RELEASE\n\n\
    host;x-sdk-date;x-security-token;x-stage\n\
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn target(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (first, body) = data.split_at(end.map_or(data.len(), |end| end + 1));
    let first = String::from_utf8_lossy(first);
    let mut words = first.split_ascii_whitespace();
    let status = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(401);
    let words: Vec<&str> = words.collect();
    let Some(error) = GatewayError::read(status, body) else {
        return;
    };
    assert!(status >= 400 && (5..=40).contains(&error.code.len()));
    if let Meaning::SignatureMismatch { echoed: Some(echo) } = &error.meaning {
        // Longer than anything else in that output, so that it cannot stand there by chance.
        let is_long = echo.0.len() > 100;
        assert!(!is_long || !format!("{error:?}").contains(&echo.0));
    }
    check_hint(&error, &words, body);
}

fn check_hint(error: &GatewayError, words: &[&str], body: &[u8]) {
    let number = |word: &&str| word.parse::<i64>().ok();
    let signed = CanonicalText(SIGNED.to_owned());
    let context = Context {
        auth: AuthMode::AkSk,
        canonical_request: (!words.contains(&"unknown")).then_some(&signed),
        is_temporary: words.contains(&"token"),
        has_ambiguous_path: words.contains(&"slashes"),
        has_learned_path: words.contains(&"learned"),
        clock_offset: words.iter().find_map(number),
        corrects_clock: words.contains(&"corrects"),
        stage: words.last().unwrap_or(&"RELEASE"),
        host: words.first().unwrap_or(&"gateway.example"),
    };
    let Some(hint) = error.hint(&context) else {
        return;
    };
    assert!((1..=400).contains(&hint.len()), "{hint}");
    assert!(
        hint.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{hint:?}"
    );
    // A name that the gateway adds is shown, and it may have any.
    let is_echoed = body
        .windows(SECRET.len())
        .any(|part| part == SECRET.as_bytes());
    assert!(
        is_echoed || words.concat().contains(SECRET) || !hint.contains(SECRET),
        "{hint}"
    );
}
