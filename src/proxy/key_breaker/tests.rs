//! How the breaker keeps a key from being locked, on paused time.

use std::time::Duration;

use SignatureOutcome::{Accepted, Locked, Misread, Rejected, Unknown};
use futures_util::FutureExt;
use tokio::time::advance;

use super::state::{FIRST_PAUSE, MAX_PAUSE};
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

/// What happens to a new key: outcomes of requests that are sent one after the other, or `at once`,
/// each with the number of those that are sent; and pauses.
const SEQUENCES: &str = "
    10 locked 1, pause, 1 accepted 1
    1 accepted 1, 1 locked 1, 1 accepted 1
    1 accepted 1, 20 rejected at once, 1 accepted 0, pause, 1 accepted 1
    1 accepted 1, 20 locked at once, 1 accepted 0, pause, 1 accepted 1
    3 misread 3, 10 rejected 2
    1 accepted 1, 20 misread at once, 1 accepted 1, 10 misread 5
";

/// A lock counts at once, unless one response says so of a trusted key. Refused dates count towards
/// the five refusals and not towards the three failures; when the clock jumps under a trusted key,
/// all requests in flight are refused, and the breaker stays closed. Requests in flight when it opens
/// do not make the pause longer.
#[tokio::test(start_paused = true)]
async fn each_outcome_counts_as_the_table_says() {
    for row in SEQUENCES.trim().lines() {
        let key_breaker = new_key();
        for step in row.trim().split(", ") {
            let words: Vec<&str> = step.split(' ').collect();
            let outcome = |name| match name {
                "accepted" => Accepted,
                "rejected" => Rejected,
                "locked" => Locked,
                "misread" => Misread,
                _ => unreachable!("{row}"),
            };
            match words[..] {
                ["pause"] => advance(FIRST_PAUSE).await,
                [count, name, "at", "once"] => {
                    let in_flight = permits(count.parse().unwrap(), &key_breaker).await;
                    settle(in_flight, outcome(name));
                }
                [count, name, expected] => {
                    let sent = send(count.parse().unwrap(), &key_breaker, outcome(name)).await;
                    assert_eq!(sent.to_string(), expected, "{step} in {row}");
                }
                _ => unreachable!("{row}"),
            }
        }
    }
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
    // One without refusals is forgotten, and one with refusals after an hour.
    key(&breakers, "THREE", "a");
    assert_eq!(lock(&breakers.keys).len(), 2);
    key(&breakers, "FOUR", "a");
    assert_eq!(lock(&breakers.keys).len(), 2);
    drop(third);
    advance(MAX_PAUSE).await;
    key(&breakers, "FIVE", "a");
    assert_eq!(lock(&breakers.keys).len(), 1);
}

#[test]
fn of_one_access_key_the_last_secrets_are_remembered() {
    let breakers = KeyBreakers::default();
    for number in 0..100 {
        key(&breakers, "ONE", &number.to_string());
    }
    let key_breaker = key(&breakers, "ONE", "99");
    assert_eq!(lock(&key_breaker.key.state).secrets.len(), MAX_SECRETS);
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
    assert!(waiting.now_or_never().unwrap().is_err());
    assert_eq!(send(1, &right, Accepted).await, 1);
}
