//! The connection pool of one worker for one origin: idle HTTP/1.1 connections, and how many connections there may
//! be.
//!
//! The connection that was used last is taken first, so that a quiet pool shrinks. From how long a connection
//! had been idle when the gateway closed it, the pool learns the gateway's idle limit, which is documented
//! nowhere, and from then on closes connections before the gateway does.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::Error;

/// How long a learned idle limit holds. A gateway that was only restarted closes connections as well.
const LEARNED_FOR: Duration = Duration::from_secs(600);

/// The shortest idle limit that is learned.
pub(super) const MIN_IDLE_LIMIT: Duration = Duration::from_secs(1);

/// One worker's share of the limits of `[pool]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolLimits {
    pub(super) connections: usize,
    pub(super) idle: Duration,
    pub(super) age: Duration,
}

/// A connection that can be kept for the next request. Dropping it closes it.
pub(super) trait Pooled {
    /// When it was opened.
    fn opened(&self) -> Instant;
    /// When the gateway closed it, or sent something that was not asked for.
    fn ended(&self) -> Option<Instant>;
    /// Whether it can carry another request now.
    fn is_ready(&self) -> bool;
    /// Called when it is taken for another request.
    fn taken(&mut self);
}

/// The pool.
#[derive(Debug)]
pub(super) struct Pool<C> {
    limits: PoolLimits,
    /// Least recently used first.
    idle: RefCell<Vec<Idle<C>>>,
    /// One permit for each request. A connection is opened only when none is idle, so this bounds all of
    /// them.
    permits: Arc<Semaphore>,
    /// After how long the gateway closes idle connections, and when that was seen.
    learned: Cell<Option<(Duration, Instant)>>,
    idle_count: Arc<AtomicUsize>,
    /// How many HTTP/2 connections carry no request.
    idle_http2: Cell<usize>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Instant,
}

impl<C: Pooled> Pool<C> {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            idle: RefCell::default(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            learned: Cell::default(),
            idle_count: Arc::default(),
            idle_http2: Cell::default(),
        }
    }

    /// Acquires a permit for a request.
    ///
    /// # Errors
    ///
    /// [`Error::NoConnection`] if none is free within `limit`.
    pub(super) async fn permit(&self, limit: Duration) -> Result<OwnedSemaphorePermit, Error> {
        let permits = || Arc::clone(&self.permits);
        if let Ok(permit) = permits().try_acquire_owned() {
            return Ok(permit);
        }
        match timeout(limit, permits().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::NoConnection),
        }
    }

    /// How many requests hold a permit.
    pub(super) fn in_flight(&self) -> usize {
        let free = self.permits.available_permits();
        self.limits.connections.saturating_sub(free)
    }

    /// Takes the most recently used connection that is still good.
    pub(super) fn take(&self) -> Option<C> {
        let limit = self.idle_limit();
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            self.count_idle();
            if self.is_good(&idle, limit) {
                idle.connection.taken();
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, connection: C) {
        if connection.opened().elapsed() < self.limits.age {
            let since = Instant::now();
            self.idle.borrow_mut().push(Idle { connection, since });
            self.count_idle();
        }
    }

    /// Evicts closed, expired and old connections.
    pub(super) fn evict(&self, idle_http2: usize) {
        let limit = self.idle_limit();
        self.idle
            .borrow_mut()
            .retain(|idle| self.is_good(idle, limit));
        self.idle_http2.set(idle_http2);
        self.count_idle();
    }

    fn is_good(&self, idle: &Idle<C>, limit: Duration) -> bool {
        if let Some(ended) = idle.connection.ended() {
            self.learn(ended.saturating_duration_since(idle.since));
            return false;
        }
        idle.connection.is_ready()
            && idle.since.elapsed() < limit
            && idle.connection.opened().elapsed() < self.limits.age
    }

    /// How long a connection may be idle now.
    pub(super) fn idle_limit(&self) -> Duration {
        match self.learned.get() {
            Some((limit, at)) if at.elapsed() < LEARNED_FOR => limit.min(self.limits.idle),
            _ => self.limits.idle,
        }
    }

    /// How old a connection may become.
    pub(super) fn max_age(&self) -> Duration {
        self.limits.age
    }

    /// Learns from a connection that the gateway closed after it had been idle for so long.
    pub(super) fn learn(&self, idle: Duration) {
        let limit = (idle * 3 / 4).max(MIN_IDLE_LIMIT);
        if limit < self.idle_limit() {
            tracing::debug!(
                ?idle,
                ?limit,
                "the gateway closes idle connections; the proxy will do so earlier"
            );
            self.learned.set(Some((limit, Instant::now())));
        }
    }

    fn count_idle(&self) {
        let count = self.idle.borrow().len() + self.idle_http2.get();
        self.idle_count.store(count, Ordering::Relaxed);
    }

    /// Its statistics, which any thread may read.
    pub(super) fn stats(&self) -> PoolStats {
        PoolStats {
            connections: self.limits.connections,
            permits: Arc::clone(&self.permits),
            idle: Arc::clone(&self.idle_count),
        }
    }
}

