//! What services answer when they are not well.

use std::sync::atomic::Ordering;

use super::*;
use crate::emulator::{Mood, Service};

/// A good request to each service.
fn requests() -> [(Service, Request<Full<Bytes>>); 5] {
    let id_token = json!({ "auth": { "id_token": { "id": "id token" } } });
    let headers = [("x-idp-id", "idp")];
    let to_idp = request("POST", "/v3.0/OS-AUTH/id-token/tokens", &headers, &id_token);
    [
        (Service::Iam, for_token("password")),
        (Service::Idp, to_idp),
        (Service::Sts, to_sts("agency_session_name", "session")),
        (Service::Metadata, of_machine(None)),
        (Service::PodIdentity, of_pod("pod token")),
    ]
}

#[tokio::test]
async fn every_service_can_fail_in_every_way_and_be_well_again() {
    let gateway = Running::with(Accounts {
        metadata_tokens: crate::emulator::MetadataTokens::Off,
        ..accounts()
    });
    let moods = [
        (Mood::Unauthorized, 401),
        (Mood::Missing, 404),
        (Mood::Broken, 500),
        (Mood::Garbage, 200),
    ];
    for (mood, expected) in moods {
        for (service, request) in requests() {
            gateway.cloud.set_mood(service, mood);
            let answer = gateway.ask(request).await;
            assert_eq!(answer.status, expected, "{service:?} {mood:?}");
            let is_json = serde_json::from_str::<Value>(&answer.text).is_ok();
            // The metadata service speaks text.
            let speaks_text = service == Service::Metadata && mood == Mood::Unauthorized;
            assert_eq!(is_json, mood != Mood::Garbage && !speaks_text);
        }
    }
    for (service, request) in requests() {
        gateway.cloud.set_mood(service, Mood::Well);
        assert!([200, 201].contains(&gateway.ask(request).await.status));
        assert_eq!(gateway.cloud.calls(service), 5, "{service:?}");
    }
}

#[tokio::test]
async fn a_mood_is_of_one_service_only() {
    let gateway = Running::with(accounts());
    gateway.cloud.set_mood(Service::Sts, Mood::Broken);
    assert_eq!(gateway.ask(for_token("password")).await.status, 201);
}

#[tokio::test]
async fn a_service_that_hangs_never_answers() {
    let gateway = Running::with(accounts());
    for (service, request) in requests() {
        gateway.cloud.set_mood(service, Mood::Hangs);
        let patience = Duration::from_millis(100);
        let answered = tokio::time::timeout(patience, gateway.ask(request)).await;
        assert!(answered.is_err(), "{service:?}");
        assert_eq!(gateway.cloud.calls(service), 1, "{service:?}");
    }
}

#[tokio::test]
async fn a_machine_without_an_agency_gets_a_token_but_no_key() {
    let gateway = Running::with(accounts());
    gateway
        .cloud
        .set_mood(Service::Metadata, Mood::Unauthorized);
    let token = gateway.ask(for_metadata_token("60")).await;
    assert_eq!(token.status, 200);
    let answer = gateway.ask(of_machine(Some(&token.text))).await;
    assert_eq!(answer.status, 401);
    let words = "Please configure Cloud Service Agency first";
    assert!(answer.text.contains(words), "{}", answer.text);
}

#[tokio::test]
async fn what_is_issued_too_late_is_refused_from_the_start() {
    let gateway = Running::with(accounts());
    for service in [Service::PodIdentity, Service::Iam] {
        gateway.cloud.set_mood(service, Mood::Expired);
    }
    let key = parts(&gateway.ask(of_pod("pod token")).await);
    assert_eq!(key[3], "2026-11-24T07:59:59.000Z");
    assert_eq!(signed_with(&gateway, &key, NOW).await.0, 401);
    assert_eq!(gateway.counts.refused_expired.load(Ordering::Relaxed), 1);
    let token = gateway.ask(for_token("password")).await;
    assert_eq!(
        token.json()["token"]["expires_at"],
        "2026-11-24T07:59:59.000000Z"
    );
    let headers = [("x-auth-token", token.token()), ("x-stage", "RELEASE")];
    let refused = gateway
        .code(request("POST", "/v1/a", &headers, &json!({})))
        .await;
    assert_eq!(refused.1, "APIG.0307");
}
