//! What carries one request and its answer: a connection that nothing else uses meanwhile (HTTP/1.1), or a
//! stream of one that many requests share (HTTP/2).
//!
//! The pipeline does not tell them apart. Both send a head that is HTTP/1.1 text, since that is what was
//! signed, and give back heads and bodies in the same types.

mod alone;
mod shared;

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

pub(super) use alone::Alone;
pub(super) use shared::Stream;
pub use shared::can_be_shared;

use crate::http1::{Fields, Framing, Malformed, ReadError, ResponseHead, Wire};

/// A request body that can be sent.
pub trait Outgoing {
    /// Why it cannot be had to its end.
    type Error;

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// What keeps the body from being complete. The connection has to be closed then.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>>;
}

/// Why a request could not be sent to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<E> {
    /// Its body ended early.
    #[error("{0}")]
    Body(E),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why no head of an answer came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// What came is not one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection broke or was closed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The request was not executed: it was never sent, or the gateway says that it has not looked at it.
    #[error(transparent)]
    Untouched(io::Error),
}

/// A connection to an upstream, taken out of its pool.
#[derive(Debug)]
pub struct Connection(Way);

#[derive(Debug)]
enum Way {
    Alone(Box<Alone>),
    Shared(Box<Stream>),
}

impl Connection {
    pub(super) fn alone(alone: Alone) -> Self {
        Self(Way::Alone(Box::new(alone)))
    }

    pub(super) fn shared(stream: Stream) -> Self {
        Self(Way::Shared(Box::new(stream)))
    }

    /// Whether it has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        match &self.0 {
            Way::Alone(alone) => alone.is_reused(),
            Way::Shared(stream) => stream.is_reused(),
        }
    }

    /// Bytes that were written since it was opened; of a stream, those that were handed over to be written.
    #[must_use]
    pub fn written(&self) -> u64 {
        match &self.0 {
            Way::Alone(alone) => alone.written(),
            Way::Shared(stream) => stream.written(),
        }
    }

    /// Whether something of an answer has come that was not taken yet. Of a stream it is not known.
    #[must_use]
    pub fn has_input(&mut self) -> bool {
        match &mut self.0 {
            Way::Alone(alone) => alone.has_input(),
            Way::Shared(_) => false,
        }
    }

    /// The bytes themselves, for what is no longer HTTP; `None` if they are shared.
    pub fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.0 {
            Way::Alone(alone) => Some(alone.wire()),
            Way::Shared(_) => None,
        }
    }

    /// Begins a request: `head` is all of it up to the empty line, `framing` what it says of the body.
    pub fn begin(&mut self, head: Bytes, framing: Framing, is_head: bool) {
        match &mut self.0 {
            Way::Alone(alone) => alone.begin(head, framing, is_head),
            Way::Shared(stream) => stream.begin(&head, framing, is_head),
        }
    }

    /// Sends the request, taking the body from its source only as fast as the gateway takes it.
    ///
    /// # Errors
    ///
    /// A [`SendError`]. After one of the connection, the answer may still be there to be read.
    pub fn poll_send<B: Outgoing>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), SendError<B::Error>>> {
        match &mut self.0 {
            Way::Alone(alone) => alone.poll_send(cx, body),
            Way::Shared(stream) => stream.poll_send(cx, body),
        }
    }

    /// Reads the head of an answer, be it interim or final.
    ///
    /// # Errors
    ///
    /// A [`ReceiveError`].
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ReceiveError>> {
        match &mut self.0 {
            Way::Alone(alone) => alone.poll_head(cx),
            Way::Shared(stream) => stream.poll_head(cx),
        }
    }

    /// Begins to read the body of the answer with this head; returns how long it is.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] if that can be read in two ways.
    pub fn receive(&mut self, head: &ResponseHead) -> Result<Framing, Malformed> {
        match &mut self.0 {
            Way::Alone(alone) => alone.receive(head),
            Way::Shared(stream) => stream.receive(head),
        }
    }

    /// The next piece of the answer's body; `None` at the end.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        match &mut self.0 {
            Way::Alone(alone) => alone.poll_piece(cx),
            Way::Shared(stream) => stream.poll_piece(cx),
        }
    }

    /// The trailers of the answer, once its end was read.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        match &mut self.0 {
            Way::Alone(alone) => alone.take_trailers(),
            Way::Shared(stream) => stream.take_trailers(),
        }
    }

    /// Has no further request sent over it: the gateway does not answer.
    pub fn distrust(&mut self) {
        if let Way::Shared(stream) = &self.0 {
            stream.distrust();
        }
    }

    /// Gives the connection back. It is kept for the next request if both sides are done with this one.
    pub fn release(self) {
        match self.0 {
            Way::Alone(alone) => alone.release(),
            // A stream is over when it is dropped, and what was not finished is taken back then.
            Way::Shared(_) => {}
        }
    }
}
