//! Whether the workers still do what they are told, for the supervisor's watchdog.
//!
//! Each worker is told the number of a round, and answers with it. One that hangs, in an endless loop or in
//! a call that blocks, does not. That the thread that asks is well proves nothing: it does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::sync::watch;

/// Asks the workers.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    rounds: watch::Sender<u64>,
    /// The last round that each worker has answered.
    answered: Vec<Arc<AtomicU64>>,
}

/// What a worker answers by.
#[derive(Debug)]
pub(super) struct Heart {
    rounds: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

/// The answer of a worker that has ended because it was told to, to all rounds.
const AT_REST: u64 = u64::MAX;

impl Pulse {
    /// A pulse of nobody.
    pub(super) fn new() -> Self {
        Self {
            rounds: watch::Sender::new(0),
            answered: Vec::new(),
        }
    }

    /// A heart for one more worker.
    pub(super) fn heart(&mut self) -> Heart {
        let answered = Arc::new(AtomicU64::new(0));
        self.answered.push(Arc::clone(&answered));
        Heart {
            rounds: self.rounds.subscribe(),
            answered,
        }
    }

    /// Whether all workers have answered the last round; begins the next one.
    pub(super) fn is_regular(&self) -> bool {
        let round = *self.rounds.borrow();
        let has_answered = |answered: &Arc<AtomicU64>| answered.load(Ordering::Relaxed) >= round;
        let is_regular = self.answered.iter().all(has_answered);
        self.rounds.send_replace(round + 1);
        is_regular
    }
}

impl Heart {
    /// Answers every round, for as long as the worker runs its tasks.
    pub(super) async fn beat(mut self) {
        while self.rounds.changed().await.is_ok() {
            let round = *self.rounds.borrow_and_update();
            self.answered.store(round, Ordering::Relaxed);
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        // A worker that ends in a panic is as bad as one that hangs.
        if !thread::panicking() {
            self.answered.store(AT_REST, Ordering::Relaxed);
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
    async fn a_pulse_is_regular_while_every_worker_answers_or_has_ended_in_good_order() {
        let mut pulse = Pulse::new();
        let (first, second) = (pulse.heart(), pulse.heart());
        let beating = tokio::spawn(first.beat());
        // Nobody was asked before the first round.
        assert!(pulse.is_regular());
        settled().await;
        assert!(!pulse.is_regular(), "the second does not answer");
        let other = tokio::spawn(second.beat());
        settled().await;
        assert!(pulse.is_regular());
        other.abort();
        settled().await;
        assert!(pulse.is_regular());
        settled().await;
        assert!(pulse.is_regular(), "the second is at rest");
        beating.abort();
    }

    #[test]
    fn a_worker_that_ends_in_a_panic_is_not_at_rest() {
        let mut pulse = Pulse::new();
        let heart = pulse.heart();
        let panics = thread::spawn(move || {
            let _heart = heart;
            panic!("asked to");
        });
        assert!(panics.join().is_err());
        assert!(pulse.is_regular());
        assert!(!pulse.is_regular());
    }
}
