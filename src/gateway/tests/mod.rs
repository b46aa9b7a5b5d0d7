//! What is read of a response, and every documented or reported refusal with its meaning and its hint.

mod hints;

use super::*;
use crate::signature::{Algorithm, CanonicalRequest, Payload, PayloadHash, Target};

const SERVER: &str = "20211217T065804Z";
const SIGNED: &str = "20211217T064303Z";
const TOKEN: &str = "SECRETTOKENMARKER_DO_NOT_LOG";

const KNOWN: Context<'_> = Context {
    auth: AuthMode::AkSk,
    canonical_request: None,
    is_temporary: false,
    has_ambiguous_path: false,
    has_learned_path: false,
    clock_offset: None,
    corrects_clock: false,
    stage: "RELEASE",
    host: "id.apig.cn-north-4.huaweicloudapis.com",
};

/// A canonical request with a temporary key, as the proxy signs it.
fn canonical() -> String {
    let target = Target::parse("/v1/infers/5a?b=2&a=1&a=0&k%C3%A9=x").unwrap();
    let headers = [
        ("host", KNOWN.host),
        ("x-stage", "RELEASE"),
        ("x-security-token", TOKEN),
    ];
    let date = SigningDate::parse(SIGNED).unwrap();
    let payload = Payload::Hash(&PayloadHash::EMPTY);
    let algorithm = Algorithm::HmacSha256;
    let request = CanonicalRequest::new(algorithm, "GET", target, &headers, &date, payload);
    request.unwrap().to_string()
}

fn echoed(canonical: &str) -> String {
    canonical.replace('\n', "|")
}

/// A response body of the usual shape.
fn answer(code: &str, message: &str) -> Vec<u8> {
    let body = serde_json::json!({"error_msg": message, "error_code": code, "request_id": "7d04"});
    body.to_string().into_bytes()
}

fn meaning(message: &str) -> Meaning {
    GatewayError::read(401, &answer("APIG.0301", message))
        .unwrap()
        .meaning
}

/// The hint for a message of `APIG.0301`, which is fit for a header and holds no secret.
fn hint(message: &str, context: &Context<'_>) -> String {
    let message = format!("Incorrect IAM authentication information: {message}");
    let error = GatewayError::read(401, &answer("APIG.0301", &message)).unwrap();
    let hint = error.hint(context).unwrap();
    assert!(is_presentable(&hint) && !hint.contains(TOKEN), "{hint}");
    hint
}

/// Below the limit, so that no advice is cut off.
fn is_presentable(hint: &str) -> bool {
    hint.len() < 400 && hint.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[test]
fn an_echo_ends_with_the_message_or_with_a_quote_and_its_words_decide_nothing() {
    let path =
        "/ak/reach the limit/signature expired/not exist/frozen/server time:20211217T065804Z/";
    let other = format!("GET|{path}||host:h||host|0");
    for canonical in [echoed(&canonical()), other] {
        for tail in [
            "",
            " ",
            "\",\"error_code\":\"APIG.0301\"}",
            "\\\",\\\"x",
            "\n",
        ] {
            for name in [
                "canonicalRequest:",
                "canonicalRequest: ",
                "canonical request=",
            ] {
                let message = format!("verify aksk signature fail, {name}{canonical}{tail}");
                let echoed = Some(CanonicalText(canonical.clone()));
                let expected = Meaning::SignatureMismatch { echoed };
                assert!(meaning(&message) == expected, "{message}");
            }
        }
    }
    let empty = meaning("verify aksk signature fail, canonicalRequest:");
    assert_eq!(empty, Meaning::SignatureMismatch { echoed: None });
}

#[test]
fn all_shapes_of_an_error_are_read() {
    for body in [
        r#"{"error_msg":"Backend timeout","error_code":"APIG.0203","request_id":"1"}"#,
        r#"{"errorMsg":"Backend timeout","errorCode":"APIG.0203"}"#,
        r#"{"message":"Backend timeout","code":"APIG.0203"}"#,
        r#"{"error":{"message":"Backend timeout","code":"APIG.0203"}}"#,
        r#"{"request_id":"1","error":{"error_msg":"x","error_code":"APIG.0203"}}"#,
        r#"{"code":504,"error_code":"APIG.0203","encoded_authorization_message":"x"}"#,
        r#"{"error_code":"APIG.0203","error_msg":{"not":"a text"}}"#,
        "  {\"error_code\":\"APIG.0203\"}\r\n",
    ] {
        let error = GatewayError::read(504, body.as_bytes()).unwrap();
        let read = (error.code.as_str(), error.meaning);
        assert_eq!(read, ("APIG.0203", Meaning::BackendTimeout), "{body}");
    }
}

#[test]
fn what_is_not_an_error_of_the_gateway_is_left_alone() {
    let huge = answer("APIG.0301", &"x".repeat(GatewayError::LONGEST_BODY));
    let long = answer(&format!("APIG.{}", "1".repeat(40)), "");
    let bodies: [&[u8]; 10] = [
        b"",
        b"[{\"error_code\":\"APIG.0301\"}]",
        b"{\"error_code\":\"APIG.0301\"",
        b"{\"error_code\":\"APIG.0301\",\"error_msg\":\"\xff\"}",
        b"{\"error_code\":\"APIG.03 01\"}",
        b"{\"error_code\":\"APIG.0301\\r\\nx: y\"}",
        b"{\"error_code\":\"PROXY.body_too_large\"}",
        b"{\"a\":{\"error\":{\"error_code\":\"APIG.0301\"}}}",
        &huge,
        &long,
    ];
    for body in bodies {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]);
        assert_eq!(GatewayError::read(401, body), None, "{start}");
    }
    assert_eq!(GatewayError::read(200, &answer("APIG.0301", "")), None);
}
