//! What `verify` reports on right and wrong requests. The signatures themselves are tested in
//! `tests/signature`.

mod mistakes;

use super::*;
use crate::signature::{Algorithm, PayloadHash};

const DATE: &str = "20261123T080000Z";
const NAMES: &str = "content-type;host;x-a;x-sdk-date";

fn verified(arguments: &VerifyArguments, mut raw: &[u8]) -> Result<Report, Failure> {
    let key = Credentials {
        access_key: "AK".to_owned(),
        secret_key: "MARKERsecret".into(),
        security_token: None,
    };
    verify(arguments, &key, &mut raw)
}

fn arguments() -> VerifyArguments {
    VerifyArguments {
        request: RequestArguments::default(),
        credentials: None,
        now: Some(SigningDate::parse(DATE).unwrap()),
        window: Duration::from_secs(900),
        required: Vec::new(),
        format: Format::Text,
        source: None,
    }
}

fn reported(arguments: &VerifyArguments, raw: impl AsRef<[u8]>) -> Result<String, Failure> {
    let text = verified(arguments, raw.as_ref())?.text();
    assert!(!text.contains("MARKER"), "{text}");
    Ok(text)
}

fn text(raw: impl AsRef<[u8]>) -> String {
    reported(&arguments(), raw).unwrap()
}

#[track_caller]
fn verifies(raw: impl AsRef<[u8]>) {
    let text = text(raw);
    assert!(text.starts_with("verified: "), "{text}");
}

fn canonical(raw: &str) -> String {
    let report = json!(verified(&arguments(), raw.as_bytes()).unwrap());
    report["canonical_request"].as_str().unwrap().to_owned()
}

fn hash(body: impl AsRef<[u8]>) -> String {
    PayloadHash::new(body.as_ref()).as_str().to_owned()
}

fn signature(canonical: &str, secret: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let date = SigningDate::parse(DATE).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(crate::signature::string_to_sign(Algorithm::default(), canonical, &date).as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// A raw request with this signature.
fn sent(target: &str, body: &str, names: &str, signature: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: gw.example:8443\r\nContent-Type: application/json; charset=utf-8\r\n\
         X-A:  a  b \r\nX-Sdk-Date: {DATE}\r\n\
         Authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders={names}, Signature={signature}\r\n\r\n{body}"
    )
}

/// A raw request whose canonical form its signer has changed.
fn signed(target: &str, body: &str, change: impl Fn(&str) -> String) -> String {
    let canonical = canonical(&sent(target, body, NAMES, &"0".repeat(64)));
    let signature = signature(&change(&canonical), "MARKERsecret");
    sent(target, body, NAMES, &signature)
}

/// A raw request with the right signature.
fn right(target: &str, body: &str) -> String {
    signed(target, body, str::to_owned)
}

#[test]
fn a_body_that_the_signature_does_not_cover_is_reported() {
    let with = |declared: &str, body: &str| {
        let raw = sent("/", body, NAMES, &"0".repeat(64));
        let header = format!("\r\nX-Sdk-Content-Sha256: {declared}\r\n");
        let raw = raw.replacen("\r\n", &header, 1);
        let signature = signature(&canonical(&raw), "MARKERsecret");
        raw.replace(&"0".repeat(64), &signature)
    };
    assert!(text(with("UNSIGNED-PAYLOAD", "old")).ends_with("covered: no (UNSIGNED-PAYLOAD)"));
    assert!(text(with(&hash("old"), "old")).ends_with("covered: yes"));
    assert!(text(with(&hash("old"), "new")).contains("is not the hash of this body"));
}

#[test]
fn a_backend_can_require_signed_headers() {
    for (name, expected) in [
        ("X-A", "verified: access key AK"),
        ("x-b", "the header x-b"),
    ] {
        let required = vec!["Host".to_owned(), name.to_owned()];
        let arguments = VerifyArguments {
            required,
            ..arguments()
        };
        let report = reported(&arguments, right("/", "")).unwrap();
        assert!(report.contains(expected), "{report}");
    }
}

/// A part of a right request, what is sent in its place, and the reason of the refusal or the hint.
const REFUSALS: &str = r#"
Authorization | X | no authorization header, or more than one
SDK-HMAC-SHA256 | Bearer | hint: correct it, or sign again
Access=AK | Credential=AK/20261123/r/s/sdk_request | sign with
Access=AK | Access=AK2 | the access key AK2, and the credentials have AK
X-A: | X-B: | a signed header is missing: x-a
;x-sdk-date |  | hint: name it in `SignedHeaders`
POST /a | post /a | capital letters
20261123T080000Z | 2026-11-23 | YYYYMMDDTHHMMSSZ
"#;

#[test]
fn each_refusal_names_its_remedy() {
    let raw = right("/a", "");
    for row in REFUSALS.trim().lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let report = text(raw.replace(cells[0], cells[1]));
        assert!(
            report.contains(cells[2]) && report.contains("\nhint: "),
            "{row}: {report}"
        );
    }
}

