//! The pool, with a clock that the test moves.

use tokio::time::advance;

use super::*;

async fn connection(gateway: &Gateway) -> Http1Connection<TestBody> {
    let connection = Http1Connection::start(gateway.dial().await, LIMITS).await;
    tokio::task::yield_now().await;
    connection.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_until_it_was_idle_for_too_long_or_is_too_old() {
    let test = async {
        let gateway = Gateway::new().await;
        let pool = Pool::new(&POOL);
        pool.put(connection(&gateway).await);
        for _ in 0..12 {
            advance(Duration::from_secs(49)).await;
            let taken = pool.take().unwrap();
            pool.put(taken);
        }
        // 12 times 49 seconds, and then 20 more.
        advance(Duration::from_secs(20)).await;
        assert!(pool.take().is_none());
        pool.put(connection(&gateway).await);
        advance(Duration::from_secs(50)).await;
        pool.evict();
        assert_eq!(pool.stats().idle(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn the_gateway_s_idle_limit_is_learned_exactly_and_forgotten_after_a_while() {
    let test = async {
        let gateway = Gateway::new().await;
        let pool = Pool::new(&POOL);
        for (idle, limit) in [(20, 15), (40, 15), (0, 1)] {
            let closed = connection(&gateway).await;
            let state = Rc::clone(&closed.state);
            pool.put(closed);
            advance(Duration::from_secs(idle)).await;
            state.ended.set(Some(Instant::now()));
            // It is noticed later, and that does not matter.
            advance(Duration::from_secs(5)).await;
            pool.evict();
            assert_eq!(pool.idle_limit(), Duration::from_secs(limit));
        }
        pool.put(connection(&gateway).await);
        advance(Duration::from_secs(1)).await;
        assert!(pool.take().is_none());
        advance(Duration::from_secs(600)).await;
        assert_eq!(pool.idle_limit(), POOL.idle);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn concurrency_counts_until_a_whole_second_was_below_the_threshold() {
    let pool = Pool::<TestBody>::new(&POOL);
    let mut permits = Vec::new();
    for number in 1..=8 {
        permits.push(pool.permit(Duration::ZERO).await.unwrap());
        assert_eq!(pool.is_above_threshold(), number == 8);
    }
    permits.clear();
    pool.evict();
    assert!(pool.is_above_threshold());
    pool.evict();
    assert!(!pool.is_above_threshold());
}

#[tokio::test(start_paused = true)]
async fn http2_is_offered_again_a_while_after_the_gateway_did_not_begin_with_it() {
    let failed = Http2Support::Failed(Instant::now());
    advance(Duration::from_millis(59_999)).await;
    assert!(!failed.is_possible() && !failed.is_likely());
    advance(Duration::from_millis(1)).await;
    assert!(failed.is_possible() && failed.is_likely());
    let required = Http2Support::Http1Required(Instant::now());
    advance(Duration::from_secs(599)).await;
    assert!(!required.is_possible());
    advance(Duration::from_secs(1)).await;
    assert!(required.is_possible());
    assert!(Http2Support::Declined.is_possible() && !Http2Support::Declined.is_likely());
}
