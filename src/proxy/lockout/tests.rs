//! How the lock is kept away, on paused time.

use futures_util::FutureExt;
use tokio::time::advance;

use super::*;

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
