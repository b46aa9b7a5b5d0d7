//! The heartbeats of the workers, for the supervisor's watchdog.
//!
//! Each round has a number, and each worker answers with it. A worker that hangs, in an endless
//! loop or in a blocking call, does not. The accepting thread starts the rounds; that it runs proves
//! nothing about the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The answer of a worker that has ended in good order, to all rounds.
const HAS_ENDED: u64 = u64::MAX;

/// The rounds, and the answers of all workers.
#[derive(Debug)]
pub(super) struct Heartbeats {
    rounds: watch::Sender<u64>,
    /// The last round that each worker has answered.
    answered: Vec<AtomicU64>,
}

impl Heartbeats {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            rounds: watch::Sender::new(0),
            answered: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Returns true if all workers have answered the last round. Begins the next one.
    pub(super) fn all_answered(&self) -> bool {
        let round = *self.rounds.borrow();
        let mut answers = self.answered.iter();
        let all_answered = answers.all(|answered| answered.load(Ordering::Relaxed) >= round);
        self.rounds.send_replace(round + 1);
        all_answered
    }

    /// Answers every round, for as long as the worker runs its tasks.
    pub(super) async fn answer(self: Arc<Self>, worker: usize) {
        let mut rounds = self.rounds.subscribe();
        loop {
            let round = *rounds.borrow_and_update();
            self.answered[worker].store(round, Ordering::Relaxed);
            if rounds.changed().await.is_err() {
                return;
            }
        }
    }

    /// Marks a worker as ended in good order. One that ends in a panic is as bad as one that hangs.
    pub(super) fn end(&self, worker: usize) {
        self.answered[worker].store(HAS_ENDED, Ordering::Relaxed);
    }
}
