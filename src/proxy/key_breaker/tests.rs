//! How the lock is kept away, on paused time.

use futures_util::FutureExt;
use tokio::time::advance;

use super::*;
use crate::credentials::Credentials;

async fn sent(key_breaker: &KeyBreaker, verdict: SignatureOutcome) -> bool {
    match key_breaker.permit().await {
        Ok(pass) => {
            pass.settle(verdict);
            true
        }
        Err(error) => {
            assert_eq!(error.answer().code, "key_locked");
            false
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_nothing_is_sent_but_single_requests_ever_more_rarely() {
    let key_breaker = KeyBreaker::default();
    let mut failures = 0;
    for _ in 0..1000 {
        failures += u32::from(sent(&key_breaker, SignatureOutcome::Rejected).await);
    }
    assert_eq!(failures, 3);
    for (pause, expected) in [(59, 3), (1, 4), (119, 4), (1, 5), (239, 5)] {
        advance(Duration::from_secs(pause)).await;
        for _ in 0..10 {
            failures += u32::from(sent(&key_breaker, SignatureOutcome::Rejected).await);
        }
        assert_eq!(failures, expected, "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_resets_the_count() {
    let key_breaker = KeyBreaker::default();
    for _ in 0..10 {
        assert!(sent(&key_breaker, SignatureOutcome::Rejected).await);
        assert!(sent(&key_breaker, SignatureOutcome::Rejected).await);
        assert!(sent(&key_breaker, SignatureOutcome::Unknown).await);
        assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    }
    for _ in 0..3 {
        assert!(sent(&key_breaker, SignatureOutcome::Rejected).await);
    }
    assert!(!sent(&key_breaker, SignatureOutcome::Accepted).await);
    advance(PAUSE).await;
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_the_gateway_s_counts_at_once_and_an_unknown_outcome_not_at_all() {
    let key_breaker = KeyBreaker::default();
    for _ in 0..100 {
        assert!(sent(&key_breaker, SignatureOutcome::Unknown).await);
    }
    assert!(sent(&key_breaker, SignatureOutcome::Locked).await);
    assert!(!sent(&key_breaker, SignatureOutcome::Accepted).await);
    advance(PAUSE).await;
    // A probe without an outcome leaves the next one its place.
    assert!(sent(&key_breaker, SignatureOutcome::Unknown).await);
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_known_of_the_key_no_more_are_under_way_than_may_fail() {
    let key_breaker = KeyBreaker::default();
    let first: Vec<Permit<'_>> = [
        key_breaker.permit().await,
        key_breaker.permit().await,
        key_breaker.permit().await,
    ]
    .into_iter()
    .map(Result::unwrap)
    .collect();
    let mut waiting = std::pin::pin!(key_breaker.permit());
    assert!(waiting.as_mut().now_or_never().is_none());
    advance(Duration::from_secs(1)).await;
    assert!(waiting.as_mut().now_or_never().is_none());
    first
        .into_iter()
        .for_each(|pass| pass.settle(SignatureOutcome::Rejected));
    assert!(waiting.await.is_err());

    // It does not wait for ever, and not at all once the key is known to be good.
    let key_breaker = KeyBreaker::default();
    let slow = [
        key_breaker.permit().await,
        key_breaker.permit().await,
        key_breaker.permit().await,
    ];
    let start = Instant::now();
    let later = key_breaker.permit().await.unwrap();
    assert_eq!(start.elapsed(), PATIENCE);
    later.settle(SignatureOutcome::Accepted);
    assert!(key_breaker.permit().await.is_ok());
    assert_eq!(start.elapsed(), PATIENCE);
    drop(slow);
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_under_way_when_the_lock_began_do_not_make_it_longer() {
    let key_breaker = KeyBreaker::default();
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    for verdict in [SignatureOutcome::Rejected, SignatureOutcome::Locked] {
        let mut passes = Vec::new();
        for _ in 0..20 {
            passes.push(key_breaker.permit().await.unwrap());
        }
        passes.into_iter().for_each(|pass| pass.settle(verdict));
        assert!(key_breaker.permit().await.is_err());
        advance(PAUSE).await;
        assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    }
    // One answer alone, of a key that was good a moment ago, locks nobody out.
    assert!(sent(&key_breaker, SignatureOutcome::Locked).await);
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
}

#[tokio::test(start_paused = true)]
async fn a_single_request_that_hangs_makes_room_for_another_one() {
    let key_breaker = KeyBreaker::default();
    for _ in 0..3 {
        assert!(sent(&key_breaker, SignatureOutcome::Rejected).await);
    }
    advance(PAUSE).await;
    let hangs = key_breaker.permit().await.unwrap();
    assert!(key_breaker.permit().await.is_err());
    advance(PROBE).await;
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    drop(hangs);
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
}

#[tokio::test(start_paused = true)]
async fn those_that_have_waited_for_too_long_follow_one_after_the_other() {
    let key_breaker = KeyBreaker::default();
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(key_breaker.permit().await.unwrap());
    }
    let start = Instant::now();
    let admit = || async {
        key_breaker
            .permit()
            .await
            .map(|pass| (pass, start.elapsed()))
    };
    let (one, two, three) = tokio::join!(admit(), admit(), admit());
    let mut times = [one, two, three].map(|admitted| admitted.unwrap().1);
    times.sort();
    assert_eq!(times[0], PATIENCE);
    assert!(
        times[1] >= PATIENCE + GAP && times[2] >= times[1] + GAP,
        "{times:?}"
    );
}

fn credentials(access_key: &str, secret: &str) -> Credentials {
    Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret.into(),
        security_token: None,
    }
}

/// How many of so many requests were sent, each with this outcome.
async fn sent_of(count: u32, key_breaker: &KeyBreaker, verdict: SignatureOutcome) -> u32 {
    let mut passed = 0;
    for _ in 0..count {
        passed += u32::from(sent(key_breaker, verdict).await);
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn one_access_key_has_one_breaker_and_never_more_than_five_refusals() {
    let breakers = KeyBreakers::default();
    let of = |access_key, secret| breakers.key_breaker(&credentials(access_key, secret));
    let (first, again) = (of("ONE", "a"), of("ONE", "a"));
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(sent_of(2, &first, SignatureOutcome::Rejected).await, 2);
    assert_eq!(sent_of(10, &again, SignatureOutcome::Rejected).await, 1);
    // Another access key is not concerned.
    assert_eq!(
        sent_of(1, &of("TWO", "a"), SignatureOutcome::Accepted).await,
        1
    );
    // A corrected secret is tried at once, but the access key has two refusals left only.
    let corrected = of("ONE", "b");
    assert_eq!(sent_of(10, &corrected, SignatureOutcome::Rejected).await, 2);
    assert_eq!(
        sent_of(10, &of("ONE", "c"), SignatureOutcome::Rejected).await,
        0
    );
    advance(PAUSE).await;
    let third = of("ONE", "c");
    assert_eq!(sent_of(10, &third, SignatureOutcome::Accepted).await, 10);
    // The proof is one of the access key's; the first secret has its own way to go.
    assert_eq!(sent_of(10, &first, SignatureOutcome::Rejected).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_set_with_a_wrong_secret_is_not_trusted_because_another_has_the_right_one() {
    let breakers = KeyBreakers::default();
    let right = breakers.key_breaker(&credentials("ONE", "right"));
    let wrong = breakers.key_breaker(&credentials("ONE", "wrong"));
    assert!(sent(&right, SignatureOutcome::Accepted).await);
    let mut under_way = Vec::new();
    for _ in 0..3 {
        under_way.push(wrong.permit().await.unwrap());
    }
    let mut waiting = std::pin::pin!(wrong.permit());
    assert!(waiting.as_mut().now_or_never().is_none());
    under_way
        .into_iter()
        .for_each(|pass| pass.settle(SignatureOutcome::Rejected));
    assert!(waiting.await.is_err());
    // It goes on with the right one.
    assert!(sent(&right, SignatureOutcome::Accepted).await);
}

#[tokio::test(start_paused = true)]
async fn refused_dates_count_towards_the_five_and_not_towards_the_three() {
    let key_breaker = KeyBreaker::default();
    assert_eq!(
        sent_of(10, &key_breaker, SignatureOutcome::Redated).await,
        5
    );
    assert!(key_breaker.is_refusing());

    let key_breaker = KeyBreaker::default();
    assert_eq!(sent_of(3, &key_breaker, SignatureOutcome::Redated).await, 3);
    assert_eq!(
        sent_of(10, &key_breaker, SignatureOutcome::Rejected).await,
        2
    );

    // When the clock jumps under a good key, all requests under way are refused at once.
    let key_breaker = KeyBreaker::default();
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    let mut passes = Vec::new();
    for _ in 0..20 {
        passes.push(key_breaker.permit().await.unwrap());
    }
    passes
        .into_iter()
        .for_each(|pass| pass.settle(SignatureOutcome::Redated));
    assert!(!key_breaker.is_refusing());
    assert!(sent(&key_breaker, SignatureOutcome::Accepted).await);
    assert_eq!(
        sent_of(10, &key_breaker, SignatureOutcome::Redated).await,
        5
    );
}

#[tokio::test(start_paused = true)]
async fn slow_refusals_are_five_at_most() {
    let key_breaker = KeyBreaker::default();
    let admit = || key_breaker.permit();
    let mut under_way = Vec::new();
    for _ in 0..5 {
        under_way.push(admit().await.unwrap());
    }
    let start = Instant::now();
    let mut sixth = std::pin::pin!(admit());
    advance(PROBE - Duration::from_secs(1)).await;
    assert!(sixth.as_mut().now_or_never().is_none());
    under_way
        .into_iter()
        .for_each(|pass| pass.settle(SignatureOutcome::Rejected));
    assert!(sixth.await.is_err());
    assert!(start.elapsed() < PROBE);
}

#[tokio::test(start_paused = true)]
async fn unused_keys_are_forgotten_unless_they_were_refused() {
    let breakers = KeyBreakers::default();
    let refused = credentials("REFUSED", "x");
    assert_eq!(
        sent_of(
            10,
            &breakers.key_breaker(&refused),
            SignatureOutcome::Rejected
        )
        .await,
        3
    );
    for number in 0..1000 {
        drop(breakers.key_breaker(&credentials(&format!("KEY{number}"), "x")));
    }
    assert!(breakers.len() <= 2, "{}", breakers.len());
    assert!(!sent(&breakers.key_breaker(&refused), SignatureOutcome::Accepted).await);
    // Even those that were refused do not add up without end.
    for number in 0..1000 {
        let key_breaker = breakers.key_breaker(&credentials(&format!("BAD{number}"), "x"));
        assert!(sent(&key_breaker, SignatureOutcome::Rejected).await);
    }
    assert!(breakers.len() < 300, "{}", breakers.len());
}
