//! A close that lets the caller read the answer.
//!
//! When a socket is closed while the caller is still sending, the system resets the connection, and
//! the answer that the caller has not read yet is lost: it sees a broken pipe instead of a 413. So the
//! sending side is closed first, and what still comes is read and thrown away, within bounds.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The most that is thrown away, in bytes.
const BYTES: usize = 16 * 1024 * 1024;

/// The longest that is waited for the caller to stop.
const TIME: Duration = Duration::from_secs(10);

/// A stream whose shutdown lingers when it is asked to.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    /// Set while the connection runs, when an answer leaves a body unread.
    asked: Rc<Cell<bool>>,
    drain: Option<Drain>,
}

#[derive(Debug)]
struct Drain {
    left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, asked: Rc<Cell<bool>>) -> Self {
        Self {
            stream,
            asked,
            drain: None,
        }
    }
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    /// Throws away what comes, until the caller stops or a bound is reached.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let start = || Drain {
            left: BYTES,
            deadline: Box::pin(sleep(TIME)),
        };
        let drain = self.drain.get_or_insert_with(start);
        let mut scratch = [0; 16 * 1024];
        while drain.left > 0 && drain.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    drain.left = drain.left.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.drain.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.asked.get() {
            ready!(self.poll_drain(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_is_read_until_the_caller_stops() {
        let (near, mut far) = duplex(1024);
        let mut stream = Lingering::new(near, Rc::new(Cell::new(true)));
        stream.write_all(b"413").await.unwrap();
        let caller = async move {
            far.write_all(&vec![0; 100_000]).await.unwrap();
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (answer, closed) = tokio::join!(caller, stream.shutdown());
        assert_eq!((answer.as_slice(), closed.is_ok()), (&b"413"[..], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_never_stops_is_left_after_a_while() {
        let (near, _far) = duplex(1024);
        let start = tokio::time::Instant::now();
        Lingering::new(near, Rc::new(Cell::new(true)))
            .shutdown()
            .await
            .unwrap();
        assert_eq!(start.elapsed(), TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_unless_asked_to() {
        let (near, _far) = duplex(1024);
        let start = tokio::time::Instant::now();
        Lingering::new(near, Rc::new(Cell::new(false)))
            .shutdown()
            .await
            .unwrap();
        assert!(start.elapsed().is_zero());
    }
}
