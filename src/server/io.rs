//! A caller's stream, as hyper reads and writes it.
//!
//! [`CallerIo`] replays the bytes that were looked at to tell the protocol, keeps the connection's
//! [`Phase`], and counts. Two things happen to what hyper writes:
//!
//! - hyper answers a malformed head by itself, with an empty `400`, `414` or `431`. Such an answer is replaced by
//!   the proxy's own, which says what to do. hyper writes nothing else before a service was called, so it
//!   is recognised by when it comes, not by its exact bytes.
//! - The frames of an HTTP/2 connection are held back until the turn of its task is over, so that many small
//!   answers share one system call and one TLS record.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tracked::{Phase, Tracked};
use super::transport::Transport;
use crate::proxy::{BareAnswer, CallerConnection};

/// How many bytes of HTTP/2 frames are held back at most.
const HELD_BACK: usize = 64 * 1024;

/// How much room for frames is kept while there is nothing to write.
const KEPT: usize = 16 * 1024;

/// What hyper answers with these bytes, if they are an answer of its own.
fn bare_answer_of_hyper(bytes: &[u8]) -> Option<BareAnswer> {
    let status = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    match status {
        b"400" => Some(BareAnswer::BadRequest),
        b"414" => Some(BareAnswer::TargetTooLong),
        b"431" => Some(BareAnswer::HeaderTooLarge),
        _ => None,
    }
}

/// The stream of one connection, shared by hyper and the task that drives it.
#[derive(Clone)]
pub(super) struct CallerIo(Rc<RefCell<Inner>>);

struct Inner {
    stream: Box<dyn Transport>,
    sniffed: Bytes,
    caller: Rc<CallerConnection>,
    tracked: Rc<Tracked>,
    /// Makes the answers where no service can be asked, and counts them.
    bare_answer: Rc<dyn Fn(BareAnswer) -> Bytes>,
    was_answered: bool,
    is_http2: bool,
    /// What is to be written: HTTP/2 frames, or an answer in the place of hyper's.
    queued: BytesMut,
    is_reset_on_close: bool,
    is_at_end: bool,
}

impl CallerIo {
    pub(super) fn new(
        stream: Box<dyn Transport>,
        sniffed: Bytes,
        caller: Rc<CallerConnection>,
        tracked: Rc<Tracked>,
        bare_answer: Rc<dyn Fn(BareAnswer) -> Bytes>,
        is_http2: bool,
    ) -> Self {
        // Bytes came, but whether they are a whole head is not known.
        tracked.enter(if is_http2 { Phase::Idle } else { Phase::Head });
        caller.add_received(sniffed.len());
        Self(Rc::new(RefCell::new(Inner {
            stream,
            sniffed,
            caller,
            tracked,
            bare_answer,
            was_answered: false,
            is_http2,
            queued: BytesMut::new(),
            is_reset_on_close: false,
            is_at_end: false,
        })))
    }

    /// Writes what was held back.
    pub(super) fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_write_out(cx)
    }

    /// Whether the caller has ended its sending side.
    pub(super) fn is_at_end(&self) -> bool {
        self.0.borrow().is_at_end
    }

    /// Whether the socket has failed, as far as that shows without reading.
    pub(super) fn has_failed(&self) -> bool {
        self.0.borrow().stream.has_failed()
    }

    /// Counts an answer that was not written, for the error that hyper tells instead.
    pub(super) fn count_bare_answer(&self, answer: BareAnswer) {
        let inner = &mut *self.0.borrow_mut();
        if !inner.was_answered {
            inner.was_answered = true;
            (inner.bare_answer)(answer);
        }
    }

    /// Makes closing reset the connection.
    pub(super) fn reset(&self) {
        self.0.borrow().stream.set_reset_on_close(true);
    }

    /// The stream itself, once hyper has let go of it.
    pub(super) fn into_stream(self) -> Option<Box<dyn Transport>> {
        Rc::into_inner(self.0).map(|inner| inner.into_inner().stream)
    }
}

impl Inner {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.sniffed.is_empty() {
            let count = self.sniffed.len().min(room.remaining());
            room.put_slice(&self.sniffed.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = room.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, room);
        self.tracked.read_waits.set(polled.is_pending());
        ready!(polled)?;
        let count = room.filled().len() - before;
        self.caller.add_received(count);
        if count == 0 && room.remaining() > 0 {
            self.is_at_end = true;
        } else if !self.is_http2 && self.tracked.phase() == Phase::Idle {
            // Some callers send a line end after a body.
            let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            if !room.filled()[before..].iter().all(is_line_end) {
                self.tracked.enter(Phase::Head);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_http2 {
            return self.hold_back(cx, bytes);
        }
        if let Some(length) = self.replace_bare_answer(bytes) {
            return Poll::Ready(Ok(length));
        }
        ready!(self.poll_write_out(cx))?;
        if self.caller.resets_on_close() && !self.is_reset_on_close {
            self.stream.set_reset_on_close(true);
            self.is_reset_on_close = true;
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.took(polled)
    }

    /// Takes note of how a write went.
    fn took(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let was_blocked = self.tracked.write_blocked.replace(polled.is_pending());
        let written = ready!(polled)?;
        self.caller.add_written(written);
        // HTTP/2 pings are written to a caller that reads no answers, too.
        if !self.is_http2 || was_blocked {
            self.tracked.make_progress();
        }
        Poll::Ready(Ok(written))
    }

    /// Queues the proxy's answer in the place of one that hyper makes by itself; tells how long that is.
    fn replace_bare_answer(&mut self, bytes: &[IoSlice<'_>]) -> Option<usize> {
        if matches!(self.tracked.phase(), Phase::Busy | Phase::Flushing) || self.was_answered {
            return None;
        }
        let bytes = bytes.iter().find(|bytes| !bytes.is_empty())?;
        let answer = bare_answer_of_hyper(bytes)?;
        self.was_answered = true;
        let own = (self.bare_answer)(answer);
        self.queued.extend_from_slice(&own);
        Some(bytes.len())
    }

    fn hold_back(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.queued.len() >= HELD_BACK {
            ready!(self.poll_write_out(cx))?;
        }
        for slice in bytes {
            self.queued.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes.iter().map(|slice| slice.len()).sum()))
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.queued.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.queued.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(cx, &self.queued);
            let written = ready!(self.took(polled))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.queued.advance(written);
        }
        if self.queued.capacity() > KEPT {
            self.queued = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_http2 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write_out(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.is_reset_on_close && !self.caller.resets_on_close() {
            self.stream.set_reset_on_close(false);
            self.is_reset_on_close = false;
        }
        if self.tracked.phase() == Phase::Flushing {
            self.tracked.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for CallerIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerIo").finish_non_exhaustive()
    }
}

impl AsyncRead for CallerIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, room)
    }
}

impl AsyncWrite for CallerIo {
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
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(cx)
    }

    /// HTTP/1.1 is not shut down here: what follows may be a WebSocket, and the caller has to be able to
    /// read its answer.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.poll_write_out(cx))?;
        if !inner.is_http2 {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
