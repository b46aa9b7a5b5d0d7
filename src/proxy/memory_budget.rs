//! The memory that all hashed bodies together may take (`limits.buffered`), over all workers.
//!
//! A limit per request is not enough: many requests within it can still exhaust the machine. A
//! request that finds no room waits for one second, in order of arrival, and is then refused. The
//! bound on the wait also ends deadlocks of bodies of unknown length, which reserve more room as
//! they arrive.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;

/// How long a request waits for room.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A shared number of bytes, in which requests reserve room.
#[derive(Clone, Debug)]
pub(super) struct MemoryBudget {
    free: Arc<Semaphore>,
    total: usize,
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let total = usize::try_from(bytes).unwrap_or(usize::MAX);
        let total = total.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    /// Reserved bytes.
    pub(super) fn taken(&self) -> u64 {
        (self.total - self.free.available_permits()) as u64
    }

    /// Reserves room for `bytes`, for which it waits one second at most. Dropping the permit gives
    /// it back.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] if there is not enough.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, and reserves nothing.
    pub(super) async fn reserve(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::Overloaded)?;
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(bytes) {
            return Ok(permit);
        }
        let acquiring = Arc::clone(&self.free).acquire_many_owned(bytes);
        let acquired = timeout(RESERVE_TIMEOUT, acquiring).await;
        let acquired = acquired.map_err(|_| Error::Overloaded)?;
        Ok(acquired.expect("the semaphore is never closed"))
    }

    /// Reserves what `held` lacks to `bytes`. After an error, it keeps its size.
    ///
    /// # Errors
    ///
    /// As [`MemoryBudget::reserve`].
    pub(super) async fn grow(
        &self,
        held: &mut OwnedSemaphorePermit,
        bytes: u64,
    ) -> Result<(), Error> {
        let missing = bytes.saturating_sub(held.num_permits() as u64);
        if missing > 0 {
            held.merge(self.reserve(missing).await?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_never_hands_out_more_than_it_has() {
        let budget = MemoryBudget::new(10);
        let mut held = budget.reserve(4).await.unwrap();
        for (bytes, fits) in [(6, true), (3, true), (11, false)] {
            assert_eq!(budget.grow(&mut held, bytes).await.is_ok(), fits, "{bytes}");
        }
        assert!(budget.reserve(5).await.is_err());
        assert_eq!(budget.taken(), 6);
        drop(held);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_one_second_for_room() {
        let budget = MemoryBudget::new(10);
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
}
