//! Connections to one origin: the idle ones, and how many there may be.
//!
//! The one used last is taken first, so that a quiet pool shrinks. Idle connections are watched, and one
//! that the gateway closes is dropped then and there. From how long it had been idle the pool learns the
//! gateway's own limit, which is documented nowhere, and from then on lets go before the gateway does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::connect::Opened;
use super::occupancy::Occupancy;

/// How long what was learned of the gateway's limit is relied upon. A gateway that was only restarted
/// closes connections as well.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The shortest limit that is learned.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

/// What one worker's share of the pool's bounds is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) idle: Duration,
    pub(super) age: Duration,
    pub(super) warm: usize,
}

/// Connections to one origin, of one worker.
#[derive(Debug)]
pub(super) struct Pool {
    bounds: Bounds,
    /// Least recently used first.
    idle: RefCell<VecDeque<Idle>>,
    /// One for each connection that carries a request. A connection is opened only when none is idle, so
    /// this bounds all of them.
    slots: Arc<Semaphore>,
    /// How many are idle, for other threads.
    idle_count: Arc<AtomicUsize>,
    /// After how long the gateway closes idle connections, as far as it was seen, and when it was.
    learned: Cell<Option<(Duration, Instant)>>,
    /// How many connections that can be shared carry nothing.
    shared: Cell<usize>,
}

#[derive(Debug)]
struct Idle {
    opened: Opened,
    since: Instant,
}

/// What became of an idle connection.
enum Condition {
    Good,
    /// It was idle for too long, or is too old.
    Spent,
    /// The gateway has closed it, or has sent something that nobody asked for.
    Closed,
}

