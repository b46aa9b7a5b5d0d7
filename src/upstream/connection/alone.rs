//! A connection with HTTP/1.1: a request goes out, its answer comes back, then perhaps the next.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{Outgoing, ReceiveError, SendError};
use crate::http1::{
    BodyDecoder, Encoder, Fields, Framing, Malformed, ReadError, ResponseHead, Scanner, Wire,
};
use crate::upstream::connect::Opened;
use crate::upstream::pool::Pool;

/// Longest head of an answer, in bytes.
const HEAD: usize = 64 * 1024;

/// A connection that carries one request at a time.
#[derive(Debug)]
pub(in crate::upstream) struct Alone {
    opened: Opened,
    pool: Rc<Pool>,
    is_reused: bool,
    request: Sending,
    answer: Receiving,
    /// Held for its drop: then another request may have a connection.
    _slot: OwnedSemaphorePermit,
}

/// How far the request is.
#[derive(Debug)]
struct Sending {
    encoder: Encoder,
    /// Whether everything was queued, and whether it was written as well.
    is_queued: bool,
    is_written: bool,
    is_head: bool,
}

/// How far the answer is.
#[derive(Debug)]
struct Receiving {
    scanner: Scanner,
    body: BodyDecoder,
    keeps_alive: bool,
}

impl Alone {
    pub(in crate::upstream) fn new(
        opened: Opened,
        is_reused: bool,
        pool: Rc<Pool>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            opened,
            pool,
            is_reused,
            _slot: slot,
            request: Sending {
                encoder: Encoder::Plain,
                is_queued: true,
                is_written: true,
                is_head: false,
            },
            answer: Receiving {
                scanner: Scanner::default(),
                body: BodyDecoder::new(Framing::Length(0)),
                keeps_alive: false,
            },
        }
    }

    /// Whether it has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Bytes that were written since it was opened.
    pub(super) fn written(&self) -> u64 {
        self.opened.wire.written()
    }

    /// Whether something of an answer has come that was not taken yet.
    pub(super) fn has_input(&mut self) -> bool {
        !self.opened.wire.input().is_empty()
    }

    /// The bytes themselves, for what is no longer HTTP.
    pub(super) fn wire(&mut self) -> &mut Wire {
        &mut self.opened.wire
    }

    /// Begins a request: `head` is all of it up to the empty line, `framing` what it says of the body.
    pub(super) fn begin(&mut self, head: Bytes, framing: Framing, is_head: bool) {
        self.opened.wire.queue(head);
        self.request = Sending {
            encoder: Encoder::new(framing),
            is_queued: framing.is_empty(),
            is_written: false,
            is_head,
        };
        self.answer.scanner = Scanner::default();
        self.answer.keeps_alive = false;
    }

    /// Sends the request, taking the body from its source only as fast as the gateway takes it.
    ///
    /// # Errors
    ///
    /// A [`SendError`]. After one of the connection, the answer may still be there to be read.
    pub(super) fn poll_send<B: Outgoing>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), SendError<B::Error>>> {
        let mut is_waiting = false;
        while !self.request.is_queued && !self.opened.wire.is_full() && !is_waiting {
            match body.poll_piece(cx) {
                Poll::Pending => is_waiting = true,
                Poll::Ready(None) => {
                    self.request.encoder.finish(&mut self.opened.wire, None);
                    self.request.is_queued = true;
                }
                Poll::Ready(Some(Ok(piece))) => {
                    self.request.encoder.queue(&mut self.opened.wire, piece)
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(SendError::Body(error))),
            }
        }
        ready!(self.opened.wire.poll_flush(cx))?;
        if self.request.is_queued {
            self.request.is_written = true;
            return Poll::Ready(Ok(()));
        }
        if !is_waiting {
            // There is more to send, but the answer may have come in the meantime.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads the head of an answer, be it interim or final.
    ///
    /// # Errors
    ///
    /// A [`ReceiveError`].
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, ReceiveError>> {
        loop {
            if let Some(span) = self.answer.scanner.find(self.opened.wire.input(), HEAD)? {
                let head = self.opened.wire.input().split_to(span.end).freeze();
                self.answer.scanner = Scanner::default();
                return Poll::Ready(
                    ResponseHead::parse(&head.slice(span.start..)).map_err(Into::into),
                );
            }
            // What cannot become an answer is refused before it is waited for.
            if !could_be_answer(self.opened.wire.input()) {
                return Poll::Ready(Err(Malformed::StatusLine.into()));
            }
            if ready!(self.opened.wire.poll_fill(cx))? == 0 {
                let is_empty = self.opened.wire.input().is_empty();
                return Poll::Ready(Err(if is_empty {
                    io::Error::from(io::ErrorKind::UnexpectedEof).into()
                } else {
                    Malformed::StatusLine.into()
                }));
            }
        }
    }

    /// Begins to read the body of the answer with this head; returns how long it is.
    ///
    /// # Errors
    ///
    /// A [`Malformed`] if that can be read in two ways.
    pub(super) fn receive(&mut self, head: &ResponseHead) -> Result<Framing, Malformed> {
        let framing = head.framing(self.request.is_head)?;
        self.answer.body = BodyDecoder::new(framing);
        self.answer.keeps_alive = head.keeps_alive() && framing != Framing::UntilClose;
        Ok(framing)
    }

    /// The next piece of the answer's body; `None` at the end.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        self.answer.body.poll_piece(&mut self.opened.wire, cx)
    }

    /// The trailers of the answer, once its end was read.
    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        self.answer.body.take_trailers()
    }

    /// Gives the connection back. It is kept for the next request if both sides are done with this one.
    pub(super) fn release(mut self) {
        let is_clean = self.opened.wire.input().is_empty() && !self.opened.wire.is_pending();
        if self.answer.keeps_alive
            && self.answer.body.is_done()
            && self.request.is_written
            && is_clean
        {
            self.pool.put(self.opened);
        }
    }
}

/// Whether these bytes could be the beginning of an answer.
fn could_be_answer(bytes: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let length = bytes.len().min(start.len());
    bytes == b"\r" || bytes[..length] == start[..length]
}
