//! Keys for machines and pods.

use super::*;
use crate::emulator::MetadataTokens;

#[tokio::test]
async fn a_machine_gets_a_key_for_a_token_of_the_service_s_own() {
    let gateway = Running::with(accounts());
    let token = gateway.ask(for_metadata_token("21600")).await;
    assert_eq!(token.status, 200, "{}", token.text);
    let answer = gateway.ask(of_machine(Some(&token.text))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let parts = parts(&answer);
    assert_eq!(parts[3], "2026-11-24T08:00:02.000000Z");
    assert_eq!(signed_with(&gateway, &parts, NOW).await.0, 200);
}

#[tokio::test]
async fn without_a_good_token_a_machine_gets_none() {
    let gateway = Running::with(accounts());
    for lifetime in ["0", "21601", "soon", ""] {
        let answer = gateway.ask(for_metadata_token(lifetime)).await;
        assert_eq!(answer.status, 400, "{lifetime}");
    }
    let short = gateway.ask(for_metadata_token("1")).await.text;
    let long = gateway.ask(for_metadata_token("60")).await.text;
    gateway.wait(1000);
    for token in [None, Some("other"), Some(short.as_str())] {
        let answer = gateway.ask(of_machine(token)).await;
        assert_eq!(answer.status, 401);
        assert!(!answer.text.contains("Agency"), "{}", answer.text);
    }
    assert_eq!(gateway.ask(of_machine(Some(&long))).await.status, 200);
    gateway.cloud.forget_metadata_tokens();
    assert_eq!(gateway.ask(of_machine(Some(&long))).await.status, 401);
}

#[tokio::test]
async fn an_older_machine_has_no_such_tokens() {
    let gateway = Running::with(Accounts {
        metadata_tokens: MetadataTokens::Off,
        ..accounts()
    });
    assert_eq!(gateway.ask(for_metadata_token("60")).await.status, 404);
    assert_eq!(gateway.ask(of_machine(None)).await.status, 200);
}

#[tokio::test]
async fn a_pod_gets_a_key_for_the_token_that_is_mounted_into_it() {
    let gateway = Running::with(accounts());
    let answer = gateway.ask(of_pod("pod token")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let parts = parts(&answer);
    assert_eq!(signed_with(&gateway, &parts, NOW).await.0, 200);
    assert_eq!(gateway.ask(of_pod("other")).await.status, 401);
    gateway.cloud.set_pod_token("new".into());
    assert_eq!(gateway.ask(of_pod("pod token")).await.status, 401);
    assert_eq!(gateway.ask(of_pod("new")).await.status, 200);
}

#[tokio::test]
async fn what_is_within_the_cloud_is_not_found_at_the_gateway() {
    let gateway = Running::with(accounts());
    for request in [
        for_metadata_token("60"),
        of_machine(None),
        of_pod("pod token"),
    ] {
        // There the gateway judges it, as it does everything.
        assert_eq!(gateway.code(request).await.1, "APIG.0101");
    }
    let elsewhere = request("GET", "/", &[], &Value::Null);
    assert_eq!(gateway.ask(elsewhere).await.status, 404);
}
