//! A caller's stream, as hyper reads and writes it.
//!
//! [`CallerIo`] replays the bytes that were read to detect the protocol, and keeps the state of the
//! connection, its [`Phase`] above all. It changes what hyper writes in two ways:
//!
//! - hyper answers a malformed head by itself, with an empty `400`, `414` or `431`. Such a response is
//!   held back, and the proxy's own is written once hyper has ended. hyper writes nothing else
//!   before a service was called, so it is recognised by when it comes, not by its exact bytes.
//! - The frames of an HTTP/2 connection are buffered until the turn of its task is over, so that
//!   many small responses share one system call and one TLS record.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

use super::handshake::Transport;
use super::registry::{ConnectionState, Phase};
use crate::error::Error;

/// How many bytes of HTTP/2 frames are buffered at most: one TLS record.
const MAX_COALESCED: usize = 16 * 1024;

/// Bytes that hyper does not take for a request.
pub(super) const NOT_HTTP: Error = Error::BadRequest(
    "its request line, a header or its length is not valid HTTP/1.1\n\
     hint: percent-encode the target, `\"` as `%22`, and write headers as `Name: value`",
);

/// The stream of one connection, shared by hyper and the task that drives it.
#[derive(Clone)]
pub(super) struct CallerIo(Rc<RefCell<Inner>>);

struct Inner {
    /// Without capacity for HTTP/1.1, so that it passes everything on at once.
    stream: BufWriter<Box<dyn Transport>>,
    /// What was read to detect the protocol.
    sniffed: Bytes,
    state: Rc<ConnectionState>,
    /// The response of hyper's own that was held back.
    bare_answer: Option<Error>,
    is_reset_on_close: bool,
    is_at_end: bool,
}

impl CallerIo {
    pub(super) fn new(
        stream: Box<dyn Transport>,
        sniffed: Bytes,
        state: &Rc<ConnectionState>,
    ) -> Self {
        // Bytes came, but they may not be a whole head.
        let is_http2 = state.is_http2.get();
        let (phase, capacity) = match is_http2 {
            true => (Phase::Idle, MAX_COALESCED),
            false => (Phase::Head, 0),
        };
        state.enter(phase);
        Self(Rc::new(RefCell::new(Inner {
            stream: BufWriter::with_capacity(capacity, stream),
            sniffed,
            state: Rc::clone(state),
            bare_answer: None,
            is_reset_on_close: false,
            is_at_end: false,
        })))
    }

    /// Writes the frames that are buffered.
    pub(super) fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_write_out(cx)
    }

    /// Returns true if the caller has ended its sending side.
    pub(super) fn is_at_end(&self) -> bool {
        self.0.borrow().is_at_end
    }

    /// Returns true if the socket has an error, without reading from it.
    pub(super) fn has_failed(&self) -> bool {
        let inner = self.0.borrow();
        let socket = inner.stream.get_ref().socket();
        socket.is_some_and(|socket| !matches!(socket.take_error(), Ok(None)))
    }

    /// The response of hyper's own that was held back.
    pub(super) fn bare_answer(&self) -> Option<Error> {
        self.0.borrow_mut().bare_answer.take()
    }

    /// Makes closing reset the connection.
    pub(super) fn reset(&self) {
        self.0.borrow_mut().set_reset_on_close(true);
    }

    /// The inner stream, after hyper has released the connection.
    pub(super) fn into_stream(self) -> Option<Box<dyn Transport>> {
        Rc::into_inner(self.0).map(|inner| inner.into_inner().stream.into_inner())
    }
}

impl Inner {
    fn set_reset_on_close(&mut self, reset: bool) {
        if let Some(socket) = self.stream.get_ref().socket() {
            // Unix sockets have no reset; their callers rely on a length or chunks.
            let _ = socket.set_linger(reset.then_some(Duration::ZERO));
        }
        self.is_reset_on_close = reset;
    }

    /// Records whether the caller reads.
    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let was_blocked = self.state.write_blocked.replace(polled.is_pending());
        let written = ready!(polled)?;
        // HTTP/2 pings are written to a caller that reads no responses, too.
        if !self.state.is_http2.get() || was_blocked {
            self.state.make_progress();
        }
        Poll::Ready(Ok(written))
    }

    /// Recognises a response that hyper makes by itself; returns its length.
    fn hold_back(&mut self, bytes: &[IoSlice<'_>]) -> Option<usize> {
        let is_answering = matches!(self.state.phase(), Phase::Busy | Phase::Flushing);
        if self.state.is_http2.get() || is_answering {
            return None;
        }
        let bytes = bytes.iter().find(|bytes| !bytes.is_empty())?;
        self.bare_answer = Some(match bytes.strip_prefix(b"HTTP/1.")?.get(2..5)? {
            b"400" => NOT_HTTP,
            b"414" => Error::TargetTooLong,
            b"431" => Error::HeaderTooLarge,
            _ => return None,
        });
        Some(bytes.len())
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stream.buffer().is_empty() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(flushed)
    }
}

impl AsyncRead for CallerIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self.0.borrow_mut();
        if !this.sniffed.is_empty() {
            let count = this.sniffed.len().min(room.remaining());
            room.put_slice(&this.sniffed.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = room.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, room);
        let state = &this.state;
        state.read_waits.set(polled.is_pending());
        ready!(polled)?;
        let count = room.filled().len() - before;
        if count == 0 && room.remaining() > 0 {
            this.is_at_end = true;
        } else if !state.is_http2.get() && state.phase() == Phase::Idle {
            // Some callers send a line end after a body.
            let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            if !room.filled()[before..].iter().all(is_line_end) {
                state.enter(Phase::Head);
            }
        }
        Poll::Ready(Ok(()))
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
        let this = &mut *self.0.borrow_mut();
        if let Some(length) = this.hold_back(bytes) {
            return Poll::Ready(Ok(length));
        }
        if this.state.caller.resets_on_close.get() && !this.is_reset_on_close {
            this.set_reset_on_close(true);
        }
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        if this.state.is_http2.get() && polled.is_ready() {
            // It is buffered, and written later.
            return polled;
        }
        this.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.0.borrow_mut();
        if this.state.is_http2.get() {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        if this.is_reset_on_close && !this.state.caller.resets_on_close.get() {
            this.set_reset_on_close(false);
        }
        if this.state.phase() == Phase::Flushing {
            this.state.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    /// HTTP/1.1 is not shut down here: what follows may be a WebSocket, and the caller has to be
    /// able to read its response.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self.0.borrow_mut();
        if !this.state.is_http2.get() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
