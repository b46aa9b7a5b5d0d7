//! A timer for streams that stand still. It runs only while nothing comes, and costs nothing until then.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Measures how long a stream has stood still.
#[derive(Debug)]
pub(in crate::proxy) struct IdleTimer {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the stream has been waited for since it last made progress.
    waiting: bool,
}

impl IdleTimer {
    /// A timer that has not begun to run.
    pub(in crate::proxy) fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: None,
            waiting: false,
        }
    }

    /// To be called when the stream made progress.
    pub(in crate::proxy) fn stop(&mut self) {
        self.waiting = false;
    }

    /// To be called when the stream made no progress; ready once that has lasted for the limit.
    pub(in crate::proxy) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_time_without_progress_counts() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(Duration::from_secs(10));
        let pending = |timer: &mut IdleTimer, cx: &mut Context<'_>| {
            Poll::Ready(timer.poll_expired(cx).is_pending())
        };
        assert!(poll_fn(|cx| pending(&mut timer, cx)).await);
        sleep(Duration::from_secs(9)).await;
        timer.stop();
        // The stream is not waited for now, so this does not count.
        sleep(Duration::from_secs(20)).await;
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 39);
    }
}
