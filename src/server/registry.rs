//! All connections of one worker. A sweep once a second closes those that take too long, and the
//! connections that have been idle longest make room for others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tracked::{CloseReason, FIRST_REQUEST, IdleLimits, Phase, Tracked};

/// The longest time between two sweeps.
const SWEEP: Duration = Duration::from_secs(1);

/// How a server is told to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Drain {
    /// A stop was announced: answers carry `Connection: close`, idle connections are still served.
    pub(super) soon: CancellationToken,
    /// Idle connections are closed, and the others after their current requests.
    pub(super) now: CancellationToken,
}

/// All connections of one worker.
#[derive(Debug)]
pub(super) struct Registry {
    /// By the order in which they were accepted.
    connections: RefCell<BTreeMap<u64, Rc<Tracked>>>,
    accepted: Cell<u64>,
    limits: Cell<IdleLimits>,
    draining: Rc<Cell<bool>>,
    stopping: Rc<Cell<bool>>,
}

impl Registry {
    pub(super) fn new(limits: IdleLimits) -> Self {
        Self {
            connections: RefCell::default(),
            accepted: Cell::new(0),
            limits: Cell::new(limits),
            draining: Rc::default(),
            stopping: Rc::default(),
        }
    }

    /// Applies other limits from now on, also to open connections.
    pub(super) fn set_limits(&self, limits: IdleLimits) {
        self.limits.set(limits);
    }

    /// True as soon as a stop was announced.
    pub(super) fn draining(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.draining)
    }

    /// Tracks a connection that was just accepted, until the registration is dropped.
    pub(super) fn register(self: &Rc<Self>) -> Registration {
        let id = self.accepted.get();
        self.accepted.set(id + 1);
        let tracked = Rc::new(Tracked::new(Rc::clone(&self.stopping)));
        let mut connections = self.connections.borrow_mut();
        connections.insert(id, Rc::clone(&tracked));
        Registration {
            registry: Rc::clone(self),
            id,
            tracked,
        }
    }

    /// Closes the connection that has been idle or silent for longest, if there is one.
    pub(super) fn close_oldest_idle(&self) -> bool {
        let now = Instant::now();
        let connections = self.connections.borrow();
        let idle = connections
            .values()
            .filter_map(|tracked| Some((tracked.evictable(now)?, tracked)));
        let oldest = idle.min_by_key(|(since, _)| *since);
        oldest.inspect(|(_, tracked)| tracked.close(CloseReason::Evicted));
        oldest.is_some()
    }

    /// Applies the limits and passes on when the server stops, for as long as the worker runs.
    pub(super) async fn watch(&self, drain: Drain) -> Infallible {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval()) => self.sweep(),
                () = drain.soon.cancelled(), if !self.draining.get() => self.draining.set(true),
                () = drain.now.cancelled(), if !self.stopping.get() => {
                    self.draining.set(true);
                    self.stopping.set(true);
                    self.connections.borrow().values().for_each(|tracked| tracked.wake());
                }
            }
        }
    }

    /// Short limits are applied more often, so that none is exceeded by much.
    fn interval(&self) -> Duration {
        let limits = self.limits.get();
        let shortest = limits
            .header_read
            .min(limits.keep_alive)
            .min(limits.write_idle);
        let longest = if self.stopping.get() {
            FIRST_REQUEST
        } else {
            SWEEP
        };
        (shortest / 4).clamp(Duration::from_millis(10), longest)
    }

    fn sweep(&self) {
        let (now, limits) = (Instant::now(), self.limits.get());
        for tracked in self.connections.borrow().values() {
            if let Some(reason) = tracked.expired(&limits, now) {
                tracked.close(reason);
            } else if tracked.phase() == Phase::Busy && !tracked.read_waits.get() {
                tracked.is_checked.set(true);
                tracked.wake();
            }
        }
    }
}

/// Keeps a connection in its registry.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Rc<Registry>,
    id: u64,
    tracked: Rc<Tracked>,
}

impl Deref for Registration {
    type Target = Rc<Tracked>;

    fn deref(&self) -> &Rc<Tracked> {
        &self.tracked
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.connections.borrow_mut().remove(&self.id);
    }
}
