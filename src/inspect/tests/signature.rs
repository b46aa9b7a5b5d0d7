//! What was signed, and where the gateway's reading differs.

use serde_json::json;

use super::*;
use crate::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, Signer, SigningDate, Target,
};

const TARGET: &str = "/v1/x/a?q=x%20y&a=1";
const TOKEN: &str = "‹x-security-token, 9 bytes, sha256 0011aabb›";

/// The canonical request, its string to sign, and the head of a request that is signed.
fn signed(token: Option<&str>) -> (String, String, String) {
    let date = SigningDate::parse("20261123T080000Z").unwrap();
    let mut headers = vec![("host", "gw.example"), ("x-stage", "RELEASE")];
    headers.extend(token.map(|_| ("x-security-token", "TOKEN")));
    let target = Target::parse(TARGET).unwrap();
    let payload = Payload::Hash(&PayloadHash::EMPTY);
    let algorithm = Algorithm::HmacSha256;
    let request =
        CanonicalRequest::new(algorithm, "GET", target, &headers, &date, payload).unwrap();
    let authorization = Signer::new("AK", &"SK".into()).sign(&request);
    let shown = &authorization[..authorization.rfind('=').unwrap()];
    let token = token.map(|token| format!("\nx-security-token: {token}"));
    let head = format!(
        "GET {TARGET} HTTP/1.1\nhost: gw.example\nx-stage: RELEASE\nx-sdk-date: {date}{}\n\
         authorization: {shown}=‹Signature, 64 bytes, sha256 00000000›",
        token.unwrap_or_default()
    );
    (request.to_string(), request.string_to_sign(), head)
}

fn detail(head: &str, echo: &str) -> Value {
    detail_of(vec![
        beginning("GET /flowers/a?q=x+y&a=1 HTTP/1.1"),
        routed(PayloadHash::EMPTY.as_str()),
        attempt(head),
        response("HTTP/1.1 401 Unauthorized", echo),
    ])
}

#[test]
fn the_signed_texts_are_those_of_the_signer() {
    let (canonical, string_to_sign, head) = signed(None);
    let attempt = &detail(&head, "")["attempts"][0];
    assert_eq!(attempt["canonical"], canonical);
    assert_eq!(attempt["string_to_sign"], string_to_sign);
    assert!(attempt["echo"].is_null() && attempt["difference"].is_null());
}

#[test]
fn a_hidden_value_stays_hidden_and_so_does_the_hash_of_what_it_is_in() {
    let (canonical, string_to_sign, head) = signed(Some(TOKEN));
    let attempt = &detail(&head, "")["attempts"][0];
    assert_eq!(attempt["canonical"], canonical.replace("TOKEN", TOKEN));
    let hash = string_to_sign.lines().last().unwrap();
    let shown = attempt["string_to_sign"].as_str().unwrap();
    assert!(!shown.contains(hash) && shown.starts_with("SDK-HMAC-SHA256\n20261123T080000Z\n‹"));
}

#[test]
fn the_first_line_that_differs_is_shown_with_both_sides() {
    let (canonical, _, head) = signed(Some(TOKEN));
    let canonical = canonical.replace("TOKEN", TOKEN);
    let same = canonical.replace('\n', "|");
    let renamed = same.replace("‹x-security-token,", "‹secret,");
    for [from, to, line, what, ours, gateway] in rows(
        "/v1/x/a/ | /v1/x/ | 2 | the path was changed | /v1/x/a/ | /v1/x/
        a=1 | a=2 | 3 | query pair 1 (a) was changed | a=1&q=x%20y | a=2&q=x%20y
        RELEASE | TEST | 7 | header x-stage was changed | x-stage:RELEASE | x-stage:TEST",
    ) {
        let echo = renamed.replace(from, to);
        let detail = detail(&head, &echo);
        let line: u64 = line.parse().unwrap();
        let expected = json!({"line": line, "what": what, "ours": ours, "gateway": gateway});
        assert_eq!(detail["attempts"][0]["difference"], expected);
        assert_eq!(detail["why"]["difference"], expected);
        assert_eq!(detail["attempts"][0]["echo"], echo.replace('|', "\n"));
    }
    for echo in [same, renamed] {
        assert!(detail(&head, &echo)["why"]["difference"].is_null());
    }
}

#[test]
fn a_token_has_no_signed_texts() {
    let head = "GET /a HTTP/1.1\nhost: gw\nx-auth-token: ‹x-auth-token, 9 bytes, sha256 00000000›";
    assert!(detail(head, "")["attempts"][0]["canonical"].is_null());
}
