//! An idle timer for streams. Unlike tower-http's `TimeoutBody`, it counts progress in the other
//! direction too. It allocates nothing until it first runs.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Measures how long a polled stream has made no progress.
#[derive(Debug)]
pub(in crate::proxy) struct IdleTimer {
    pub(super) limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    progress: u64,
}

impl IdleTimer {
    /// A stopped timer.
    pub(in crate::proxy) fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: None,
            progress: 0,
        }
    }

    /// Call it when the stream is pending. `progress` is any number that changes when the stream makes
    /// progress. Ready once there was none for the limit.
    pub(in crate::proxy) fn poll_expired(
        &mut self,
        progress: u64,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let limit = self.limit;
        let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if progress != self.progress {
            self.progress = progress;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

/// Awaits a future; `None` if `progress`, any number that changes with progress, stays the same for
/// the limit.
pub(in crate::proxy) async fn unless_idle<T>(
    limit: Duration,
    progress: impl Fn() -> u64,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut timer = IdleTimer::new(limit);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll_expired(progress(), cx).map(|()| None),
    })
    .await
}
