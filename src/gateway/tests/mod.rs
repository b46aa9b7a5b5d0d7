use proptest::prelude::*;

use super::*;
use crate::signature::{CanonicalRequest, Payload, PayloadHash, Target};

mod comparing;
mod explaining;
mod reading;
mod refusals;

const SERVER: &str = "20211217T065804Z";
const SIGNED: &str = "20211217T064303Z";
const TOKEN: &str = "SECRETTOKENMARKER_DO_NOT_LOG";

const KNOWN: Context<'_> = Context {
    shows: Shows::Signature,
    canonical_request: None,
    has_security_token: false,
    clock_offset: None,
    corrects_clock: false,
    stage: "RELEASE",
    host: "id.apig.cn-north-4.huaweicloudapis.com",
};

/// A canonical request with a temporary key, as the proxy signs it.
fn canonical() -> String {
    let target = Target::parse("/v1/infers/5a?b=2&a=1&a=0&k%C3%A9=x").unwrap();
    let headers = [
        ("host", "id.apig.cn-north-4.huaweicloudapis.com"),
        ("x-stage", "RELEASE"),
        ("x-security-token", TOKEN),
    ];
    let date = SigningDate::parse(SIGNED).unwrap();
    let payload = Payload::Hash(&PayloadHash::EMPTY);
    CanonicalRequest::new("GET", target, &headers, &date, payload)
        .unwrap()
        .to_string()
}

fn echoed(canonical: &str) -> String {
    canonical.replace('\n', "|")
}

/// An answer in the usual shape.
fn answer(code: &str, message: &str) -> Vec<u8> {
    let body = serde_json::json!({"error_msg": message, "error_code": code, "request_id": "7d04"});
    body.to_string().into_bytes()
}

fn meaning(status: u16, code: &str, message: &str) -> Meaning {
    let error = GatewayError::read(status, &answer(code, message)).unwrap();
    assert_eq!(error.code, code);
    error.meaning
}

/// The meaning and the hint of a message of `APIG.0301`.
fn iam(message: &str, context: &Context<'_>) -> (Meaning, String) {
    let message = format!("Incorrect IAM authentication information: {message}");
    let error = GatewayError::read(401, &answer("APIG.0301", &message)).unwrap();
    let hint = error.hint(context).unwrap();
    (error.meaning, hint)
}

fn is_presentable(hint: &str) -> bool {
    hint.len() <= 400 && hint.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
