//! How many requests a worker has under way to one origin at once, lately.
//!
//! Sharing a connection pays only if there are enough of them: below that it takes more of the processor
//! than a connection for each does, since a request then goes from task to task without company. Measured
//! on two cores, both ways take the same at 8 requests of a worker's.

use std::cell::Cell;

/// So many at once are a crowd, per worker.
const CROWD: usize = 8;

/// The most at once, since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    most: Cell<usize>,
    is_crowd: Cell<bool>,
}

impl Crowd {
    /// Takes note of how many there are; whether they are a crowd.
    pub(super) fn counts(&self, now: usize) -> bool {
        self.most.set(self.most.get().max(now));
        // One grows within moments, and is over only when there has been none for a while.
        if now >= CROWD {
            self.is_crowd.set(true);
        }
        self.is_crowd.get()
    }

    /// To be called once a second.
    pub(super) fn look(&self) {
        self.is_crowd.set(self.most.take() >= CROWD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_one_at_once_and_until_there_was_none_for_a_whole_second() {
        let crowd = Crowd::default();
        assert!(!crowd.counts(CROWD - 1));
        assert!(crowd.counts(CROWD));
        assert!(crowd.counts(1));
        crowd.look();
        assert!(crowd.counts(1));
        crowd.look();
        assert!(!crowd.counts(CROWD - 1));
    }
}