impl Pool {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            idle: RefCell::default(),
            slots: Arc::new(Semaphore::new(bounds.connections)),
            idle_count: Arc::default(),
            learned: Cell::default(),
            shared: Cell::default(),
        }
    }

    /// What a request needs to use a connection, given back when it is dropped.
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots)
    }

    /// How many requests there are.
    pub(super) fn active(&self) -> usize {
        self.bounds
            .connections
            .saturating_sub(self.slots.available_permits())
    }

    /// How many connections there are, to be asked for by any thread.
    pub(super) fn occupancy(&self) -> Occupancy {
        Occupancy::new(self.bounds.connections, &self.slots, &self.idle_count)
    }

    /// The most recently used connection that is still good.
    pub(super) fn take(&self) -> Option<Opened> {
        let mut cx = Context::from_waker(Waker::noop());
        let limit = self.idle_limit();
        while let Some(mut idle) = self.pop() {
            match idle.condition(limit, self.bounds.age, &mut cx) {
                Condition::Good => return Some(idle.opened),
                Condition::Spent => {}
                Condition::Closed => self.learn(idle.since.elapsed()),
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, mut opened: Opened) {
        if opened.at.elapsed() < self.bounds.age {
            opened.wire.rest();
            let since = Instant::now();
            self.idle.borrow_mut().push_back(Idle { opened, since });
            self.count_idle();
        }
    }

    /// Drops what is no longer good, and wakes `cx` when the gateway closes one of the others.
    pub(super) fn sweep(&self, cx: &mut Context<'_>) {
        let limit = self.idle_limit();
        let mut closed = Vec::new();
        self.idle.borrow_mut().retain_mut(|idle| {
            match idle.condition(limit, self.bounds.age, cx) {
                Condition::Good => {
                    // Looking for its end has made room for reading.
                    idle.opened.wire.rest();
                    return true;
                }
                Condition::Spent => {}
                Condition::Closed => closed.push(idle.since.elapsed()),
            }
            false
        });
        self.count_idle();
        closed.into_iter().for_each(|idle| self.learn(idle));
    }

    /// A slot for one more connection, if there are too few that are ready.
    pub(super) fn wants_warm(&self) -> Option<OwnedSemaphorePermit> {
        let idle = self.idle.borrow().len();
        if idle + self.occupancy().active() >= self.bounds.warm {
            return None;
        }
        self.slots().try_acquire_owned().ok()
    }

    fn pop(&self) -> Option<Idle> {
        let idle = self.idle.borrow_mut().pop_back();
        self.count_idle();
        idle
    }

    fn count_idle(&self) {
        let count = self.idle.borrow().len() + self.shared.get();
        self.idle_count.store(count, Ordering::Relaxed);
    }

    /// Takes note of how many connections that can be shared carry nothing.
    pub(super) fn count_shared(&self, count: usize) {
        self.shared.set(count);
        self.count_idle();
    }

    /// How long a connection may be idle now.
    pub(super) fn idle_limit(&self) -> Duration {
        match self.learned.get() {
            Some((limit, at)) if at.elapsed() < REMEMBERED => limit.min(self.bounds.idle),
            _ => self.bounds.idle,
        }
    }

    /// Takes note that the gateway closed a connection which had been idle for so long.
    pub(super) fn learn(&self, idle: Duration) {
        let limit = (idle * 3 / 4).max(SHORTEST);
        if limit < self.idle_limit() {
            tracing::debug!(
                ?idle,
                ?limit,
                "the gateway closes idle connections; the proxy will do so earlier"
            );
            self.learned.set(Some((limit, Instant::now())));
        }
    }
}

impl Idle {
    fn condition(&mut self, limit: Duration, age: Duration, cx: &mut Context<'_>) -> Condition {
        if self.since.elapsed() >= limit || self.opened.at.elapsed() >= age {
            return Condition::Spent;
        }
        // A task that has done much already would be told to wait, which must not pass for being open.
        let wire = &mut self.opened.wire;
        let filled = pin!(unconstrained(poll_fn(|cx| wire.poll_fill(cx)))).poll(cx);
        match filled {
            Poll::Pending => Condition::Good,
            Poll::Ready(_) => Condition::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::advance;

    use super::*;
    use crate::http1::Wire;

    const BOUNDS: Bounds = Bounds {
        connections: 8,
        idle: Duration::from_secs(50),
        age: Duration::from_secs(600),
        warm: 2,
    };

    fn opened() -> (Opened, DuplexStream) {
        let (near, far) = duplex(64);
        let opened = Opened {
            wire: Wire::new(near),
            at: Instant::now(),
        };
        (opened, far)
    }

    fn sweep(pool: &Pool) -> usize {
        pool.sweep(&mut Context::from_waker(Waker::noop()));
        pool.idle.borrow().len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_until_it_was_idle_for_too_long_or_is_too_old() {
        let pool = Pool::new(BOUNDS);
        let (connection, _far) = opened();
        pool.put(connection);
        advance(Duration::from_secs(49)).await;
        let mut connection = pool.take().unwrap();
        for _ in 0..11 {
            pool.put(connection);
            advance(Duration::from_secs(49)).await;
            connection = pool.take().unwrap();
        }
        pool.put(connection);
        // 12 times 49 seconds, and then 20 more.
        advance(Duration::from_secs(20)).await;
        assert!(pool.take().is_none());
        let (connection, _far) = opened();
        pool.put(connection);
        advance(Duration::from_secs(50)).await;
        assert_eq!(sweep(&pool), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_gateway_s_limit_is_learned_and_forgotten_after_a_while() {
        let pool = Pool::new(BOUNDS);
        let (connection, far) = opened();
        pool.put(connection);
        advance(Duration::from_secs(20)).await;
        assert_eq!(sweep(&pool), 1);
        drop(far);
        assert_eq!(sweep(&pool), 0);
        assert_eq!(pool.idle_limit(), Duration::from_secs(15));
        // A longer time says nothing new.
        pool.learn(Duration::from_secs(40));
        assert_eq!(pool.idle_limit(), Duration::from_secs(15));
        let (connection, _far) = opened();
        pool.put(connection);
        advance(Duration::from_secs(15)).await;
        assert!(pool.take().is_none());
        pool.learn(Duration::ZERO);
        assert_eq!(pool.idle_limit(), SHORTEST);
        advance(REMEMBERED).await;
        assert_eq!(pool.idle_limit(), BOUNDS.idle);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_or_spoken_on_is_not_taken() {
        let pool = Pool::new(BOUNDS);
        let (good, _far) = opened();
        let (closed, far) = opened();
        drop(far);
        let (spoken, mut far) = opened();
        far.write_all(b"HTTP/1.1 408 Timeout\r\n\r\n")
            .await
            .unwrap();
        for connection in [good, closed, spoken] {
            pool.put(connection);
        }
        assert!(pool.take().is_some() && pool.take().is_none());
    }

    #[tokio::test]
    async fn a_closed_connection_is_not_taken_by_a_task_that_has_done_much_already() {
        let pool = Pool::new(BOUNDS);
        let (closed, far) = opened();
        drop(far);
        pool.put(closed);
        let taken = poll_fn(|cx| {
            // All that a task may do at once.
            while let Poll::Ready(step) = tokio::task::coop::poll_proceed(cx) {
                step.made_progress();
            }
            Poll::Ready(pool.take())
        });
        assert!(taken.await.is_none());
    }

    #[tokio::test]
    async fn connections_are_wanted_while_too_few_are_ready() {
        let pool = Pool::new(BOUNDS);
        let (connection, _far) = opened();
        let active = pool.slots().try_acquire_owned().unwrap();
        assert!(pool.wants_warm().is_some());
        pool.put(connection);
        assert!(pool.wants_warm().is_none());
        drop(active);
        assert!(pool.wants_warm().is_some());
    }
}
