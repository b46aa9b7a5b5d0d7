//! What `verify` says of requests that official SDKs have signed, and of ones that something is wrong with.

mod mistakes;
mod reading;
mod refusals;
mod targets;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::*;
use crate::cli::sign;
use crate::signature::string_to_sign;

const DATE: &str = "20261123T080000Z";

fn key() -> Credentials {
    Credentials {
        access_key: "AK".to_owned(),
        secret_key: "MARKERsecret".into(),
        security_token: None,
    }
}

fn arguments() -> VerifyArguments {
    VerifyArguments {
        request: Described::default(),
        credentials: None,
        now: Some(SigningDate::parse(DATE).unwrap()),
        window: Duration::from_secs(900),
        required: Vec::new(),
        format: Format::Json,
        source: None,
    }
}

/// What is printed of a request, and the notes.
fn said(
    arguments: &VerifyArguments,
    key: &Credentials,
    raw: impl AsRef<[u8]>,
) -> Result<(String, String), VerifyError> {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let verified = verify(arguments, key, &mut raw.as_ref(), &mut out, &mut notes)?;
    let (out, notes) = (
        String::from_utf8(out).unwrap(),
        String::from_utf8(notes).unwrap(),
    );
    assert!(
        !out.contains("MARKER") && !notes.contains("MARKER"),
        "{out}{notes}"
    );
    if arguments.format == Format::Json {
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(object["verified"], verified);
    }
    Ok((out, notes))
}

fn json(raw: impl AsRef<[u8]>) -> Value {
    serde_json::from_str(&said(&arguments(), &key(), raw).unwrap().0).unwrap()
}

fn reason(raw: impl AsRef<[u8]>) -> String {
    json(raw)["reason"]
        .as_str()
        .unwrap_or("verified")
        .to_owned()
}

fn authorization(names: &str, signature: &str) -> String {
    format!(
        "Authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders={names}, Signature={signature}"
    )
}

fn signature(canonical: &str, secret: &str) -> String {
    let date = SigningDate::parse(DATE).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(string_to_sign(canonical, &date).as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// A raw request that this program has signed.
fn signed(method: &str, url: &str, headers: &[&str], body: &str) -> String {
    let arguments = sign::SignArguments {
        request: Described {
            method: Some(method.to_owned()),
            headers: headers.iter().map(|header| (*header).to_owned()).collect(),
            data: (!body.is_empty()).then(|| body.to_owned()),
            data_file: None,
        },
        unsigned_payload: false,
        date: Some(DATE.to_owned()),
        credentials: None,
        format: sign::Format::Headers,
        url: url.to_owned(),
    };
    let mut out = Vec::new();
    let now = SigningDate::parse(DATE).unwrap();
    sign::sign(&arguments, &key(), now, &mut out, &mut Vec::new()).unwrap();
    let headers = String::from_utf8(out).unwrap().replace('\n', "\r\n");
    let target = url.strip_prefix("https://gw.example").unwrap();
    format!("{method} {target} HTTP/1.1\r\n{headers}\r\n{body}")
}

#[test]
fn what_official_sdks_have_signed_verifies() {
    let vectors = include_str!("../../../../tests/vectors/sdk-hmac-sha256.jsonl");
    let mut verified = 0;
    for case in vectors
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let body = match case["body_base64"].as_str().unwrap() {
            "" => "",
            "eyJhIjoxfQ==" => "{\"a\":1}",
            _ => continue,
        };
        let headers: Vec<String> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| [pair[0].as_str().unwrap(), pair[1].as_str().unwrap()].join(": "))
            .collect();
        // One of the vectors signs an Authorization that it replaces.
        if headers.iter().any(|line| line.starts_with("Authorization")) {
            continue;
        }
        let mut arguments = VerifyArguments {
            request: Described {
                method: Some(text("method")),
                data: (!body.is_empty()).then(|| body.to_owned()),
                headers,
                data_file: None,
            },
            now: Some(SigningDate::parse(&text("date")).unwrap()),
            source: Some(text("url")),
            ..arguments()
        };
        arguments
            .request
            .headers
            .push(format!("Authorization: {}", text("authorization")));
        let key = Credentials {
            access_key: text("access_key"),
            secret_key: text("secret_key").into(),
            security_token: None,
        };
        let (out, _) = said(&arguments, &key, "").unwrap();
        let out: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["reason"], Value::Null, "{}", case["id"]);
        verified += 1;
    }
    assert!(verified > 100, "{verified}");
}

#[test]
fn the_worked_example_of_the_documentation_is_said_in_one_line() {
    let raw = "GET /v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0 HTTP/1.1
Host: service.region.example.com
Content-Type: application/json
X-Sdk-Date: 20191115T033655Z
Authorization: SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe

";
    let key = Credentials {
        access_key: "QTWAOYTTINDUT2QVKYUC".to_owned(),
        secret_key: "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc".into(),
        security_token: None,
    };
    let arguments = VerifyArguments {
        now: Some(SigningDate::parse("20191115T034655Z").unwrap()),
        format: Format::Text,
        ..arguments()
    };
    let (out, notes) = said(&arguments, &key, raw).unwrap();
    let expected = "verified: access key QTWAOYTTINDUT2QVKYUC, signed headers content-type;host;x-sdk-date, body covered: yes\n";
    assert_eq!((out.as_str(), notes.as_str()), (expected, ""));
}

#[test]
fn what_sign_makes_verifies() {
    let raw = signed(
        "POST",
        "https://gw.example/a%20b?b=1&a=%2B",
        &["x-stage: RELEASE"],
        "{}",
    );
    let out = json(&raw);
    assert_eq!(out["verified"], true, "{out:#}");
    assert_eq!(out["body_signed"], true);
    assert_eq!(out["access_key"], "AK");
    let names = serde_json::json!(["host", "x-sdk-date", "x-stage"]);
    assert_eq!(out["signed_headers"], names);
}

#[test]
fn a_body_that_is_not_covered_is_said_to_be_so() {
    let url = "https://gw.example/";
    let unsigned = ["X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD"];
    let raw = signed("POST", url, &unsigned, "x");
    assert_eq!(json(&raw)["body_signed"], false);
    let text = VerifyArguments {
        format: Format::Text,
        ..arguments()
    };
    let (out, _) = said(&text, &key(), &raw).unwrap();
    assert!(
        out.ends_with("body covered: no (UNSIGNED-PAYLOAD)\n"),
        "{out}"
    );
}

#[test]
fn tokens_are_not_shown_in_what_was_expected() {
    let raw = signed(
        "GET",
        "https://gw.example/a",
        &["x-security-token: MARKERtoken", "cookie: MARKERcookie"],
        "",
    );
    let changed = raw.replace("GET /a", "GET /b");
    for format in [Format::Text, Format::Json] {
        let arguments = VerifyArguments {
            format,
            ..arguments()
        };
        let (out, _) = said(&arguments, &key(), &changed).unwrap();
        assert!(out.contains("x-security-token:[redacted]"), "{out}");
        assert!(out.contains("no known mistake"), "{out}");
    }
}
