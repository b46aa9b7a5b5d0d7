//! The bytes of a connection to the gateway, counted, and for HTTP/2 coalesced.
//!
//! Most of what HTTP/2 saves is that the frames of many requests share TLS records and system
//! calls. `h2` flushes after each longer frame, so its flush does nothing here: frames are
//! buffered, and written once at the end of each turn of the connection task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::error::Retry;
use crate::upstream::connector::Transport;

/// How many bytes of HTTP/2 frames are held back at most; beyond, they are written at once.
const MAX_COALESCED: usize = 64 * 1024;

/// What the tasks, the user and the pool know of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) opened: Instant,
    pub(crate) idle_since: Cell<Instant>,
    /// When the gateway closed it, or sent something that was not asked for.
    pub(crate) ended: Cell<Option<Instant>>,
    pub(crate) has_answered: Cell<bool>,
    /// Bytes written and read since it was opened.
    pub(super) traffic: Cell<(u64, u64)>,
    /// The last write waits until the gateway reads.
    is_write_blocked: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl ConnectionState {
    /// If a request that gets no response may be sent again. A connection that has carried
    /// responses was most likely closed for being idle, and then the gateway has not read the
    /// request.
    pub(super) fn retry(&self) -> Retry {
        if self.has_answered.get() {
            Retry::IfIdempotent
        } else {
            Retry::Never
        }
    }

    /// How long it had been idle when it ended.
    pub(crate) fn idle_until_end(&self) -> Duration {
        let ended = self.ended.get().unwrap_or_else(Instant::now);
        ended.saturating_duration_since(self.idle_since.get())
    }

    /// Ready unless a write waits for the gateway.
    pub(super) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_write_blocked.get() {
            return Poll::Ready(());
        }
        self.wake_later(cx);
        Poll::Pending
    }

    /// Wakes this task when a write goes on, or after the next turn of an HTTP/2 connection.
    pub(super) fn wake_later(&self, cx: &Context<'_>) {
        self.waiter.replace(Some(cx.waker().clone()));
    }

    fn wake(&self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }
}

/// The stream of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct GatewayIo(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Without capacity for HTTP/1.1, so that it passes everything on at once.
    writer: BufWriter<Transport>,
    coalesces: bool,
    state: Rc<ConnectionState>,
    has_failed: bool,
    /// Held after a protocol switch, until the stream is dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl GatewayIo {
    pub(super) fn new(transport: Transport, coalesces: bool) -> (Self, Rc<ConnectionState>) {
        let now = Instant::now();
        let state = Rc::new(ConnectionState {
            opened: now,
            idle_since: Cell::new(now),
            ended: Cell::default(),
            has_answered: Cell::default(),
            traffic: Cell::default(),
            is_write_blocked: Cell::default(),
            waiter: RefCell::default(),
        });
        let capacity = if coalesces { MAX_COALESCED } else { 0 };
        let inner = Inner {
            writer: BufWriter::with_capacity(capacity, transport),
            coalesces,
            state: Rc::clone(&state),
            has_failed: false,
            permit: None,
        };
        (Self(Rc::new(RefCell::new(inner))), state)
    }

    /// Makes it a plain stream after a protocol switch, which holds the permit of its connection.
    pub(crate) fn switch(&self, permit: OwnedSemaphorePermit) {
        self.0.borrow_mut().permit = Some(permit);
    }

    /// Runs an HTTP/2 connection over this stream. What it writes is written out at the end of each
    /// turn.
    pub(super) async fn coalesced(self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            let inner = &mut *self.0.borrow_mut();
            if ended.is_ready() {
                inner.state.ended.set(Some(Instant::now()));
            }
            inner.state.wake();
            // If it is still being written, the task is woken when that goes on.
            let _ = inner.poll_flush(cx);
            ended
        })
        .await;
    }
}

impl Inner {
    /// A write that fails does not end the exchange: hyper would give up at once, and the gateway
    /// may have answered before it closed the connection, or said up to which request it got
    /// (GOAWAY). The end of reading, which follows from the same cause, ends the exchange after
    /// what is still to be read.
    fn settle<T>(&mut self, cx: &Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Err(error)) if self.permit.is_none() => {
                tracing::debug!(%error, "writing to the gateway has failed");
                self.has_failed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            outcome => outcome,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_failed {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.writer).poll_flush(cx);
        self.settle(cx, flushed)
    }
}

impl AsyncRead for GatewayIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Inner { writer, state, .. } = &mut *self.0.borrow_mut();
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(writer).poll_read(cx, buffer));
        let count = buffer.filled().len() - before;
        let (written, read) = state.traffic.get();
        state.traffic.set((written, read + count as u64));
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for GatewayIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        match (inner.has_failed, inner.coalesces) {
            (false, _) => {}
            // `h2` stops reading when it cannot write, so what it writes is discarded.
            (true, true) => return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum())),
            (true, false) => return Poll::Pending,
        }
        let outcome = Pin::new(&mut inner.writer).poll_write_vectored(cx, slices);
        let state = &inner.state;
        state.is_write_blocked.set(outcome.is_pending());
        if let Poll::Ready(outcome) = &outcome {
            state.wake();
            let (written, read) = state.traffic.get();
            let count = outcome.as_ref().map_or(0, |count| *count as u64);
            state.traffic.set((written + count, read));
        }
        inner.settle(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().writer.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        match inner.coalesces {
            true => Poll::Ready(Ok(())),
            false => inner.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().writer).poll_shutdown(cx)
    }
}
