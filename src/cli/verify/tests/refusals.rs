//! What is said of requests that do not verify for another reason than their signature.

use super::*;

#[test]
fn a_body_that_was_changed_behind_a_hash_of_the_old_one_does_not_verify() {
    let raw = signed("POST", "https://gw.example/", &[], "old");
    let hash = crate::signature::PayloadHash::of(b"old");
    let declared = format!("\r\nX-Sdk-Content-Sha256: {}\r\n", hash.as_str());
    let changed = raw
        .replacen("\r\n", &declared, 1)
        .replace("\r\n\r\nold", "\r\n\r\nnew");
    assert!(
        reason(&changed).contains("is not the hash of this body"),
        "{}",
        json(&changed)
    );
}

#[test]
fn a_backend_can_ask_for_headers_to_be_signed() {
    let raw = signed("GET", "https://gw.example/", &["x-caller: app"], "");
    let with = |names: &[&str]| VerifyArguments {
        required: names.iter().map(|name| (*name).to_owned()).collect(),
        format: Format::Text,
        ..arguments()
    };
    let (out, _) = said(&with(&["Host", "x-caller"]), &key(), &raw).unwrap();
    assert!(out.starts_with("verified: "), "{out}");
    let (out, _) = said(&with(&["host", "x-user"]), &key(), &raw).unwrap();
    assert!(
        out.starts_with("not verified: ") && out.contains("x-user is not signed"),
        "{out}"
    );
}

#[test]
fn each_refusal_says_what_to_do() {
    let raw = signed("GET", "https://gw.example/a", &["x-a: 1"], "");
    assert_eq!(reason(&raw), "verified");
    let line = raw
        .lines()
        .find(|line| line.starts_with("authorization"))
        .unwrap();
    let without = raw.replace(&format!("{line}\r\n"), "");
    for (changed, expected) in [
        (
            without,
            "no authorization header, or more than one; send it once",
        ),
        (
            raw.replace(line, &[line, "\r\n", line].concat()),
            "or more than one; send it once",
        ),
        (
            raw.replace(line, "authorization: Bearer x"),
            "correct it, or sign anew",
        ),
        (
            raw.replace("Access=AK", "Credential=AK/20261123/r/s/sdk_request"),
            "sign with \"Access=\"",
        ),
        (
            raw.replace("Access=AK", "Access=AK2"),
            "with the access key AK2, and the credentials have AK; give the file of its key with --credentials",
        ),
        (
            raw.replace("x-a: 1\r\n", ""),
            "a signed header is missing: x-a; send it",
        ),
        (
            raw.replace("x-a: 1", "x-a: 1\r\nX-A: 1"),
            "more than once: x-a; send it once",
        ),
        (
            raw.replace(";x-sdk-date", ""),
            "x-sdk-date is not signed; name it in SignedHeaders",
        ),
        (
            raw.replace("GET /a", "get /a"),
            "not written in capital letters",
        ),
        (
            raw.replace("GET /a", "GET /%zz"),
            "send a literal one as \"%25\"",
        ),
        (raw.replace("GET /a", "GET /%ff"), "encode text as UTF-8"),
        (
            raw.replace("GET /a", "GET https://gw.example/a"),
            "the path does not start with",
        ),
        (raw.replace("=host;", "=host;HOST;"), "given twice"),
        (
            raw.replace("20261123T080000Z", "2026-11-23"),
            "YYYYMMDDTHHMMSSZ",
        ),
    ] {
        let reason = reason(&changed);
        assert!(reason.contains(expected), "{reason}\n{changed}");
        assert_eq!(json(&changed)["body_signed"], Value::Null);
    }
}

#[test]
fn an_expired_signature_says_which_side_is_ahead_and_what_else_there_is() {
    let at = |now: &str| VerifyArguments {
        now: Some(SigningDate::parse(now).unwrap()),
        ..arguments()
    };
    let raw = signed("GET", "https://gw.example/a", &[], "");
    for (now, expected) in [
        ("20261123T081501Z", "901 seconds behind this time"),
        ("20261123T074459Z", "901 seconds ahead of this time"),
    ] {
        let (out, _) = said(&at(now), &key(), &raw).unwrap();
        let out: Value = serde_json::from_str(&out).unwrap();
        let reason = out["reason"].as_str().unwrap();
        assert!(
            reason.contains(expected) && reason.contains(DATE) && reason.contains(now),
            "{reason}"
        );
        assert_eq!(
            out["explanation"],
            "apart from its date, the request verifies"
        );
    }
    assert!(
        said(&at("20261123T081500Z"), &key(), &raw)
            .unwrap()
            .0
            .contains("\"verified\": true")
    );
    let changed = raw.replace("GET", "PUT");
    let (out, _) = said(&at("20261123T090000Z"), &key(), changed).unwrap();
    assert!(
        out.contains("has expired") && out.contains("the method was signed as GET"),
        "{out}"
    );
}
