//! Request bodies on their way to the gateway.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use crate::error::Error;
use crate::proxy::budget::Room;
use crate::proxy::idle::IdleTimer;

/// A request body as it goes out.
#[derive(Debug)]
pub enum RequestBody {
    /// No body.
    Empty,
    /// A body that was hashed: the pieces it came in.
    Held(Held),
    /// A body that is passed on while it arrives.
    Streamed(Box<Streamed>),
}

/// The pieces of a hashed body, and the room they take.
#[derive(Debug)]
pub struct Held {
    pub(in crate::proxy) pieces: VecDeque<Bytes>,
    /// Held for its drop: it is given back with the pieces.
    pub(in crate::proxy) _room: Room,
    pub(in crate::proxy) progress: Rc<Progress>,
}

/// A body that is passed on while it arrives, counted against the limit.
#[derive(Debug)]
pub struct Streamed {
    /// The first piece, if it had to be waited for to know that there is one.
    pub(in crate::proxy) first: Option<Bytes>,
    pub(in crate::proxy) rest: Incoming,
    /// Bytes that may still come.
    pub(in crate::proxy) left: u64,
    pub(in crate::proxy) limit: u64,
    pub(in crate::proxy) idle: IdleTimer,
    pub(in crate::proxy) progress: Rc<Progress>,
}

/// How far the sending of a body is; shared with the one who waits for the answer.
#[derive(Debug)]
pub(in crate::proxy) struct Progress {
    /// When a piece was last taken for sending.
    last: Cell<Instant>,
    complete: Cell<bool>,
    failure: RefCell<Option<Error>>,
}

impl Progress {
    pub(in crate::proxy) fn new() -> Rc<Self> {
        Rc::new(Self {
            last: Cell::new(Instant::now()),
            complete: Cell::new(false),
            failure: RefCell::new(None),
        })
    }

    pub(in crate::proxy) fn last(&self) -> Instant {
        self.last.get()
    }

    /// Whether the body was taken to its end.
    pub(in crate::proxy) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    /// Why the body ended early, if it did.
    pub(in crate::proxy) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    fn advance(&self, complete: bool) {
        self.last.set(Instant::now());
        self.complete.set(complete);
    }

    fn fail(&self, error: Error) -> BodyEnded {
        *self.failure.borrow_mut() = Some(error);
        BodyEnded
    }
}

impl RequestBody {
    /// How far the sending is; `None` without a body.
    pub(in crate::proxy) fn progress(&self) -> Option<Rc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Held(held) => Some(Rc::clone(&held.progress)),
            Self::Streamed(streamed) => Some(Rc::clone(&streamed.progress)),
        }
    }
}

/// Tells the connection to stop sending; what happened is in [`Progress`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body ended early")]
pub struct BodyEnded;

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyEnded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnded>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Held(held) => {
                let piece = held.pieces.pop_front();
                held.progress.advance(held.pieces.is_empty());
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            Self::Streamed(streamed) => streamed
                .poll_piece(cx)
                .map(|piece| piece.map(|p| p.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Held(held) => held.pieces.is_empty(),
            Self::Streamed(streamed) => streamed.first.is_none() && streamed.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Held(held) => {
                SizeHint::with_exact(held.pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            // A first piece is only taken out when the length is not known.
            Self::Streamed(streamed) => streamed.rest.size_hint(),
        }
    }
}

impl Streamed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyEnded>>> {
        let piece = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => ready!(self.poll_rest(cx)),
        };
        Poll::Ready(match piece {
            None => {
                self.progress.advance(true);
                None
            }
            Some(Err(error)) => Some(Err(self.progress.fail(error))),
            Some(Ok(piece)) => Some(self.counted(piece)),
        })
    }

    fn counted(&mut self, piece: Bytes) -> Result<Bytes, BodyEnded> {
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(self
                    .progress
                    .fail(Error::BodyTooLarge { limit: self.limit }));
            }
        }
        self.progress.advance(self.rest.is_end_stream());
        Ok(piece)
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.idle.poll_expired(cx));
                    return Poll::Ready(Some(Err(Error::BodyTimeout)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Error::BodyIncomplete(error))));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.idle.stop();
                    // Trailers are not passed on: no signature covers them.
                    if let Ok(piece) = frame.into_data() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
            }
        }
    }
}
