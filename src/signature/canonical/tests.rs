//! The order of things, what is refused, and what logs may show.

use super::*;
use crate::signature::PayloadHash;

const DATE: &str = "20261123T080000Z";

fn canonical(target: &str, headers: &[(&str, &str)]) -> Result<String, SignatureError> {
    let date = SigningDate::parse(DATE)?;
    let target = Target::parse(target)?;
    CanonicalRequest::new(
        "GET",
        target,
        headers,
        &date,
        Payload::Hash(&PayloadHash::EMPTY),
    )
    .map(|request| request.to_string())
}

#[test]
fn the_query_is_sorted_by_what_it_means_not_by_how_it_is_spelt() {
    let text = canonical("/v1?b=2&%61=%31&a=0&", &[]).unwrap();
    assert!(text.starts_with("GET\n/v1/\na=0&a=1&b=2\n"), "{text}");
}

#[test]
fn a_header_given_twice_or_added_by_the_signer_is_refused() {
    for name in ["host", "HOST", "X-Sdk-Date"] {
        let headers = [("host", "a"), (name, "b")];
        assert_eq!(
            canonical("/", &headers),
            Err(SignatureError::DuplicateHeader),
            "{name}"
        );
    }
}

#[test]
fn names_and_values_that_gateways_read_differently_are_refused() {
    assert_eq!(
        canonical("/", &[("x_a", "1")]),
        Err(SignatureError::HeaderName)
    );
    assert_eq!(
        canonical("/", &[("x a", "1")]),
        Err(SignatureError::HeaderName)
    );
    assert_eq!(
        canonical("/", &[("x-a", "é")]),
        Err(SignatureError::HeaderValue)
    );
    assert_eq!(
        canonical("/", &[("x-a", "1\nx-b:2")]),
        Err(SignatureError::HeaderValue)
    );
}

#[test]
fn the_redacted_view_shows_neither_the_query_nor_tokens() {
    let date = SigningDate::parse(DATE).unwrap();
    let target = Target::parse("/v1?key=MARKER").unwrap();
    let headers = [
        ("x-security-token", "MARKER"),
        ("cookie", "MARKER"),
        ("x-stage", "RELEASE"),
    ];
    let request = CanonicalRequest::new(
        "GET",
        target,
        &headers,
        &date,
        Payload::Hash(&PayloadHash::EMPTY),
    )
    .unwrap();
    let shown = request.redacted().to_string();
    assert!(
        !shown.contains("MARKER") && !format!("{request:?}").contains("MARKER"),
        "{shown}"
    );
    assert!(
        shown.contains("x-stage:RELEASE\n") && shown.contains("[1 query pairs]"),
        "{shown}"
    );
    assert!(request.to_string().contains("MARKER"));
}
