//! The memory that all hashed bodies together may take (`limits.buffered`).
//!
//! A limit per request is not enough: many requests within it can still exhaust the machine. When there
//! is no room, a request waits a moment for others to finish, in the order in which they came, and is
//! refused then. A body of unknown length takes more room as it comes, so two of them could wait for
//! each other; the moment ends that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long room is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much is taken away at once when a budget shrinks, so that what becomes free is shared meanwhile.
const STEP: usize = 1024 * 1024;

/// Bytes that are still free, over all workers.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    /// How many there are in all.
    all: Arc<AtomicU64>,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let bytes = bounded(bytes);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            all: Arc::new(AtomicU64::new(bytes as u64)),
        }
    }

    /// Changes how many bytes there are. What is taken beyond that is not given out again. To be called
    /// within a runtime.
    pub fn resize(&self, bytes: u64) {
        let after = bounded(bytes);
        let before = bounded(self.all.swap(after as u64, Ordering::Relaxed));
        if let Some(more) = after.checked_sub(before) {
            return self.free.add_permits(more);
        }
        let mut fewer = before - after;
        fewer -= self.free.forget_permits(fewer);
        let free = Arc::clone(&self.free);
        tokio::spawn(async move {
            while fewer > 0 {
                let step = u32::try_from(fewer.min(STEP)).unwrap_or(u32::MAX);
                let Ok(taken) = free.acquire_many(step).await else {
                    return;
                };
                fewer -= taken.num_permits();
                taken.forget();
            }
        });
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.all.load(Ordering::Relaxed).saturating_sub(self.free())
    }

    /// Takes room for `bytes`, waiting for it at most one second.
    ///
    /// # Errors
    ///
    /// [`Full`] if there was not enough.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, and takes nothing.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(bytes) {
            return Ok(Reservation(permit));
        }
        match timeout(PATIENCE, Arc::clone(&self.free).acquire_many_owned(bytes)).await {
            Ok(Ok(permit)) => Ok(Reservation(permit)),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Bytes that are not taken.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free.available_permits() as u64
    }
}

/// A number of bytes that a semaphore can count.
fn bounded(bytes: u64) -> usize {
    let permits = usize::try_from(bytes).unwrap_or(usize::MAX);
    permits.min(Semaphore::MAX_PERMITS)
}

/// There was no room, and none became free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Reservation taken in a [`MemoryBudget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

impl Reservation {
    /// Takes what is missing to `bytes`, waiting for it at most one second.
    ///
    /// # Errors
    ///
    /// [`Full`] if there was not enough. What was taken before stays.
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.0.num_permits() as u64);
        if more > 0 {
            let budget = MemoryBudget {
                free: Arc::clone(self.0.semaphore()),
                all: Arc::default(),
            };
            self.0.merge(budget.reserve(more).await?.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_is_given_than_there_is_and_everything_comes_back() {
        let budget = MemoryBudget::new(10);
        let mut first = budget.reserve(4).await.unwrap();
        assert!(first.grow_to(6).await.is_ok() && first.grow_to(3).await.is_ok());
        assert_eq!(budget.reserve(5).await.unwrap_err(), Full);
        assert!(first.grow_to(11).await.is_err());
        assert_eq!(budget.free(), 4);
        drop(first);
        assert_eq!(budget.free(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_shrinks_takes_back_what_is_given_back() {
        let budget = MemoryBudget::new(10);
        let held = budget.reserve(8).await.unwrap();
        budget.resize(5);
        assert!(budget.reserve(1).await.is_err());
        drop(held);
        tokio::task::yield_now().await;
        assert_eq!(budget.free(), 5);
        budget.resize(7);
        assert_eq!((budget.free(), budget.taken()), (7, 0));
        let _held = budget.reserve(3).await.unwrap();
        assert_eq!(budget.taken(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for_one_second_and_taken_as_soon_as_it_is_there() {
        let budget = MemoryBudget::new(10);
        let held = budget.reserve(10).await.unwrap();
        let start = Instant::now();
        assert!(budget.reserve(1).await.is_err());
        assert_eq!(start.elapsed(), PATIENCE);
        let frees = async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(budget.reserve(10), frees);
        assert!(taken.is_ok());
        assert_eq!(start.elapsed(), PATIENCE + Duration::from_millis(400));
    }
}
