//! Write coalescing: the frames that are written during one turn of a connection leave in one system call.
//!
//! Most of what HTTP/2 saves here is that the frames of many requests share TLS records and system calls. `h2`
//! flushes after each longer frame, so a flush does nothing here, and [`CorkedExecutor`] writes once the
//! connection was polled.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

use crate::upstream::connector::Transport;

/// How much is held back at most, in bytes; beyond, it is written at once.
const MAX_QUEUED: usize = 64 * 1024;

/// The capacity that is kept while there is nothing to write, in bytes.
const KEPT_CAPACITY: usize = 32 * 1024;

/// The stream of one connection, for `h2` and for the executor.
#[derive(Clone, Debug)]
pub(super) struct Cork(Rc<RefCell<Corked>>);

#[derive(Debug)]
struct Corked {
    transport: Transport,
    queued: BytesMut,
    has_failed: bool,
}

impl Cork {
    fn new(transport: Transport) -> Self {
        Self(Rc::new(RefCell::new(Corked {
            transport,
            queued: BytesMut::new(),
            has_failed: false,
        })))
    }
}

impl Corked {
    /// Writes what was held back.
    ///
    /// When writing fails, what is queued is discarded and reading goes on: the gateway may have said before
    /// up to which request it got (GOAWAY). The end of reading follows from the same cause.
    fn poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_failed {
            self.queued.clear();
            return Poll::Ready(());
        }
        ready!(self.try_poll_write_queued(cx)).unwrap_or_else(|error| {
            tracing::debug!(%error, "writing to the gateway has failed");
            self.has_failed = true;
            self.queued = BytesMut::new();
            cx.waker().wake_by_ref();
        });
        Poll::Ready(())
    }

    fn try_poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queued.is_empty() {
            let written = ready!(Pin::new(&mut self.transport).poll_write(cx, &self.queued))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.queued.advance(written);
        }
        if self.queued.capacity() > KEPT_CAPACITY {
            self.queued = BytesMut::new();
        } else {
            self.queued.clear();
        }
        Pin::new(&mut self.transport).poll_flush(cx)
    }
}

impl AsyncRead for Cork {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Cork {
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
        let mut corked = self.0.borrow_mut();
        if corked.queued.len() >= MAX_QUEUED {
            ready!(corked.poll_write_queued(cx));
        }
        for slice in slices {
            corked.queued.extend_from_slice(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.0.borrow_mut();
        ready!(corked.poll_write_queued(cx));
        Pin::new(&mut corked.transport).poll_shutdown(cx)
    }
}

/// Runs the tasks of one connection. The first one that hyper spawns moves the bytes; the others wait for
/// answers, and must not write, or they would take its wake-ups.
#[derive(Clone, Debug)]
pub(super) struct CorkedExecutor {
    cork: Cork,
    transport_task: Rc<TransportTask>,
}

/// The state of the task that moves the bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct TransportTask {
    handle: RefCell<Option<AbortHandle>>,
    ended: Cell<Option<Instant>>,
    /// Woken after the next turn.
    observer: RefCell<Option<Waker>>,
}

/// Closes a connection when it is dropped.
#[derive(Debug)]
pub(super) struct TransportGuard(Rc<TransportTask>);

impl CorkedExecutor {
    /// An executor, with the stream that `h2` uses, and what closes it.
    pub(super) fn new(transport: Transport) -> (Self, Cork, TransportGuard) {
        let cork = Cork::new(transport);
        let transport_task = Rc::<TransportTask>::default();
        let guard = TransportGuard(Rc::clone(&transport_task));
        let executor = Self {
            cork: cork.clone(),
            transport_task,
        };
        (executor, cork, guard)
    }

    async fn drive(self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            if let Some(observer) = self.transport_task.observer.take() {
                observer.wake();
            }
            // If it is still being written, the task is woken when that goes on.
            let _ = self.cork.0.borrow_mut().poll_write_queued(cx);
            ended
        })
        .await;
        self.transport_task.ended.set(Some(Instant::now()));
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for CorkedExecutor {
    fn execute(&self, future: F) {
        let mut handle = self.transport_task.handle.borrow_mut();
        if handle.is_some() {
            spawn_local(future);
        } else {
            *handle = Some(spawn_local(self.clone().drive(future)).abort_handle());
        }
    }
}

impl TransportGuard {
    /// When the connection ended.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.0.ended.get()
    }

    /// Wakes this task after the next turn of the connection.
    pub(super) fn observe(&self, cx: &Context<'_>) {
        *self.0.observer.borrow_mut() = Some(cx.waker().clone());
    }
}

impl Drop for TransportGuard {
    fn drop(&mut self) {
        // A peer that reads nothing must not keep it.
        if let Some(handle) = self.0.handle.take() {
            handle.abort();
        }
    }
}
