//! How the lock is kept away, on paused time.

use futures_util::FutureExt;
use tokio::time::advance;

use super::*;
use crate::credentials::Credentials;

async fn sent(lockout: &Lockout, verdict: Verdict) -> bool {
    match lockout.admit().await {
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
    let lockout = Lockout::default();
    let mut failures = 0;
    for _ in 0..1000 {
        failures += u32::from(sent(&lockout, Verdict::Wrong).await);
    }
    assert_eq!(failures, 3);
    for (pause, expected) in [(59, 3), (1, 4), (119, 4), (1, 5), (239, 5)] {
        advance(Duration::from_secs(pause)).await;
        for _ in 0..10 {
            failures += u32::from(sent(&lockout, Verdict::Wrong).await);
        }
        assert_eq!(failures, expected, "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_resets_the_count() {
    let lockout = Lockout::default();
    for _ in 0..10 {
        assert!(sent(&lockout, Verdict::Wrong).await);
        assert!(sent(&lockout, Verdict::Wrong).await);
        assert!(sent(&lockout, Verdict::Unknown).await);
        assert!(sent(&lockout, Verdict::Right).await);
    }
    for _ in 0..3 {
        assert!(sent(&lockout, Verdict::Wrong).await);
    }
    assert!(!sent(&lockout, Verdict::Right).await);
    advance(PAUSE).await;
    assert!(sent(&lockout, Verdict::Right).await);
    assert!(sent(&lockout, Verdict::Right).await);
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_the_gateway_s_counts_at_once_and_an_unknown_outcome_not_at_all() {
    let lockout = Lockout::default();
    for _ in 0..100 {
        assert!(sent(&lockout, Verdict::Unknown).await);
    }
    assert!(sent(&lockout, Verdict::Locked).await);
    assert!(!sent(&lockout, Verdict::Right).await);
    advance(PAUSE).await;
    // A probe without an outcome leaves the next one its place.
    assert!(sent(&lockout, Verdict::Unknown).await);
    assert!(sent(&lockout, Verdict::Right).await);
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_known_of_the_key_no_more_are_under_way_than_may_fail() {
    let lockout = Lockout::default();
    let first: Vec<Pass<'_>> = [
        lockout.admit().await,
        lockout.admit().await,
        lockout.admit().await,
    ]
    .into_iter()
    .map(Result::unwrap)
    .collect();
    let mut waiting = std::pin::pin!(lockout.admit());
    assert!(waiting.as_mut().now_or_never().is_none());
    advance(Duration::from_secs(1)).await;
    assert!(waiting.as_mut().now_or_never().is_none());
    first
        .into_iter()
        .for_each(|pass| pass.settle(Verdict::Wrong));
    assert!(waiting.await.is_err());

    // It does not wait for ever, and not at all once the key is known to be good.
    let lockout = Lockout::default();
    let slow = [
        lockout.admit().await,
        lockout.admit().await,
        lockout.admit().await,
    ];
    let start = Instant::now();
    let later = lockout.admit().await.unwrap();
    assert_eq!(start.elapsed(), PATIENCE);
    later.settle(Verdict::Right);
    assert!(lockout.admit().await.is_ok());
    assert_eq!(start.elapsed(), PATIENCE);
    drop(slow);
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_under_way_when_the_lock_began_do_not_make_it_longer() {
    let lockout = Lockout::default();
    assert!(sent(&lockout, Verdict::Right).await);
    for verdict in [Verdict::Wrong, Verdict::Locked] {
        let mut passes = Vec::new();
        for _ in 0..20 {
            passes.push(lockout.admit().await.unwrap());
        }
        passes.into_iter().for_each(|pass| pass.settle(verdict));
        assert!(lockout.admit().await.is_err());
        advance(PAUSE).await;
        assert!(sent(&lockout, Verdict::Right).await);
    }
    // One answer alone, of a key that was good a moment ago, locks nobody out.
    assert!(sent(&lockout, Verdict::Locked).await);
    assert!(sent(&lockout, Verdict::Right).await);
}

#[tokio::test(start_paused = true)]
async fn a_single_request_that_hangs_makes_room_for_another_one() {
    let lockout = Lockout::default();
    for _ in 0..3 {
        assert!(sent(&lockout, Verdict::Wrong).await);
    }
    advance(PAUSE).await;
    let hangs = lockout.admit().await.unwrap();
    assert!(lockout.admit().await.is_err());
    advance(PROBE).await;
    assert!(sent(&lockout, Verdict::Right).await);
    drop(hangs);
    assert!(sent(&lockout, Verdict::Right).await);
}

#[tokio::test(start_paused = true)]
async fn those_that_have_waited_for_too_long_follow_one_after_the_other() {
    let lockout = Lockout::default();
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(lockout.admit().await.unwrap());
    }
    let start = Instant::now();
    let admit = || async { lockout.admit().await.map(|pass| (pass, start.elapsed())) };
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
async fn sent_of(count: u32, lockout: &Lockout, verdict: Verdict) -> u32 {
    let mut passed = 0;
    for _ in 0..count {
        passed += u32::from(sent(lockout, verdict).await);
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn one_access_key_has_one_breaker_and_never_more_than_five_refusals() {
    let breakers = KeyBreakers::default();
    let of = |access_key, secret| breakers.lockout(&credentials(access_key, secret));
    let (first, again) = (of("ONE", "a"), of("ONE", "a"));
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(sent_of(2, &first, Verdict::Wrong).await, 2);
    assert_eq!(sent_of(10, &again, Verdict::Wrong).await, 1);
    // Another access key is not concerned.
    assert_eq!(sent_of(1, &of("TWO", "a"), Verdict::Right).await, 1);
    // A corrected secret is tried at once, but the access key has two refusals left only.
    let corrected = of("ONE", "b");
    assert_eq!(sent_of(10, &corrected, Verdict::Wrong).await, 2);
    assert_eq!(sent_of(10, &of("ONE", "c"), Verdict::Wrong).await, 0);
    advance(PAUSE).await;
    let third = of("ONE", "c");
    assert_eq!(sent_of(10, &third, Verdict::Right).await, 10);
    // The proof is one of the access key's; the first secret has its own way to go.
    assert_eq!(sent_of(10, &first, Verdict::Wrong).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_set_with_a_wrong_secret_is_not_trusted_because_another_has_the_right_one() {
    let breakers = KeyBreakers::default();
    let right = breakers.lockout(&credentials("ONE", "right"));
    let wrong = breakers.lockout(&credentials("ONE", "wrong"));
    assert!(sent(&right, Verdict::Right).await);
    let mut under_way = Vec::new();
    for _ in 0..3 {
        under_way.push(wrong.admit().await.unwrap());
    }
    let mut waiting = std::pin::pin!(wrong.admit());
    assert!(waiting.as_mut().now_or_never().is_none());
    under_way
        .into_iter()
        .for_each(|pass| pass.settle(Verdict::Wrong));
    assert!(waiting.await.is_err());
    // It goes on with the right one.
    assert!(sent(&right, Verdict::Right).await);
}

#[tokio::test(start_paused = true)]
async fn refused_dates_count_towards_the_five_and_not_towards_the_three() {
    let lockout = Lockout::default();
    assert_eq!(sent_of(10, &lockout, Verdict::Redated).await, 5);
    assert!(lockout.is_refusing());

    let lockout = Lockout::default();
    assert_eq!(sent_of(3, &lockout, Verdict::Redated).await, 3);
    assert_eq!(sent_of(10, &lockout, Verdict::Wrong).await, 2);

    // When the clock jumps under a good key, all requests under way are refused at once.
    let lockout = Lockout::default();
    assert!(sent(&lockout, Verdict::Right).await);
    let mut passes = Vec::new();
    for _ in 0..20 {
        passes.push(lockout.admit().await.unwrap());
    }
    passes
        .into_iter()
        .for_each(|pass| pass.settle(Verdict::Redated));
    assert!(!lockout.is_refusing());
    assert!(sent(&lockout, Verdict::Right).await);
    assert_eq!(sent_of(10, &lockout, Verdict::Redated).await, 5);
}

#[tokio::test(start_paused = true)]
async fn slow_refusals_are_five_at_most() {
    let lockout = Lockout::default();
    let admit = || lockout.admit();
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
        .for_each(|pass| pass.settle(Verdict::Wrong));
    assert!(sixth.await.is_err());
    assert!(start.elapsed() < PROBE);
}

#[tokio::test(start_paused = true)]
async fn unused_keys_are_forgotten_unless_they_were_refused() {
    let breakers = KeyBreakers::default();
    let refused = credentials("REFUSED", "x");
    assert_eq!(
        sent_of(10, &breakers.lockout(&refused), Verdict::Wrong).await,
        3
    );
    for number in 0..1000 {
        drop(breakers.lockout(&credentials(&format!("KEY{number}"), "x")));
    }
    assert!(breakers.len() <= 2, "{}", breakers.len());
    assert!(!sent(&breakers.lockout(&refused), Verdict::Right).await);
    // Even those that were refused do not add up without end.
    for number in 0..1000 {
        let lockout = breakers.lockout(&credentials(&format!("BAD{number}"), "x"));
        assert!(sent(&lockout, Verdict::Wrong).await);
    }
    assert!(breakers.len() < 300, "{}", breakers.len());
}
