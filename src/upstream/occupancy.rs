//! How many connections a pool has, for other threads than its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// How many connections a pool has.
#[derive(Clone, Debug)]
pub struct Occupancy {
    bound: usize,
    slots: Arc<Semaphore>,
    idle: Arc<AtomicUsize>,
}

impl Occupancy {
    /// Of a pool with so many slots, which keeps `idle` up to date.
    pub(super) fn new(bound: usize, slots: &Arc<Semaphore>, idle: &Arc<AtomicUsize>) -> Self {
        Self {
            bound,
            slots: Arc::clone(slots),
            idle: Arc::clone(idle),
        }
    }

    /// Connections that are kept for a request.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Connections that carry a request, or are opened for one.
    #[must_use]
    pub fn active(&self) -> usize {
        self.bound.saturating_sub(self.slots.available_permits())
    }
}
