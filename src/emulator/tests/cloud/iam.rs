//! Tokens for users.

use std::sync::atomic::Ordering;

use super::*;

fn to_gateway(token: &str) -> Request<Full<Bytes>> {
    let headers = [("x-auth-token", token), ("x-stage", "RELEASE")];
    request("POST", "/v1/a", &headers, &json!({}))
}

#[tokio::test]
async fn a_token_is_issued_that_the_gateway_takes_until_it_expires() {
    let gateway = Running::with(accounts());
    gateway.wait(231);
    let answer = gateway.ask(for_token("password")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["token"]["issued_at"], "2026-11-24T08:00:00.231000Z");
    assert_eq!(body["token"]["expires_at"], "2026-11-24T08:00:02.231000Z");
    assert_eq!(body["token"]["project"]["name"], "cn-north-4");
    assert!(body["token"].get("catalog").is_none());
    let accepted = gateway.send(to_gateway(answer.token())).await;
    assert_eq!(
        (accepted.0.as_u16(), &accepted.1["auth"]),
        (200, &"token".into())
    );
    gateway.wait(2000);
    let (status, code, message) = gateway.code(to_gateway(answer.token())).await;
    assert_eq!((status, code.as_str()), (401, "APIG.0307"));
    assert_eq!(message, "The token must be updated.");
    let expired = gateway
        .counts
        .refused_expired_tokens
        .load(Ordering::Relaxed);
    assert_eq!(expired, 1);
}

#[tokio::test]
async fn a_token_is_issued_at_the_gateway_s_address_too() {
    let gateway = Running::with(accounts());
    let answer = gateway.ask_over_tls(for_token("password")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let accepted = gateway.send(to_gateway(answer.token())).await;
    assert_eq!(accepted.0.as_u16(), 200);
    assert_eq!(gateway.counts.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_wrong_password_and_an_unreadable_request_are_refused_in_iam_s_shape() {
    let gateway = Running::with(accounts());
    let answer = gateway.ask(for_token("wrong")).await;
    assert_eq!(answer.status, 401);
    let error = json!({
        "code": 401,
        "message": "The username or password is wrong.",
        "title": "Unauthorized",
    });
    assert_eq!(answer.json(), json!({ "error": error }));
    let answer = gateway
        .ask(request(
            "POST",
            "/v3/auth/tokens",
            &[],
            &json!({ "auth": {} }),
        ))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &400.into())
    );
}

#[tokio::test]
async fn every_token_can_be_made_to_expire_at_once() {
    let gateway = Running::with(Accounts {
        tokens: vec!["static".into()],
        ..accounts()
    });
    let answer = gateway.ask(for_token("password")).await;
    gateway.cloud.expire_tokens();
    for token in [answer.token(), "static"] {
        assert_eq!(gateway.code(to_gateway(token)).await.1, "APIG.0307");
    }
    let answer = gateway.ask(for_token("password")).await;
    assert_eq!(
        gateway.send(to_gateway(answer.token())).await.0.as_u16(),
        200
    );
}
