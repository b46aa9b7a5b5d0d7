//! The memory that all hashed bodies together may take (`limits.buffered`), over all workers.
//!
//! A limit per request is not enough: many requests within it can still exhaust the machine. A
//! request that finds no room waits for one second, in order of arrival, and is then refused. The
//! bound on the wait also ends deadlocks of bodies of unknown length, which reserve more room as
//! they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Error;

/// How long a request waits for room.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A limit on bytes, within which requests reserve room. A reload may change the limit; what is
/// reserved already counts against the new one.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    /// A permit for each free byte.
    free: Semaphore,
    limit: AtomicUsize,
    /// Bytes that are reserved beyond a lowered limit. What is given back reduces them first.
    excess: AtomicUsize,
}

/// Room in a budget. Dropping it gives the room back.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let limit = permits(bytes);
        Self {
            free: Semaphore::new(limit),
            limit: limit.into(),
            excess: AtomicUsize::new(0),
        }
    }

    /// Changes the limit.
    pub(super) fn set_limit(&self, bytes: u64) {
        let limit = permits(bytes);
        let before = self.limit.swap(limit, Ordering::Relaxed);
        let removed = before.saturating_sub(limit);
        self.excess.fetch_add(removed, Ordering::Relaxed);
        self.give_back(limit.saturating_sub(before));
        self.reduce_excess();
    }

    /// Reserved bytes.
    pub(super) fn taken(&self) -> u64 {
        let [limit, excess] = [&self.limit, &self.excess].map(|size| size.load(Ordering::Relaxed));
        (limit + excess).saturating_sub(self.free.available_permits()) as u64
    }

    /// Reserves room for `bytes`, for which it waits one second at most.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] if there is not enough.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, and reserves nothing.
    pub(super) async fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation, Error> {
        let wanted = u32::try_from(bytes).map_err(|_| Error::Overloaded)?;
        self.reduce_excess();
        let permit = match self.free.try_acquire_many(wanted) {
            Ok(permit) => permit,
            Err(_) => {
                let acquired = timeout(RESERVE_TIMEOUT, self.free.acquire_many(wanted)).await;
                let acquired = acquired.map_err(|_| Error::Overloaded)?;
                acquired.expect("the semaphore is never closed")
            }
        };
        let bytes = permit.num_permits();
        permit.forget();
        let budget = Arc::clone(self);
        Ok(Reservation { budget, bytes })
    }

    /// Removes free permits while more is reserved than the limit allows.
    fn reduce_excess(&self) {
        let excess = self.excess.load(Ordering::Relaxed);
        if excess > 0 {
            self.give_back(self.free.forget_permits(excess));
        }
    }

    fn give_back(&self, bytes: usize) {
        let reduced = |excess: usize| Some(excess.saturating_sub(bytes));
        let excess = (self.excess).fetch_update(Ordering::Relaxed, Ordering::Relaxed, reduced);
        let excess = excess.unwrap_or_else(|excess| excess);
        self.free.add_permits(bytes.saturating_sub(excess));
    }
}

impl Reservation {
    /// Grows to `bytes`, as [`MemoryBudget::reserve`]. After an error, it keeps its size.
    pub(super) async fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        let missing = bytes.saturating_sub(self.bytes as u64);
        if missing > 0 {
            let mut more = self.budget.reserve(missing).await?;
            self.bytes += std::mem::take(&mut more.bytes);
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

fn permits(bytes: u64) -> usize {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    bytes.min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_never_hands_out_more_than_it_has() {
        let budget = Arc::new(MemoryBudget::new(10));
        let mut held = budget.reserve(4).await.unwrap();
        for (bytes, fits) in [(6, true), (3, true), (11, false)] {
            assert_eq!(held.grow(bytes).await.is_ok(), fits, "{bytes}");
        }
        assert!(budget.reserve(5).await.is_err());
        assert_eq!(budget.taken(), 6);
        drop(held);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_one_second_for_room() {
        let budget = Arc::new(MemoryBudget::new(10));
        let held = budget.reserve(10).await.unwrap();
        let start = Instant::now();
        assert!(budget.reserve(1).await.is_err());
        assert_eq!(start.elapsed(), RESERVE_TIMEOUT);
        let frees = async {
            sleep(RESERVE_TIMEOUT / 2).await;
            drop(held);
        };
        let (reserved, ()) = tokio::join!(budget.reserve(10), frees);
        assert!(reserved.is_ok());
        assert_eq!(start.elapsed(), RESERVE_TIMEOUT * 3 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_reserved_counts_against_a_changed_limit() {
        let budget = Arc::new(MemoryBudget::new(10));
        let fits = async |bytes| budget.reserve(bytes).await.is_ok();
        let (six, three) = (budget.reserve(6).await, budget.reserve(3).await);
        budget.set_limit(5);
        assert_eq!(budget.taken(), 9);
        assert!(!fits(1).await);
        drop(three);
        assert_eq!(budget.taken(), 6);
        assert!(!fits(1).await);
        budget.set_limit(8);
        assert!(fits(2).await && !fits(3).await);
        budget.set_limit(4);
        // A waiting request returns the permits that it has got when it gives up.
        let (waited, ()) = tokio::join!(budget.reserve(9), async { drop(six) });
        assert!(waited.is_err());
        assert_eq!(budget.taken(), 0);
        assert!(fits(4).await && !fits(5).await);
        budget.set_limit(20);
        assert!(fits(20).await && !fits(21).await);
    }
}
