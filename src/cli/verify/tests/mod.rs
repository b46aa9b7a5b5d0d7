//! What `verify` reports on requests that official SDKs have signed, and on wrong ones.

mod mistakes;
mod parsing;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::*;
use crate::signature::{PayloadHash, string_to_sign};

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

fn text(raw: impl AsRef<[u8]>) -> String {
    let arguments = VerifyArguments {
        format: Format::Text,
        ..arguments()
    };
    reported(&arguments, &key("AK", "MARKERsecret"), raw)
        .unwrap()
        .0
}

fn json(raw: impl AsRef<[u8]>) -> Value {
    let text = reported(&arguments(), &key("AK", "MARKERsecret"), raw)
        .unwrap()
        .0;
    serde_json::from_str(&text).unwrap()
}

fn hash(body: &str) -> String {
    PayloadHash::new(body.as_bytes()).as_str().to_owned()
}

fn signature(canonical: &str, secret: &str) -> String {
    let date = SigningDate::parse(DATE).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(string_to_sign(canonical, &date).as_bytes());
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
    let zero = "0".repeat(64);
    let wrong = json(sent(target, body, &authorization(names, &zero)));
    let canonical = wrong["canonical_request"].as_str().unwrap();
    let signature = signature(&change(canonical), "MARKERsecret");
    sent(target, body, &authorization(names, &signature))
}

/// A raw request with the right signature.
fn right(target: &str, body: &str) -> String {
    signed(target, body, NAMES, str::to_owned)
}

#[test]
fn signatures_of_official_sdks_verify() {
    let vectors = include_str!("../../../../tests/vectors/sdk-hmac-sha256.jsonl");
    let mut verified = 0;
    for case in vectors.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let data = match case["body_base64"].as_str().unwrap() {
            "" => None,
            "eyJhIjoxfQ==" => Some("{\"a\":1}".to_owned()),
            _ => continue,
        };
        let pairs: Vec<[String; 2]> = serde_json::from_value(case["headers"].clone()).unwrap();
        let mut headers: Vec<String> = pairs.iter().map(|pair| pair.join(": ")).collect();
        // One of the vectors signs an Authorization that it replaces.
        if headers.iter().any(|line| line.starts_with("Authorization")) {
            continue;
        }
        headers.push(format!("Authorization: {}", text("authorization")));
        let arguments = VerifyArguments {
            request: RequestArguments {
                method: Some(text("method")),
                data,
                headers,
                data_file: None,
            },
            now: Some(SigningDate::parse(&text("date")).unwrap()),
            source: Some(text("url")),
            ..arguments()
        };
        let key = key(&text("access_key"), &text("secret_key"));
        let report = reported(&arguments, &key, "").unwrap().0;
        assert!(
            report.contains("\"verified\": true"),
            "{}: {report}",
            case["id"]
        );
        verified += 1;
    }
    assert!(verified > 100, "{verified}");
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
    let (start, _) = raw.split_once("Signature=").unwrap();
    let unsigned = format!(
        "{start}Signature={}\r\n\r\nold",
        signature(canonical, "MARKERsecret")
    );
    let unsigned = unsigned.replacen("\r\n", "\r\nX-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\n", 1);
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
        let mut arguments = arguments();
        arguments.required = vec!["Host".to_owned(), name.to_owned()];
        arguments.format = Format::Text;
        let report = reported(&arguments, &key("AK", "MARKERsecret"), right("/", ""));
        assert!(report.unwrap().0.starts_with(expected), "{name}");
    }
}

/// A part of a right request, what is sent in its place, and the reason of the refusal.
const REFUSALS: &str = r#"
Authorization | X | no authorization header, or more than one; send it once
SDK-HMAC-SHA256 | Bearer | correct it, or sign again
Access=AK | Credential=AK/20261123/r/s/sdk_request | sign with "Access="
Access=AK | Access=AK2 | the access key AK2, and the credentials have AK; give the file of its key with --credentials
X-A: | X-B: | a signed header is missing: x-a; send it
;x-sdk-date |  | x-sdk-date is not signed; name it in SignedHeaders
POST /a | post /a | not written in capital letters
POST /a | POST /%zz | send a literal one as "%25"
POST /a | POST /%ff | encode text as UTF-8
POST /a | POST https://gw.example/a | the path does not start with
;host; | ;host;HOST; | given twice
20261123T080000Z | 2026-11-23 | YYYYMMDDTHHMMSSZ
"#;

#[test]
fn each_refusal_names_its_remedy() {
    let raw = right("/a", "");
    let reason = |raw: &str| json(raw)["reason"].as_str().unwrap().to_owned();
    for row in REFUSALS.trim().lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let reason = reason(&raw.replace(cells[0], cells[1]));
        assert!(reason.contains(cells[2]), "{row}: {reason}");
    }
    let (start, authorization) = raw.trim_end().split_once("Authorization").unwrap();
    let twice =
        format!("{start}Authorization{authorization}\r\nAuthorization{authorization}\r\n\r\n");
    assert!(reason(&twice).contains("or more than one; send it once"));
    let twice = reason(&raw.replace("X-A: ", "X-A: 1\r\nX-A: "));
    assert!(twice.contains("more than once: x-a; send it once"));
}

#[test]
fn an_expired_signature_is_explained_with_both_times() {
    let report = |now: &str, raw: &str| {
        let now = Some(SigningDate::parse(now).unwrap());
        let arguments = VerifyArguments { now, ..arguments() };
        reported(&arguments, &key("AK", "MARKERsecret"), raw)
            .unwrap()
            .0
    };
    let raw = right("/a", "");
    for (now, expected) in [
        ("20261123T081501Z", "901 seconds behind this time"),
        ("20261123T074459Z", "901 seconds ahead of this time"),
        ("20261123T000130Z", "local time of a time zone"),
    ] {
        let report = report(now, &raw);
        for part in [
            expected,
            now,
            DATE,
            "apart from its date, the request verifies",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }
    assert!(report("20261123T081500Z", &raw).contains("\"verified\": true"));
    let changed = report("20261123T090000Z", &raw.replace("POST", "PUT"));
    assert!(changed.contains("has expired") && changed.contains("the method was signed as POST"));
}