/// How many connections a pool has, for any thread.
#[derive(Clone, Debug)]
pub struct PoolStats {
    connections: usize,
    permits: Arc<Semaphore>,
    idle: Arc<AtomicUsize>,
}

impl PoolStats {
    /// Connections that carry no request.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Requests that have a connection, or wait for one to be opened.
    #[must_use]
    pub fn active(&self) -> usize {
        self.connections
            .saturating_sub(self.permits.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::time::advance;

    use super::*;

    const LIMITS: PoolLimits = PoolLimits {
        connections: 2,
        idle: Duration::from_secs(50),
        age: Duration::from_secs(600),
    };

    struct Fake {
        name: u8,
        opened: Instant,
        ended: Rc<Cell<Option<Instant>>>,
        is_ready: bool,
        taken: usize,
    }

    impl Pooled for Fake {
        fn opened(&self) -> Instant {
            self.opened
        }

        fn ended(&self) -> Option<Instant> {
            self.ended.get()
        }

        fn is_ready(&self) -> bool {
            self.is_ready
        }

        fn taken(&mut self) {
            self.taken += 1;
        }
    }

    fn connection(name: u8) -> Fake {
        Fake {
            name,
            opened: Instant::now(),
            ended: Rc::default(),
            is_ready: true,
            taken: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_used_last_is_taken_first_and_knows_that_it_is_reused() {
        let pool = Pool::new(LIMITS);
        pool.put(connection(1));
        pool.put(connection(2));
        assert_eq!(pool.stats().idle(), 2);
        let taken = pool.take().unwrap();
        assert_eq!((taken.name, taken.taken), (2, 1));
        assert_eq!(pool.take().unwrap().name, 1);
        assert!(pool.take().is_none());
        assert_eq!(pool.stats().idle(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_until_it_was_idle_for_too_long_or_is_too_old() {
        let pool = Pool::new(LIMITS);
        pool.put(connection(1));
        for _ in 0..12 {
            advance(Duration::from_secs(49)).await;
            let taken = pool.take().unwrap();
            pool.put(taken);
        }
        // 12 times 49 seconds, and then 20 more.
        advance(Duration::from_secs(20)).await;
        assert!(pool.take().is_none());
        pool.put(connection(2));
        advance(Duration::from_secs(50)).await;
        pool.evict(0);
        assert_eq!(pool.stats().idle(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_gateway_s_idle_limit_is_learned_exactly_and_forgotten_after_a_while() {
        let pool = Pool::new(LIMITS);
        let closed = connection(1);
        let ended = Rc::clone(&closed.ended);
        pool.put(closed);
        advance(Duration::from_secs(20)).await;
        ended.set(Some(Instant::now()));
        // It is noticed later, and that does not matter.
        advance(Duration::from_secs(5)).await;
        pool.evict(0);
        assert_eq!(pool.idle_limit(), Duration::from_secs(15));
        pool.learn(Duration::from_secs(40));
        assert_eq!(pool.idle_limit(), Duration::from_secs(15));
        pool.put(connection(2));
        advance(Duration::from_secs(15)).await;
        assert!(pool.take().is_none());
        pool.learn(Duration::ZERO);
        assert_eq!(pool.idle_limit(), MIN_IDLE_LIMIT);
        advance(LEARNED_FOR).await;
        assert_eq!(pool.idle_limit(), LIMITS.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_ready_is_closed() {
        let pool = Pool::new(LIMITS);
        pool.put(Fake {
            is_ready: false,
            ..connection(1)
        });
        assert!(pool.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_waited_for_and_counted() {
        let pool = Pool::<Fake>::new(LIMITS);
        let limit = Duration::from_secs(1);
        let first = pool.permit(limit).await.unwrap();
        let _second = pool.permit(limit).await.unwrap();
        assert_eq!((pool.in_flight(), pool.stats().active()), (2, 2));
        assert!(matches!(pool.permit(limit).await, Err(Error::NoConnection)));
        drop(first);
        assert!(pool.permit(limit).await.is_ok());
    }
}
