//! Keys and tokens for identities of another provider.

use super::*;

fn for_idp_token(idp: &str, id_token: &str) -> Request<Full<Bytes>> {
    let body = json!({ "auth": { "id_token": { "id": id_token } } });
    let headers = [("x-idp-id", idp)];
    request("POST", "/v3.0/OS-AUTH/id-token/tokens", &headers, &body)
}

fn for_key(token: &str, seconds: u64) -> Request<Full<Bytes>> {
    let token = json!({ "id": token, "duration_seconds": seconds });
    let body = json!({ "auth": { "identity": { "methods": ["token"], "token": token } } });
    request("POST", "/v3.0/OS-CREDENTIAL/securitytokens", &[], &body)
}

#[tokio::test]
async fn sts_gives_a_key_that_the_gateway_takes() {
    let gateway = Running::with(accounts());
    for over_tls in [false, true] {
        let request = to_sts("agency_session_name", "session");
        let answer = if over_tls {
            gateway.ask_over_tls(request).await
        } else {
            gateway.ask(request).await
        };
        assert_eq!(answer.status, 200, "{}", answer.text);
        let parts = parts(&answer);
        assert_eq!(parts[3], "2026-11-24T08:00:02.000Z");
        assert_eq!(signed_with(&gateway, &parts, NOW).await.0, 200);
    }
}

#[tokio::test]
async fn sts_refuses_whom_it_does_not_trust() {
    let gateway = Running::with(accounts());
    for field in ["provider_urn", "agency_urn", "id_token"] {
        let answer = gateway.ask(to_sts(field, "other")).await;
        assert_eq!(answer.status, 401, "{field}");
        assert!(answer.json()["error_code"].is_string(), "{}", answer.text);
        let answer = gateway.ask(to_sts(field, "")).await;
        assert_eq!(answer.status, 400, "{field}");
    }
}

#[tokio::test]
async fn an_identity_token_becomes_a_token_and_that_a_key() {
    let gateway = Running::with(accounts());
    let token = gateway.ask(for_idp_token("idp", "id token")).await;
    assert_eq!(token.status, 201, "{}", token.text);
    let answer = gateway.ask(for_key(token.token(), 900)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let parts = parts(&answer);
    assert_eq!(parts[3], "2026-11-24T08:00:02.000000Z");
    assert_eq!(signed_with(&gateway, &parts, NOW).await.0, 200);
}

#[tokio::test]
async fn a_key_is_not_given_for_other_tokens_or_for_any_time() {
    let gateway = Running::with(accounts());
    for (idp, id_token) in [("idp", "other"), ("other", "id token")] {
        let answer = gateway.ask(for_idp_token(idp, id_token)).await;
        assert_eq!(answer.status, 401);
    }
    let token = gateway.ask(for_idp_token("idp", "id token")).await;
    assert_eq!(gateway.ask(for_key("other", 900)).await.status, 401);
    for seconds in [899, 86_401] {
        let answer = gateway.ask(for_key(token.token(), seconds)).await;
        assert_eq!(answer.status, 400);
    }
    gateway.wait(2000);
    let answer = gateway.ask(for_key(token.token(), 900)).await;
    assert_eq!(answer.status, 401, "the token has expired");
}

#[tokio::test]
async fn a_new_identity_token_replaces_the_old_one() {
    let gateway = Running::with(accounts());
    gateway.cloud.set_id_token("new".into());
    assert_eq!(
        gateway.ask(to_sts("id_token", "id token")).await.status,
        401
    );
    assert_eq!(gateway.ask(to_sts("id_token", "new")).await.status, 200);
    assert_eq!(gateway.ask(for_idp_token("idp", "new")).await.status, 201);
}
