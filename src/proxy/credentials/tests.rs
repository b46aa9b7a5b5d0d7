//! Credentials that change, as a worker sees them.

use tokio::time::{advance, sleep};

use super::*;
use crate::config::with_upstream;
use crate::credentials::{Credentials, Origin};
use crate::proxy::key_breaker::{KeyBreaker, SignatureOutcome};

/// The one slot of these tests.
const SLOT: usize = 0;

fn key(access_key: &str, secret: &str, token: Option<&str>) -> Lease {
    let credentials = Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret.into(),
        security_token: token.map(Into::into),
    };
    Lease::lasting(Secret::Key(credentials), Origin::Environment("A"))
}

fn expired() -> Lease {
    Lease {
        lifetime: Some(Duration::ZERO),
        ..key("EXPIRED", "secret", None)
    }
}

/// The view of a worker, and the slot behind it.
fn view(first: Lease) -> (CredentialsView, Arc<Slot>) {
    let config = with_upstream("https://gateway.example").unwrap();
    let requirement = crate::credentials::requirements(&config)[0];
    let Secret::Key(unused) = key("UNUSED", "unused", None).secret else {
        unreachable!("it is a key")
    };
    let source = Source::fixed(requirement, "default", &unused);
    let slot = Arc::clone(source.slot());
    slot.deliver(first);
    let credentials = Arc::new(RouteCredentials::new(&config, &[source]));
    (CredentialsView::new(&credentials), slot)
}

fn access_key(view: &CredentialsView) -> String {
    let current = view.current(SLOT).unwrap();
    current.auth.key().unwrap().access_key().to_owned()
}

fn key_breaker(view: &CredentialsView) -> Arc<KeyBreaker> {
    Arc::clone(&view.current(SLOT).unwrap().auth.key().unwrap().breaker)
}

#[tokio::test]
async fn a_key_keeps_its_breaker_and_another_key_or_secret_has_its_own() {
    let (view, slot) = view(key("ONE", "secret", None));
    let first = key_breaker(&view);
    first
        .permit()
        .await
        .unwrap()
        .settle(SignatureOutcome::Locked);
    // A token does not matter for the lock.
    for token in [None, Some("token")] {
        slot.deliver(key("ONE", "secret", token));
        assert!(Arc::ptr_eq(&key_breaker(&view), &first));
        assert!(view.credentials.has_open_breaker());
        assert!(key_breaker(&view).permit().await.is_err());
    }
    for (access_key, secret) in [("TWO", "secret"), ("ONE", "corrected")] {
        slot.deliver(key(access_key, secret, None));
        assert!(
            !view.credentials.has_open_breaker(),
            "{access_key} {secret}"
        );
        assert!(
            key_breaker(&view).permit().await.is_ok(),
            "{access_key} {secret}"
        );
    }
}

#[test]
fn workers_and_reloads_share_breakers_and_see_a_new_key_at_once() {
    let (first, slot) = view(key("ONE", "secret", None));
    let second = CredentialsView::new(&first.credentials);
    assert!(Arc::ptr_eq(&key_breaker(&first), &key_breaker(&second)));
    slot.deliver(key("TWO", "secret", None));
    assert_eq!([&first, &second].map(access_key), ["TWO", "TWO"]);
    assert!(Arc::ptr_eq(&key_breaker(&first), &key_breaker(&second)));

    let (mut reloaded, _slot) = view(key("TWO", "secret", None));
    let credentials = Arc::get_mut(&mut reloaded.credentials).unwrap();
    credentials.remember(&first.credentials);
    assert!(Arc::ptr_eq(&key_breaker(&reloaded), &key_breaker(&first)));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_three_seconds_for_a_key_that_is_neither_expired_nor_refused() {
    let (view, slot) = view(expired());
    let mut refused = None;
    for next in ["ONE", "TWO"] {
        let start = Instant::now();
        let usable = view.usable(SLOT, refused.as_deref()).await;
        assert!(matches!(usable, Err(Error::NoCredentials)));
        assert_eq!(start.elapsed(), CREDENTIAL_TIMEOUT);

        let start = Instant::now();
        let delivers = async {
            sleep(Duration::from_secs(1)).await;
            slot.deliver(expired());
            sleep(Duration::from_secs(1)).await;
            slot.deliver(key(next, "secret", None));
        };
        let (usable, ()) = tokio::join!(view.usable(SLOT, refused.as_deref()), delivers);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        assert_eq!(access_key(&view), next);
        refused = Some(usable.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_started_once_a_minute_unless_it_helped() {
    let hour = Some(Duration::from_secs(3600));
    let key = |access_key: &str| Lease {
        lifetime: hour,
        ..key(access_key, "secret", None)
    };
    let (view, slot) = view(key("ONE"));
    let refused = |view: &CredentialsView| {
        let current = view.current(SLOT).unwrap();
        view.credentials.refused(SLOT, &current)
    };
    // The others wait for the same refresh, but not for long.
    assert!(refused(&view) && refused(&view));
    advance(CREDENTIAL_TIMEOUT).await;
    assert!(!refused(&view));
    slot.deliver(key("TWO"));
    assert!(!refused(&view));
    advance(REFRESH_INTERVAL - CREDENTIAL_TIMEOUT).await;
    assert!(refused(&view));
    slot.deliver(key("THREE"));
    assert!(!refused(&view));
    view.credentials.refresh_helped(SLOT);
    assert!(refused(&view));
}

#[tokio::test]
async fn a_refused_secret_that_never_expires_is_read_again_but_not_waited_for() {
    let (view, slot) = view(key("ONE", "secret", None));
    let current = view.current(SLOT).unwrap();
    assert!(!view.credentials.refused(SLOT, &current));
    slot.refresh_requested().await;
}
