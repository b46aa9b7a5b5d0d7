//! The memory that all hashed bodies together may take (`limits.buffered`).
//!
//! A limit per request is not enough: many requests within it can still exhaust the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are still free, over all workers.
#[derive(Debug)]
pub struct Budget {
    free: AtomicU64,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            free: AtomicU64::new(bytes),
        }
    }

    /// Takes room for `bytes`, or nothing if there is not enough.
    #[must_use]
    pub fn take(self: &Arc<Self>, bytes: u64) -> Option<Room> {
        let mut room = Room {
            budget: Arc::clone(self),
            bytes: 0,
        };
        room.grow_to(bytes).then_some(room)
    }

    /// Bytes that are not taken.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }
}

/// Room taken in a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Room {
    /// Takes what is missing to `bytes`; `false`, and no change, if there is not enough.
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken = self
            .budget
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                free.checked_sub(more)
            })
            .is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_than_there_is_and_everything_comes_back() {
        let budget = Arc::new(Budget::new(10));
        let mut first = budget.take(4).unwrap();
        assert!(first.grow_to(6) && first.grow_to(3));
        assert!(budget.take(5).is_none());
        assert!(!first.grow_to(11));
        assert_eq!(budget.free(), 4);
        drop(first);
        assert_eq!(budget.free(), 10);
    }
}
