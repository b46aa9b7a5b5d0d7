//! What `verify` reports on right and wrong requests.

mod mistakes;
mod parsing;

use serde_json::Value;

use super::*;
use crate::signature::{Algorithm, PayloadHash};

const DATE: &str = "20261123T080000Z";
const NAMES: &str = "content-type;host;x-a;x-sdk-date";

fn key(access_key: &str, secret_key: &str) -> Credentials {
    Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret_key.into(),
        security_token: None,
    }
}

fn arguments() -> VerifyArguments {
    VerifyArguments {
        request: RequestArguments::default(),
        credentials: None,
        now: Some(SigningDate::parse(DATE).unwrap()),
        window: Duration::from_secs(900),
        required: Vec::new(),
        format: Format::Json,
        source: None,
    }
}

/// The report as text, and the note on the body.
fn reported(
    arguments: &VerifyArguments,
    key: &Credentials,
    raw: impl AsRef<[u8]>,
) -> Result<(String, String), Failure> {
    let (request, report) = verify(arguments, key, &mut raw.as_ref())?;
    let text = report.text(arguments.format);
    assert!(!text.contains("MARKER"), "{text}");
    Ok((text, request.note.unwrap_or_default()))
}

/// The report in a format at a time.
fn report(format: Format, now: &str, raw: impl AsRef<[u8]>) -> String {
    let now = Some(SigningDate::parse(now).unwrap());
    let arguments = VerifyArguments {
        format,
        now,
        ..arguments()
    };
    reported(&arguments, &key("AK", "MARKERsecret"), raw)
        .unwrap()
        .0
}

fn text(raw: impl AsRef<[u8]>) -> String {
    report(Format::Text, DATE, raw)
}

fn json(raw: impl AsRef<[u8]>) -> Value {
    serde_json::from_str(&report(Format::Json, DATE, raw)).unwrap()
}

fn hash(body: &str) -> String {
    PayloadHash::new(body.as_bytes()).as_str().to_owned()
}

fn signature(canonical: &str, secret: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let date = SigningDate::parse(DATE).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(crate::signature::string_to_sign(Algorithm::default(), canonical, &date).as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn authorization(names: &str, signature: &str) -> String {
    format!(
        "Authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders={names}, Signature={signature}"
    )
}

/// A raw request with this authorization.
fn sent(target: &str, body: &str, authorization: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: gw.example:8443\r\nContent-Type: application/json; charset=utf-8\r\n\
         X-A:  a  b \r\nX-Sdk-Date: {DATE}\r\n{authorization}\r\n\r\n{body}"
    )
}

/// A raw request whose canonical form its signer has changed.
fn signed(target: &str, body: &str, names: &str, change: impl Fn(&str) -> String) -> String {
    let wrong = json(sent(target, body, &authorization(names, &"0".repeat(64))));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let signature = signature(&change(canonical), "MARKERsecret");
    sent(target, body, &authorization(names, &signature))
}

/// A raw request with the right signature.
fn right(target: &str, body: &str) -> String {
    signed(target, body, NAMES, str::to_owned)
}

#[test]
fn a_body_that_the_signature_does_not_cover_is_reported() {
    let raw = right("/", "old");
    assert_eq!(json(&raw)["body_signed"], true);
    let with = |declared: &str| {
        let header = format!("\r\nX-Sdk-Content-Sha256: {declared}\r\n");
        raw.replacen("\r\n", &header, 1)
    };
    // Signed with what stands in place of the body.
    let wrong = json(with("UNSIGNED-PAYLOAD"));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let unsigned = with("UNSIGNED-PAYLOAD");
    let (start, _) = unsigned.split_once("Signature=").unwrap();
    let signature = signature(canonical, "MARKERsecret");
    let unsigned = format!("{start}Signature={signature}\r\n\r\nold");
    assert_eq!(json(&unsigned)["body_signed"], false);
    assert!(text(&unsigned).ends_with("body covered: no (UNSIGNED-PAYLOAD)"));
    // The hash of the signed body in front of another body.
    let changed = with(&hash("old")).replace("\r\n\r\nold", "\r\n\r\nnew");
    assert!(text(&changed).contains("is not the hash of this body"));
}

#[test]
fn a_backend_can_require_signed_headers() {
    for (name, expected) in [
        (
            "X-A",
            "verified: access key AK, signed headers content-type;host;x-a;",
        ),
        (
            "x-user",
            "not verified: the signature is right, but the header x-user",
        ),
    ] {
        let arguments = VerifyArguments {
            required: vec!["Host".to_owned(), name.to_owned()],
            format: Format::Text,
            ..arguments()
        };
        let report = reported(&arguments, &key("AK", "MARKERsecret"), right("/", ""));
        assert!(report.unwrap().0.starts_with(expected), "{name}");
    }
}

/// A part of a right request, what is sent in its place, and the reason of the refusal or the hint.
const REFUSALS: &str = r#"
Authorization | X | no authorization header, or more than one
Authorization | X | hint: send it once
SDK-HMAC-SHA256 | Bearer | hint: correct it, or sign again
Access=AK | Credential=AK/20261123/r/s/sdk_request | sign with
Access=AK | Access=AK2 | the access key AK2, and the credentials have AK
X-A: | X-B: | a signed header is missing: x-a
;x-sdk-date |  | hint: name it in `SignedHeaders`
X-A:  | X-A: 1\r\nX-A: | more than once: x-a
POST /a | post /a | not written in
POST /a | POST /%zz | %25
;host; | ;host;HOST; | given twice
20261123T080000Z | 2026-11-23 | YYYYMMDDTHHMMSSZ
"#;

#[test]
fn each_refusal_names_its_remedy() {
    let raw = right("/a", "");
    for row in REFUSALS.trim().lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let report = text(raw.replace(cells[0], &cells[1].replace("\\r\\n", "\r\n")));
        assert!(
            report.contains(cells[2]) && report.contains("\nhint: "),
            "{row}: {report}"
        );
    }
}

#[test]
fn a_date_outside_the_window_is_explained_with_both_times() {
    let raw = right("/a", "");
    for (now, reason, hint) in [
        (
            "20261123T081501Z",
            "has expired: it was made at 20261123T080000Z, 901 seconds behind",
            "sign again",
        ),
        (
            "20261123T074459Z",
            "is in the future: it was made at 20261123T080000Z, 901 seconds ahead",
            "set the clock",
        ),
        (
            "20261123T000130Z",
            "28710 seconds ahead of this time",
            "local time of a time zone",
        ),
    ] {
        let report = report(Format::Text, now, &raw);
        for part in [
            reason,
            hint,
            now,
            "apart from its date, the request verifies",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }
    assert!(report(Format::Text, "20261123T081500Z", &raw).starts_with("verified"));
    let changed = report(Format::Text, "20261123T090000Z", raw.replace("POST", "PUT"));
    assert!(
        changed.contains("has expired") && changed.contains("signed as `POST`"),
        "{changed}"
    );
}
