//! How the lock is kept away, on paused time.

use tokio::time::advance;

use super::*;

async fn sent(lockout: &Arc<Lockout>, verdict: Verdict) -> bool {
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
    let lockout = Arc::default();
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
    let lockout = Arc::default();
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
    let lockout = Arc::default();
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
    let lockout: Arc<Lockout> = Arc::default();
    let first: Vec<Pass> = [
        lockout.admit().await,
        lockout.admit().await,
        lockout.admit().await,
    ]
    .into_iter()
    .map(Result::unwrap)
    .collect();
    let start = Instant::now();
    let waiting = tokio::spawn({
        let lockout = Arc::clone(&lockout);
        async move { lockout.admit().await.map(|pass| (pass, start.elapsed())) }
    });
    advance(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    first
        .into_iter()
        .for_each(|pass| pass.settle(Verdict::Wrong));
    assert!(waiting.await.unwrap().is_err());

    // It does not wait for ever, and not at all once the key is known to be good.
    let lockout: Arc<Lockout> = Arc::default();
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
