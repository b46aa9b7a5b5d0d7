//! The connection pool of one worker for one origin: idle HTTP/1.1 connections, shared HTTP/2
//! connections, and how many there may be.
//!
//! The connection that was used last is taken first, so that a quiet pool shrinks. From how long a
//! connection had been idle when the gateway closed it, the pool learns the gateway's idle limit,
//! which is documented nowhere, and from then on closes connections before the gateway does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::connection::{ConnectionState, Http1Connection, Http2Connection, SendBody};
use crate::config::PoolConfig;
use crate::error::Error;

/// How long a learned idle limit holds. A gateway that was only restarted closes connections as
/// well.
const LEARNED_FOR: Duration = Duration::from_secs(600);

const MIN_IDLE_LIMIT: Duration = Duration::from_secs(1);

/// From how many requests in flight, per worker, sharing a connection pays. With fewer, HTTP/1.1
/// takes less of the processor: a request over HTTP/2 passes through more tasks. Measured on two
/// cores, both take the same at 8.
const CONCURRENCY_THRESHOLD: usize = 8;

/// The pool.
#[derive(Debug)]
pub(super) struct Pool<B: SendBody> {
    limits: PoolConfig,
    stats: PoolStats,
    /// HTTP/1.1, least recently used first.
    idle: RefCell<Vec<Http1Connection<B>>>,
    http2: RefCell<Vec<Rc<Http2Connection>>>,
    /// Held while a connection is opened to be shared, so that a hundred requests do not open a
    /// hundred.
    pub(super) opening: Semaphore,
    /// After how long the gateway closes idle connections, and when that was seen.
    learned: Cell<Option<(Duration, Instant)>>,
    /// The most requests in flight at once, in the last second and in this one.
    peaks: Cell<(usize, usize)>,
}

impl<B: SendBody> Pool<B> {
    /// A pool with one worker's share of the limits.
    pub(super) fn new(limits: &PoolConfig) -> Self {
        Self {
            limits: limits.clone(),
            stats: PoolStats {
                connections: limits.connections,
                permits: Arc::new(Semaphore::new(limits.connections)),
                idle: Arc::default(),
            },
            idle: RefCell::default(),
            http2: RefCell::default(),
            opening: Semaphore::new(1),
            learned: Cell::default(),
            peaks: Cell::default(),
        }
    }

    /// Acquires a permit for a request. A connection is opened only when none is idle, so permits
    /// bound all of them.
    pub(super) async fn permit(&self, limit: Duration) -> Result<OwnedSemaphorePermit, Error> {
        let permits = || Arc::clone(&self.stats.permits);
        if let Ok(permit) = permits().try_acquire_owned() {
            return Ok(permit);
        }
        let waited = timeout(limit, permits().acquire_owned()).await;
        waited.ok().and_then(Result::ok).ok_or(Error::NoConnection)
    }

    /// True if enough requests are in flight, or were a second ago, for HTTP/2 to pay.
    pub(super) fn is_above_threshold(&self) -> bool {
        let (last, current) = self.peaks.get();
        let current = current.max(self.stats.active());
        self.peaks.set((last, current));
        last.max(current) >= CONCURRENCY_THRESHOLD
    }

    /// Takes the most recently used HTTP/1.1 connection that is still good.
    pub(super) fn take(&self) -> Option<Http1Connection<B>> {
        loop {
            let connection = self.idle.borrow_mut().pop()?;
            self.count_idle();
            if self.may_keep(&connection) {
                return Some(connection);
            }
        }
    }

    /// Keeps an HTTP/1.1 connection for the next request.
    pub(super) fn put(&self, connection: Http1Connection<B>) {
        connection.state.idle_since.set(Instant::now());
        self.idle.borrow_mut().push(connection);
        self.count_idle();
    }

    /// An HTTP/2 connection that can take another request now.
    pub(super) fn shared(&self) -> Option<Rc<Http2Connection>> {
        let http2 = self.http2.borrow();
        let connection = http2.iter().find(|connection| connection.has_room())?;
        connection.state.idle_since.set(Instant::now());
        Some(Rc::clone(connection))
    }

    /// Shares an HTTP/2 connection that was just opened.
    pub(super) fn share(&self, connection: Http2Connection) -> Rc<Http2Connection> {
        let connection = Rc::new(connection);
        self.http2.borrow_mut().push(Rc::clone(&connection));
        connection
    }

    /// Evicts closed, expired and old connections, and begins another second. Connections with
    /// requests end with the last of them.
    pub(super) fn evict(&self) {
        self.peaks.set((self.peaks.get().1, 0));
        self.idle.borrow_mut().retain(|idle| self.may_keep(idle));
        self.http2.borrow_mut().retain(|connection| {
            let (state, is_idle) = (&connection.state, connection.in_flight() == 0);
            if !is_idle && state.ended.get().is_none() {
                state.idle_since.set(Instant::now());
            }
            // One that ended under requests, or with the last of them, was not closed for being
            // idle; they were last seen by the eviction before this one.
            let learns = is_idle && state.idle_until_end() >= 2 * MIN_IDLE_LIMIT;
            !connection.is_unusable.get() && self.is_good(state, is_idle, learns)
        });
        self.count_idle();
    }

    fn may_keep(&self, connection: &Http1Connection<B>) -> bool {
        self.is_good(&connection.state, true, true) && connection.sender.is_ready()
    }

    fn is_good(&self, state: &ConnectionState, is_idle: bool, learns: bool) -> bool {
        if state.ended.get().is_some() {
            if learns {
                self.learn(state.idle_until_end());
            }
            return false;
        }
        let is_expired = is_idle && state.idle_since.get().elapsed() >= self.idle_limit();
        !is_expired && state.opened.elapsed() < self.limits.age
    }

    /// How long a connection may be idle now.
    pub(super) fn idle_limit(&self) -> Duration {
        match self.learned.get() {
            Some((limit, at)) if at.elapsed() < LEARNED_FOR => limit.min(self.limits.idle),
            _ => self.limits.idle,
        }
    }

    /// Learns from a connection that the gateway closed after it had been idle for so long.
    fn learn(&self, idle: Duration) {
        let limit = (idle * 3 / 4).max(MIN_IDLE_LIMIT);
        if limit < self.idle_limit() {
            tracing::debug!(?limit, "the gateway closes idle connections earlier");
            self.learned.set(Some((limit, Instant::now())));
        }
    }

    fn count_idle(&self) {
        let http2 = self.http2.borrow();
        let idle = http2.iter().filter(|shared| shared.in_flight() == 0);
        let count = self.idle.borrow().len() + idle.count();
        self.stats.idle.store(count, Ordering::Relaxed);
    }

    /// Its statistics, which any thread may read.
    pub(super) fn stats(&self) -> PoolStats {
        self.stats.clone()
    }
}

/// How many connections a pool has, for any thread.
#[derive(Clone, Debug)]
pub(crate) struct PoolStats {
    connections: usize,
    permits: Arc<Semaphore>,
    idle: Arc<AtomicUsize>,
}

impl PoolStats {
    /// Connections that carry no request.
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Requests that have a connection, or wait for one to be opened.
    pub(crate) fn active(&self) -> usize {
        self.connections
            .saturating_sub(self.permits.available_permits())
    }
}
