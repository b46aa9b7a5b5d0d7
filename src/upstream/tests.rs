//! The pool, with a clock that the test moves. How requests go out and fail is tested with the proxy.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{Instant, advance};
use tokio_util::either::Either;

use super::connection::{Http1Connection, Http2Support};
use super::pool::Pool;
use crate::config::PoolConfig;
use crate::error::Cause;

type TestBody = Pin<Box<dyn Body<Data = Bytes, Error = Cause>>>;

const POOL: PoolConfig = PoolConfig {
    connections: 9,
    idle: Duration::from_secs(50),
    age: Duration::from_secs(600),
    http2: true,
};

async fn connection(gateway: &TcpListener) -> Http1Connection<TestBody> {
    let tcp = TcpStream::connect(gateway.local_addr().unwrap()).await;
    let connection = Http1Connection::start(Either::Left(tcp.unwrap()), 256 * 1024).await;
    tokio::task::yield_now().await;
    connection.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_until_it_was_idle_for_too_long_or_is_too_old() {
    let test = async {
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(&POOL);
        let (first, second) = (connection(&gateway).await, connection(&gateway).await);
        let last = Rc::clone(&second.state);
        pool.put(first);
        pool.put(second);
        assert_eq!(pool.stats().idle(), 2);
        for _ in 0..12 {
            advance(Duration::from_secs(49)).await;
            let taken = pool.take().unwrap();
            assert!(Rc::ptr_eq(&taken.state, &last), "last in, first out");
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
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
    let until = Http2Support::Unusable(Instant::now() + Duration::from_secs(60));
    advance(Duration::from_millis(59_999)).await;
    assert!(!until.is_possible() && !until.is_likely());
    advance(Duration::from_millis(1)).await;
    assert!(until.is_possible() && until.is_likely());
    assert!(Http2Support::Declined.is_possible() && !Http2Support::Declined.is_likely());
}
