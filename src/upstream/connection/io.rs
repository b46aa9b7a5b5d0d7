//! The bytes of an HTTP/1.1 connection, counted, so that an error can be told apart by how far the exchange got.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

/// How much a connection has carried since it was opened.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    written: Cell<u64>,
    read: Cell<u64>,
    is_read_closed: Cell<bool>,
    /// Whether the last write has to wait until the peer reads.
    is_write_blocked: Cell<bool>,
    /// Who waits for that.
    writable: RefCell<Option<Waker>>,
}

/// A point in the traffic of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    written: u64,
    read: u64,
}

impl Traffic {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            written: self.written.get(),
            read: self.read.get(),
        }
    }

    pub(super) fn has_written_since(&self, mark: Mark) -> bool {
        self.written.get() != mark.written
    }

    pub(super) fn has_read_since(&self, mark: Mark) -> bool {
        self.read.get() != mark.read
    }

    /// Whether the peer has closed the connection, or reading has failed.
    pub(super) fn is_read_closed(&self) -> bool {
        self.is_read_closed.get()
    }

    /// Ready unless a write waits for the peer.
    pub(super) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_write_blocked.get() {
            return Poll::Ready(());
        }
        *self.writable.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn set_write_blocked(&self, is_blocked: bool) {
        self.is_write_blocked.set(is_blocked);
        if !is_blocked && let Some(waker) = self.writable.take() {
            waker.wake();
        }
    }
}

/// A stream that counts its bytes.
///
/// A write that fails does not end the exchange: hyper would give up at once, and the gateway may have
/// answered before it closed the connection. So the write stays pending, and the end of reading, which
/// follows from the same cause, ends the exchange after what is still to be read.
#[derive(Debug)]
pub(super) struct CountedIo<S> {
    stream: S,
    traffic: Rc<Traffic>,
    has_failed: bool,
}

impl<S> CountedIo<S> {
    pub(super) fn new(stream: S) -> (Self, Rc<Traffic>) {
        let traffic = Rc::<Traffic>::default();
        let io = Self {
            stream,
            traffic: Rc::clone(&traffic),
            has_failed: false,
        };
        (io, traffic)
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn settle<T>(&mut self, cx: &Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            tracing::debug!(%error, "writing to the gateway has failed");
            self.has_failed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if outcome.is_ready() {
            let count = (buffer.filled().len() - before) as u64;
            let traffic = &self.traffic;
            traffic.read.set(traffic.read.get() + count);
            traffic
                .is_read_closed
                .set(count == 0 && buffer.remaining() > 0);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_failed {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.traffic.set_write_blocked(outcome.is_pending());
        if let Poll::Ready(Ok(count)) = &outcome {
            let written = &self.traffic.written;
            written.set(written.get() + *count as u64);
        }
        self.settle(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_failed {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.settle(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stream that holds a permit until it is dropped.
pub(super) struct Permitted<S> {
    stream: S,
    _permit: OwnedSemaphorePermit,
}

impl<S> Permitted<S> {
    pub(super) fn new(stream: S, permit: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            _permit: permit,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Permitted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Permitted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
