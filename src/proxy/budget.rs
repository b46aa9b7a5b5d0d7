//! The memory that all hashed bodies together may take (`limits.buffered`).
//!
//! A limit per request is not enough: many requests within it can still exhaust the machine. When there
//! is no room, a request waits a moment for others to finish, in the order in which they came, and is
//! refused then. A body of unknown length takes more room as it comes, so two of them could wait for
//! each other; the moment ends that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long room is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that are still free, over all workers.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let permits = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(
            permits.min(Semaphore::MAX_PERMITS),
        )))
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
    pub async fn take(&self, bytes: u64) -> Result<Room, Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        if let Ok(permit) = Arc::clone(&self.0).try_acquire_many_owned(bytes) {
            return Ok(Room(permit));
        }
        match timeout(PATIENCE, Arc::clone(&self.0).acquire_many_owned(bytes)).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Bytes that are not taken.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.0.available_permits() as u64
    }
}

/// There was no room, and none became free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Room taken in a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

impl Room {
    /// Takes what is missing to `bytes`, waiting for it at most one second.
    ///
    /// # Errors
    ///
    /// [`Full`] if there was not enough. What was taken before stays.
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.0.num_permits() as u64);
        if more > 0 {
            let budget = Budget(Arc::clone(self.0.semaphore()));
            self.0.merge(budget.take(more).await?.0);
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
        let budget = Budget::new(10);
        let mut first = budget.take(4).await.unwrap();
        assert!(first.grow_to(6).await.is_ok() && first.grow_to(3).await.is_ok());
        assert_eq!(budget.take(5).await.unwrap_err(), Full);
        assert!(first.grow_to(11).await.is_err());
        assert_eq!(budget.free(), 4);
        drop(first);
        assert_eq!(budget.free(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for_one_second_and_taken_as_soon_as_it_is_there() {
        let budget = Budget::new(10);
        let held = budget.take(10).await.unwrap();
        let start = Instant::now();
        assert!(budget.take(1).await.is_err());
        assert_eq!(start.elapsed(), PATIENCE);
        let frees = async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(budget.take(10), frees);
        assert!(taken.is_ok());
        assert_eq!(start.elapsed(), PATIENCE + Duration::from_millis(400));
    }
}
