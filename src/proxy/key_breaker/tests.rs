//! How the breaker keeps a key from being locked, on paused time.

use SignatureOutcome::{Accepted, Locked, Misread, Rejected, Unknown};
use futures_util::FutureExt;
use tokio::time::advance;

use super::*;

/// How many of this many requests are sent one after the other, each with this outcome.
async fn send(count: u32, key_breaker: &KeyBreaker, outcome: SignatureOutcome) -> u32 {
    let mut sent = 0;
    for _ in 0..count {
        match key_breaker.permit().await {
            Ok(permit) => {
                permit.settle(outcome);
                sent += 1;
            }
            Err(error) => assert_eq!(error.answer().code, "key_locked"),
        }
    }
    sent
}

/// Permits of requests that are in flight.
async fn permits(count: usize, key_breaker: &KeyBreaker) -> Vec<Permit<'_>> {
    let mut permits = Vec::new();
    for _ in 0..count {
        permits.push(key_breaker.permit().await.unwrap());
    }
    permits
}

fn settle(permits: Vec<Permit<'_>>, outcome: SignatureOutcome) {
    permits
        .into_iter()
        .for_each(|permit| permit.settle(outcome));
}

fn key(breakers: &KeyBreakers, access_key: &str, secret: &str) -> KeyBreaker {
    breakers.key_breaker(&Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret.into(),
        security_token: None,
    })
}

/// The breaker of a key that nothing is known of.
fn new_key() -> KeyBreaker {
    key(&KeyBreakers::default(), "ONE", "a")
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_nothing_is_sent_but_probes_ever_more_rarely() {
    let key_breaker = new_key();
    for outcome in [Rejected, Rejected, Unknown, Accepted].repeat(10) {
        assert_eq!(send(1, &key_breaker, outcome).await, 1);
    }
    assert_eq!(send(1000, &key_breaker, Rejected).await, 3);
    for pause in [60, 120, 240] {
        advance(Duration::from_secs(pause - 1)).await;
        assert_eq!(send(10, &key_breaker, Rejected).await, 0, "{pause}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(send(10, &key_breaker, Rejected).await, 1, "{pause}");
    }
    advance(MAX_PAUSE).await;
    // A probe with an unknown outcome, or one that hangs, is followed by another one.
    assert_eq!(send(1, &key_breaker, Unknown).await, 1);
    let hangs = key_breaker.permit().await.unwrap();
    assert!(key_breaker.permit().await.is_err());
    advance(PROBE_TIMEOUT).await;
    assert_eq!(send(10, &key_breaker, Accepted).await, 10);
    drop(hangs);
    assert_eq!(send(1, &key_breaker, Accepted).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lock_counts_at_once_unless_one_answer_says_so_of_a_trusted_key() {
    let key_breaker = new_key();
    assert_eq!(send(10, &key_breaker, Locked).await, 1);
    advance(FIRST_PAUSE).await;
    assert_eq!(send(1, &key_breaker, Accepted).await, 1);
    assert_eq!(send(1, &key_breaker, Locked).await, 1);
    assert_eq!(send(1, &key_breaker, Accepted).await, 1);
    // Requests in flight when the breaker opens do not make the pause longer.
    for outcome in [Rejected, Locked] {
        settle(permits(20, &key_breaker).await, outcome);
        assert!(key_breaker.permit().await.is_err());
        advance(FIRST_PAUSE).await;
        assert_eq!(send(1, &key_breaker, Accepted).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_dates_count_towards_the_five_and_not_towards_the_three() {
    let key_breaker = new_key();
    assert_eq!(send(3, &key_breaker, Misread).await, 3);
    assert_eq!(send(10, &key_breaker, Rejected).await, 2);

    // When the clock jumps under a trusted key, all requests in flight are refused at once.
    let key_breaker = new_key();
    send(1, &key_breaker, Accepted).await;
    settle(permits(20, &key_breaker).await, Misread);
    assert!(!key_breaker.is_open());
    assert_eq!(send(1, &key_breaker, Accepted).await, 1);
    assert_eq!(send(10, &key_breaker, Misread).await, 5);
}

#[tokio::test(start_paused = true)]
async fn one_access_key_has_one_breaker_and_never_more_than_five_refusals() {
    let breakers = KeyBreakers::default();
    let (first, again) = (key(&breakers, "ONE", "a"), key(&breakers, "ONE", "a"));
    assert_eq!(send(2, &first, Rejected).await, 2);
    assert_eq!(send(10, &again, Rejected).await, 1);
    assert_eq!(send(1, &key(&breakers, "TWO", "a"), Accepted).await, 1);
    // A corrected secret is tried at once, but the access key has only two refusals left.
    let corrected = key(&breakers, "ONE", "b");
    assert_eq!(send(10, &corrected, Rejected).await, 2);
    // It is not forgotten while nothing uses it.
    drop((first, again, corrected));
    let third = key(&breakers, "ONE", "c");
    assert_eq!(send(10, &third, Rejected).await, 0);
    advance(FIRST_PAUSE).await;
    assert_eq!(send(10, &third, Accepted).await, 10);
    // The breaker is closed for all secrets, but the first one is not trusted.
    assert_eq!(send(10, &key(&breakers, "ONE", "a"), Rejected).await, 3);
    // One that was accepted is trusted at once when it is used again.
    send(1, &key(&breakers, "TWO", "a"), Accepted).await;
    let again = key(&breakers, "TWO", "a");
    assert!(permits(20, &again).now_or_never().is_some());
    drop(again);
    // One without refusals is forgotten.
    key(&breakers, "THREE", "a");
    assert_eq!(lock(&breakers.keys).len(), 2);
    key(&breakers, "FOUR", "a");
    assert_eq!(lock(&breakers.keys).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_not_trusted_because_another_set_has_the_right_one() {
    let breakers = KeyBreakers::default();
    let right = key(&breakers, "ONE", "right");
    let wrong = key(&breakers, "ONE", "wrong");
    send(1, &right, Accepted).await;
    let in_flight = permits(3, &wrong).await;
    let mut waiting = pin!(wrong.permit());
    assert!(waiting.as_mut().now_or_never().is_none());
    settle(in_flight, Rejected);
    assert!(waiting.await.is_err());
    assert_eq!(send(1, &right, Accepted).await, 1);
}
