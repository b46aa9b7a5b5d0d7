//! The heartbeats of the workers, for the supervisor's watchdog.
//!
//! Each round has a number, and each worker answers with it. A worker that hangs, in an endless loop or in a
//! blocking call, does not. The accepting thread sends the rounds; that it runs proves nothing about the
//! workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::sync::watch;

/// Sends the rounds and knows the answers of all workers.
#[derive(Clone, Debug)]
pub(super) struct Heartbeats {
    rounds: watch::Sender<u64>,
    /// The last round that each worker has answered.
    answered: Vec<Arc<AtomicU64>>,
}

/// The heartbeat of one worker.
#[derive(Debug)]
pub(super) struct Heartbeat {
    rounds: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

/// The answer of a worker that has ended in good order, to all rounds.
const HAS_ENDED: u64 = u64::MAX;

impl Heartbeats {
    /// Without workers.
    pub(super) fn new() -> Self {
        Self {
            rounds: watch::Sender::new(0),
            answered: Vec::new(),
        }
    }

    /// Adds a worker.
    pub(super) fn add_worker(&mut self) -> Heartbeat {
        let answered = Arc::new(AtomicU64::new(0));
        self.answered.push(Arc::clone(&answered));
        Heartbeat {
            rounds: self.rounds.subscribe(),
            answered,
        }
    }

    /// Whether all workers have answered the last round. Begins the next one.
    pub(super) fn all_answered(&self) -> bool {
        let round = *self.rounds.borrow();
        let has_answered = |answered: &Arc<AtomicU64>| answered.load(Ordering::Relaxed) >= round;
        let all_answered = self.answered.iter().all(has_answered);
        self.rounds.send_replace(round + 1);
        all_answered
    }
}

impl Heartbeat {
    /// Answers every round, for as long as the worker runs its tasks.
    pub(super) async fn answer(mut self) {
        while self.rounds.changed().await.is_ok() {
            let round = *self.rounds.borrow_and_update();
            self.answered.store(round, Ordering::Relaxed);
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // A worker that ends in a panic is as bad as one that hangs.
        if !thread::panicking() {
            self.answered.store(HAS_ENDED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn settled() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn every_worker_has_to_answer_unless_it_has_ended_in_good_order() {
        let mut heartbeats = Heartbeats::new();
        let (first, second) = (heartbeats.add_worker(), heartbeats.add_worker());
        let beating = tokio::spawn(first.answer());
        // Nobody was asked before the first round.
        assert!(heartbeats.all_answered());
        settled().await;
        assert!(!heartbeats.all_answered(), "the second does not answer");
        let other = tokio::spawn(second.answer());
        settled().await;
        assert!(heartbeats.all_answered());
        other.abort();
        settled().await;
        assert!(heartbeats.all_answered());
        settled().await;
        assert!(heartbeats.all_answered(), "the second has ended");
        beating.abort();
    }

    #[test]
    fn a_worker_that_ends_in_a_panic_does_not_answer() {
        let mut heartbeats = Heartbeats::new();
        let heartbeat = heartbeats.add_worker();
        let panics = thread::spawn(move || {
            let _heartbeat = heartbeat;
            panic!("asked to");
        });
        assert!(panics.join().is_err());
        assert!(heartbeats.all_answered());
        assert!(!heartbeats.all_answered());
    }
}
