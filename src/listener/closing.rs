//! A close that lets the caller read the answer.
//!
//! When a socket is closed while the caller is still sending, the system resets the connection, and
//! the answer that the caller has not read yet is lost: it sees a broken pipe instead of a 413. So the
//! sending side is closed first, and what still comes is read and thrown away, within bounds.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use crate::http1::{Caller, Wire};

/// The most that is thrown away, in bytes.
const BYTES: usize = 16 * 1024 * 1024;

/// The longest that is waited for a caller to end which is still sending.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// The longest that is waited for one from which nothing more is expected. A stray line end, or the next
/// request, may be on its way all the same.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// Throws away what a caller still sends.
#[derive(Debug)]
pub(super) struct Discard {
    left: usize,
}

impl Default for Discard {
    fn default() -> Self {
        Self { left: BYTES }
    }
}

impl Discard {
    /// Ready when the caller has stopped, or has sent too much.
    pub(super) fn poll(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left > 0 && !wire.is_ended() {
            self.left = self.left.saturating_sub(wire.input().len());
            wire.input().clear();
            ready!(wire.poll_fill(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Ends the sending side, then throws away what still comes within `limit`.
pub(super) async fn linger(caller: &RefCell<Caller>, mut discard: Discard, limit: Duration) {
    let mut is_shut = false;
    let closing = poll_fn(|cx| {
        let wire = &mut caller.borrow_mut().wire;
        if !is_shut {
            if ready!(wire.poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            is_shut = true;
        }
        discard.poll(wire, cx).map(|_| ())
    });
    if timeout(limit, closing).await.is_err() {
        tracing::debug!("a caller that did not end after its answer was cut off");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::http1::Transport;

    impl Transport for DuplexStream {
        fn reset_on_close(&mut self) {}

        fn end_on_close(&mut self) {}

        fn has_failed(&mut self) -> bool {
            false
        }
    }

    fn callers(stream: DuplexStream) -> RefCell<Caller> {
        RefCell::new(Caller::new(Wire::new(stream)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_is_read_until_the_caller_stops() {
        let (near, mut far) = duplex(1024);
        let wire = callers(near);
        let caller = async move {
            far.write_all(&vec![0; 100_000]).await.unwrap();
            let mut answer = Vec::new();
            far.shutdown().await.unwrap();
            far.read_to_end(&mut answer).await.unwrap();
            answer
        };
        wire.borrow_mut()
            .wire
            .queue(bytes::Bytes::from_static(b"413"));
        poll_fn(|cx| wire.borrow_mut().wire.poll_flush(cx))
            .await
            .unwrap();
        let (answer, ()) = tokio::join!(caller, linger(&wire, Discard::default(), LONG));
        assert_eq!(answer, b"413");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_never_stops_is_left_after_a_while() {
        let (near, _far) = duplex(1024);
        let start = Instant::now();
        linger(&callers(near), Discard::default(), SHORT).await;
        assert_eq!(start.elapsed(), SHORT);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_a_bound() {
        let (near, mut far) = duplex(1024 * 1024);
        let sending = async move {
            let piece = vec![0; 1024 * 1024];
            let mut sent = 0;
            while far.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
            sent
        };
        let draining = async move {
            linger(&callers(near), Discard::default(), LONG).await;
        };
        let (sent, ()) = tokio::join!(sending, draining);
        assert!((BYTES..BYTES + 3 * 1024 * 1024).contains(&sent), "{sent}");
    }
}
