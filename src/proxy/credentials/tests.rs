//! Secrets that change, as a worker sees them.

use tokio::time::sleep;

use super::*;
use crate::config::with_upstream;
use crate::credentials::{Credentials, Origin, Secret};
use crate::proxy::key_breaker::{KeyBreaker, SignatureOutcome};

/// The one slot of these tests.
const SLOT: usize = 0;

fn key(access_key: &str, secret: &str, token: Option<&str>) -> Issued {
    let credentials = Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret.into(),
        security_token: token.map(Into::into),
    };
    Issued::lasting(Secret::Key(credentials), Origin::Environment("A"))
}

fn ended() -> Issued {
    Issued {
        lifetime: Some(Duration::ZERO),
        ..key("ENDED", "secret", None)
    }
}

/// A worker's ring, and the feed that fills it.
fn ring(first: Option<Issued>) -> (CredentialsView, Arc<Feed>) {
    let config = with_upstream("https://gateway.example").unwrap();
    let need = Need {
        set: 0,
        kind: Kind::Key,
    };
    let unused = Credentials {
        access_key: "UNUSED".to_owned(),
        secret_key: "unused".into(),
        security_token: None,
    };
    let supply = Supply::fixed(need, "default", &unused);
    let feed = Arc::clone(supply.feed());
    feed.deliver(first.unwrap_or_else(ended));
    let credentials = Arc::new(RouteCredentials::new(&config, &[supply]));
    (CredentialsView::new(&credentials), feed)
}

fn access_key(held: &UsableCredential) -> &str {
    held.auth.key().unwrap().access_key()
}

fn key_breaker(ring: &CredentialsView) -> Arc<KeyBreaker> {
    let held = ring.current(SLOT).unwrap();
    Arc::clone(&held.auth.key().unwrap().breaker)
}

#[tokio::test]
async fn a_key_that_comes_again_keeps_what_is_known_of_it_at_the_gateway() {
    let (ring, feed) = ring(Some(key("ONE", "secret", None)));
    let known = key_breaker(&ring);
    known
        .permit()
        .await
        .unwrap()
        .settle(SignatureOutcome::Locked);
    assert!(ring.credentials.is_refusing());
    feed.deliver(key("ONE", "secret", None));
    assert!(Arc::ptr_eq(&key_breaker(&ring), &known));
    // The same key with a token of its own is the same for the lock.
    feed.deliver(key("ONE", "secret", Some("token")));
    assert!(Arc::ptr_eq(&key_breaker(&ring), &known));
    assert!(ring.credentials.is_refusing());
    assert!(key_breaker(&ring).permit().await.is_err());
}

#[tokio::test]
async fn another_key_starts_afresh_and_so_does_a_corrected_secret() {
    for other in [key("TWO", "secret", None), key("ONE", "corrected", None)] {
        let (ring, feed) = ring(Some(key("ONE", "secret", None)));
        let known = key_breaker(&ring);
        known
            .permit()
            .await
            .unwrap()
            .settle(SignatureOutcome::Locked);
        feed.deliver(other);
        assert!(!Arc::ptr_eq(&key_breaker(&ring), &known));
        assert!(key_breaker(&ring).permit().await.is_ok());
        assert!(!ring.credentials.is_refusing());
    }
}

#[test]
fn all_workers_share_what_is_known_of_a_key_and_see_a_new_one_at_once() {
    let (ring, feed) = ring(Some(key("ONE", "secret", None)));
    let other = CredentialsView::new(&ring.credentials);
    assert!(Arc::ptr_eq(&key_breaker(&ring), &key_breaker(&other)));
    feed.deliver(key("TWO", "secret", None));
    for ring in [&ring, &other] {
        assert_eq!(access_key(&ring.current(SLOT).unwrap()), "TWO");
    }
    assert!(Arc::ptr_eq(&key_breaker(&ring), &key_breaker(&other)));
}

#[test]
fn a_keyring_takes_over_what_an_earlier_one_knew() {
    let (ring, _feed) = ring(Some(key("ONE", "secret", None)));
    let known = key_breaker(&ring);
    let (later, _later_feed) = self::ring(Some(key("ONE", "secret", None)));
    let mut later = later;
    let credentials = Arc::get_mut(&mut later.credentials).unwrap();
    credentials.remember(&ring.credentials);
    assert!(Arc::ptr_eq(&key_breaker(&later), &known));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_three_seconds_for_a_key() {
    let (ring, feed) = ring(None);
    let started = Instant::now();
    let refused = ring.usable(SLOT, None).await;
    assert!(matches!(refused, Err(Error::NoCredentials)));
    assert_eq!(started.elapsed(), PATIENCE);

    let started = Instant::now();
    let given = async {
        // One that has ended already does not help.
        sleep(Duration::from_secs(1)).await;
        feed.deliver(ended());
        sleep(Duration::from_secs(1)).await;
        feed.deliver(key("ONE", "secret", None));
    };
    let (held, ()) = tokio::join!(ring.usable(SLOT, None), given);
    assert_eq!(access_key(&held.unwrap()), "ONE");
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_refused_is_not_what_is_waited_for() {
    let (ring, feed) = ring(Some(key("ONE", "secret", None)));
    let refused = ring.usable(SLOT, None).await.unwrap();
    assert!(ring.usable(SLOT, Some(&refused)).await.is_err());
    let given = async {
        sleep(Duration::from_secs(1)).await;
        feed.deliver(key("TWO", "secret", None));
    };
    let (other, ()) = tokio::join!(ring.usable(SLOT, Some(&refused)), given);
    assert_eq!(access_key(&other.unwrap()), "TWO");
}