#[test]
fn a_date_outside_the_window_is_explained_with_both_times() {
    for (now, seconds, hint) in [
        ("20261123T081501Z", "901 seconds behind", "sign again"),
        ("20261123T074459Z", "901 seconds ahead", "set the clock"),
        (
            "20261123T000130Z",
            "28710 seconds ahead",
            "local time of a time zone",
        ),
    ] {
        let now = Some(SigningDate::parse(now).unwrap());
        let arguments = VerifyArguments { now, ..arguments() };
        let report = reported(&arguments, right("/a", "")).unwrap();
        assert!(
            report.contains(seconds) && report.contains(hint),
            "{report}"
        );
        assert!(
            report.contains("it was made at 20261123T080000Z"),
            "{report}"
        );
    }
}

#[test]
fn what_differs_is_printed_without_secrets_and_terminal_escapes() {
    let raw = signed("/a", "", |canonical| canonical.replacen("/a/\n", "/a\n", 1));
    let raw = raw.replace(
        "Host:",
        "Cookie: MARKER\r\nX-Security-Token: MARKER\r\nHost:",
    );
    let report = text(&raw);
    for part in [
        "\n  expected  /a/\n  signed    /a\n",
        "\n\ncanonical request, as it is expected:\nPOST\n/a/\n",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let names = format!("cookie;{NAMES};x-security-token");
    let report = text(raw.replace(NAMES, &names));
    for part in ["\ncookie:[redacted]\n", "\nx-security-token:[redacted]\n"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(!text(right("/", "").replace("AK", "\u{1b}[31m")).contains('\u{1b}'));
}

#[test]
fn requests_are_read_as_people_paste_them() {
    let raw = right("/a?b=c", "");
    verifies(raw.replace("\r\n", "\n"));
    verifies(raw.trim_end());
    verifies(format!("\r\n\n{raw}"));
    verifies(raw.replacen("/a?b=c", "https://gw.example:8443/a?b=c", 1));
    let lines: String = raw
        .trim_end()
        .lines()
        .map(|line| format!("> {line}\n"))
        .collect();
    let lines = lines.replace("HTTP/1.1", "HTTP/2");
    verifies(format!(
        "* Connected\n{lines}> \n* done\n< HTTP/2 401\n< \n{{ [5 bytes data]"
    ));
    let with_length = right("/", "{}").replacen("\r\n", "\r\nContent-Length: 2\r\n", 1);
    verifies(format!("{with_length}\n"));
    for (raw, expected) in [
        ("", "not a request"),
        ("hello", "not a request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "not a request",
        ),
        (&with_length[..with_length.len() - 1], "not as the headers"),
        (
            &raw.replacen("\r\n", "\r\nTransfer-Encoding: chunked\r\n", 1),
            "not as the headers",
        ),
        (&"x".repeat((64 << 20) + 1), "longer than 64 MiB"),
    ] {
        let message = reported(&arguments(), raw).unwrap_err().message;
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn options_describe_a_request() {
    let raw = right("/a?b=c", "{}");
    let headers = raw.lines().skip(1).take_while(|line| !line.is_empty());
    let described = VerifyArguments {
        request: RequestArguments {
            headers: headers.map(str::to_owned).collect(),
            data_file: Some("-".into()),
            ..RequestArguments::default()
        },
        source: Some("https://gw.example:8443/a?b=c#top".to_owned()),
        ..arguments()
    };
    assert!(reported(&described, "{}").unwrap().starts_with("verified"));
}
