//! How long keys are good for.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn a_key_that_expired_is_refused_and_counted() {
    let gateway = Running::with(accounts());
    let key = parts(&gateway.ask(of_pod("pod token")).await);
    gateway.wait(1999);
    assert_eq!(signed_with(&gateway, &key, NOW + 1).await.0, 200);
    assert_eq!(gateway.counts.refused_expired.load(Ordering::Relaxed), 0);
    gateway.wait(1);
    let (status, message) = signed_with(&gateway, &key, NOW + 2).await;
    assert_eq!(status, 401);
    assert!(
        message.ends_with("calc ak sk signature fail:signature expired"),
        "{message}"
    );
    // Whatever else is wrong with the request.
    let bare = signed(&key[0], "wrong", b"{}", NOW + 2, None);
    assert_eq!(gateway.code(bare).await.0, 401);
    assert_eq!(gateway.counts.refused_expired.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_key_that_was_replaced_is_good_until_it_expires_itself() {
    let gateway = Running::with(accounts());
    let old = parts(&gateway.ask(of_pod("pod token")).await);
    gateway.wait(1000);
    let new = parts(&gateway.ask(of_pod("pod token")).await);
    assert_ne!(old[0], new[0]);
    for key in [&old, &new] {
        assert_eq!(signed_with(&gateway, key, NOW + 1).await.0, 200);
    }
    gateway.wait(1000);
    assert_eq!(signed_with(&gateway, &old, NOW + 2).await.0, 401);
    assert_eq!(signed_with(&gateway, &new, NOW + 2).await.0, 200);
}

#[tokio::test]
async fn an_issued_key_needs_its_own_token() {
    let gateway = Running::with(accounts());
    let mut key = parts(&gateway.ask(of_pod("pod token")).await);
    let other = parts(&gateway.ask(of_pod("pod token")).await);
    key[2].clone_from(&other[2]);
    let (status, message) = signed_with(&gateway, &key, NOW).await;
    assert_eq!(status, 401);
    assert!(message.ends_with("err:ak not exist"), "{message}");
}

#[tokio::test]
async fn the_shorter_of_what_is_asked_for_and_what_is_given_counts() {
    let gateway = Running::with(accounts());
    gateway.cloud.set_key_lifetime(Duration::from_secs(4000));
    let expiry = async |request| parts(&gateway.ask(request).await)[3].clone();
    let asked = to_sts("agency_session_name", "session");
    assert_eq!(expiry(asked).await, "2026-11-24T09:00:00.000Z");
    let not_asked = of_pod("pod token");
    assert_eq!(expiry(not_asked).await, "2026-11-24T09:06:40.000Z");
    gateway
        .cloud
        .set_token_lifetime(Duration::from_millis(1500));
    let token = gateway.ask(for_token("password")).await.json();
    assert_eq!(token["token"]["expires_at"], "2026-11-24T08:00:01.500000Z");
}
