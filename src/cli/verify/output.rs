//! The shapes in which a verdict is printed.

use std::fmt::Write;

use serde_json::json;

use super::verdict::{Coverage, Verdict};

/// Sentences, then the evidence.
pub(super) fn text(verdict: &Verdict) -> String {
    let Some(reason) = &verdict.reason else {
        return verified(verdict);
    };
    let mut text = format!("not verified: {reason}");
    let mut put = |piece: &str| text.push_str(piece);
    if let Some(explanation) = &verdict.explanation {
        put("\nwhat differs: ");
        put(explanation);
    }
    for (ours, theirs) in &verdict.differing {
        put("\n  expected  ");
        put(&visible(ours));
        put("\n  signed    ");
        put(&visible(theirs));
    }
    if let Some(canonical) = &verdict.canonical {
        put("\n\ncanonical request, as it is expected:\n");
        put(canonical);
    }
    if let Some(string_to_sign) = &verdict.string_to_sign {
        put("\n\nstring to sign:\n");
        put(string_to_sign);
    }
    text
}

/// Everything as one object.
pub(super) fn json(verdict: &Verdict) -> String {
    let object = json!({
        "verified": verdict.is_verified(),
        "reason": verdict.reason,
        "explanation": verdict.explanation,
        "access_key": verdict.access_key,
        "signed_headers": verdict.signed_headers,
        "body_signed": verdict.body.as_ref().map(|body| *body == Coverage::Covered),
        "canonical_request": verdict.canonical,
        "string_to_sign": verdict.string_to_sign,
    });
    format!("{object:#}")
}

fn verified(verdict: &Verdict) -> String {
    let body = match &verdict.body {
        Some(Coverage::Declared(value)) => format!("no ({})", visible(value)),
        Some(Coverage::Covered) | None => "yes".to_owned(),
    };
    format!(
        "verified: access key {}, signed headers {}, body covered: {body}",
        visible(verdict.access_key.as_deref().unwrap_or_default()),
        visible(&verdict.signed_headers.join(";")),
    )
}

/// A line without what a terminal would obey: a decoded path can hold anything.
fn visible(line: &str) -> String {
    line.chars().fold(String::new(), |mut text, character| {
        if character.is_control() {
            let _ = write!(text, "{}", character.escape_default());
        } else {
            text.push(character);
        }
        text
    })
}
