//! Credentials that change, as a worker sees them.

use tokio::time::{advance, sleep};

use super::*;
use crate::config::with_upstream;
use crate::credentials::{Credentials, Origin};
use crate::proxy::key_breaker::SignatureOutcome;

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
    match &view.current(SLOT).unwrap().lease.secret {
        Secret::Key(key) => key.access_key.clone(),
        Secret::Text(_) => unreachable!("it is a key"),
    }
}

/// True if the key of a view may be used.
async fn is_admitted(view: &CredentialsView) -> bool {
    let current = view.current(SLOT).unwrap();
    current.permit().await.is_ok()
}

#[tokio::test]
async fn a_key_keeps_its_breaker_in_all_workers_and_another_key_or_secret_has_its_own() {
    let (first, slot) = view(key("ONE", "secret", None));
    let second = CredentialsView::new(&first.credentials);
    let (mut reloaded, _slot) = view(key("ONE", "secret", None));
    let credentials = Arc::get_mut(&mut reloaded.credentials).unwrap();
    credentials.breakers = Arc::clone(&first.credentials.breakers);
    let current = first.current(SLOT).unwrap();
    let permit = current.permit().await.unwrap().unwrap();
    permit.settle(SignatureOutcome::Locked);
    // A token does not matter for the lock.
    for token in [None, Some("token")] {
        slot.deliver(key("ONE", "secret", token));
        for view in [&first, &second, &reloaded] {
            assert!(!is_admitted(view).await);
            assert!(view.credentials.are_locked().any(|is_locked| is_locked));
        }
    }
    for (access_key, secret) in [("TWO", "secret"), ("ONE", "corrected")] {
        slot.deliver(key(access_key, secret, None));
        assert!(is_admitted(&first).await, "{access_key} {secret}");
        assert!(is_admitted(&second).await, "{access_key} {secret}");
    }
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
    let next = |access_key| Lease {
        lifetime: Some(Duration::from_secs(3600)),
        ..key(access_key, "secret", None)
    };
    let (view, slot) = view(next("ONE"));
    let refused = || {
        let current = view.current(SLOT).unwrap();
        view.credentials.refused(SLOT, &current)
    };
    // The others wait for the same refresh, but not for long.
    assert!(refused() && refused());
    advance(CREDENTIAL_TIMEOUT).await;
    assert!(!refused());
    slot.deliver(next("TWO"));
    assert!(!refused());
    advance(REFRESH_INTERVAL - CREDENTIAL_TIMEOUT).await;
    assert!(refused());
    slot.deliver(next("THREE"));
    assert!(!refused());
    view.credentials.refresh_helped(SLOT);
    assert!(refused());
    // One that never expires is read again, but not waited for.
    slot.deliver(key("FOUR", "secret", None));
    view.credentials.refresh_helped(SLOT);
    assert!(!refused());
    slot.refresh_requested().await;
}
