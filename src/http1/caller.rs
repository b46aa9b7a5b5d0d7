//! The side of a caller: its connection, shared by the one who answers and the one who reads the body.
//!
//! Both belong to one task, so the connection lies in a cell and not behind a lock. It is borrowed for
//! single steps only, never over an await.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::body::{BodyDecoder, Decoded, ReadError};
use super::framing::Framing;
use super::head::{RequestHead, Version};
use super::traffic::Traffic;
use super::wire::Wire;

/// A caller's connection, and how far the body of the current request has been read.
#[derive(Debug)]
pub struct Caller {
    /// The connection.
    pub wire: Wire,
    body: BodyDecoder,
    /// Whether the caller waits for `100 Continue` before it sends the body.
    waits: bool,
    /// Whether whoever reads the body waits for more of it.
    is_awaited: bool,
    traffic: Rc<Traffic>,
}

impl Caller {
    /// A caller that has sent nothing.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            body: BodyDecoder::new(Framing::Length(0)),
            waits: false,
            is_awaited: false,
            traffic: Rc::default(),
        }
    }

    /// Begins to read the body of a request.
    pub fn begin(&mut self, head: &RequestHead) {
        self.body = BodyDecoder::new(head.framing);
        self.is_awaited = false;
        self.traffic.begin();
        self.waits = head.version == Version::Http11 && head.fields.lists("expect", "100-continue");
    }

    /// Whether the body was read to its end.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.body.is_done()
    }

    /// Whether the body was asked for more than has come. Then the end of the connection is noticed.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// How much the current request has moved.
    #[must_use]
    pub fn traffic(&self) -> &Rc<Traffic> {
        &self.traffic
    }

    /// Throws away what of the body has come already; whether that was all of it.
    pub fn discard_buffered(&mut self) -> bool {
        while let Ok(Decoded::Piece(piece)) = self.body.decode(self.wire.input()) {
            self.traffic.receive(piece.len());
        }
        self.body.is_done()
    }

    /// The next piece of the body. Asks the caller to send it, if it waits for that.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if let Err(error) = self.ask(cx) {
            return Poll::Ready(Some(Err(error.into())));
        }
        let piece = self.body.poll_piece(&mut self.wire, cx);
        self.is_awaited = piece.is_pending();
        if let Poll::Ready(Some(Ok(piece))) = &piece {
            self.traffic.receive(piece.len());
        }
        piece
    }

    /// Reads bytes of the body straight to where they stay.
    fn poll_into(
        &mut self,
        room: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadError>> {
        self.ask(cx)?;
        let read = self.body.poll_into(&mut self.wire, room, cx);
        self.is_awaited = read.is_pending();
        if let Poll::Ready(Ok(read)) = &read {
            self.traffic.receive(*read);
        }
        read
    }

    /// Asks for the body if the caller waits for that.
    fn ask(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !std::mem::take(&mut self.waits) {
            return Ok(());
        }
        // A caller that did not wait needs no answer.
        if self.wire.input().is_empty() && !self.body.is_done() {
            self.wire
                .queue(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"));
            if let Poll::Ready(Err(error)) = self.wire.poll_flush(cx) {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The body of a request on its way in.
#[derive(Debug)]
pub struct Incoming {
    caller: Rc<RefCell<Caller>>,
    framing: Framing,
}

impl Incoming {
    /// The body of the request that `caller` has begun to send.
    #[must_use]
    pub fn new(caller: Rc<RefCell<Caller>>, framing: Framing) -> Self {
        Self { caller, framing }
    }

    /// Its length in bytes, if the caller has declared one.
    #[must_use]
    pub fn declared(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Whether it has been read to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.caller.borrow().has_all()
    }

    /// The next piece; `None` at the end. It is never empty. Trailers are left out.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        self.caller.borrow_mut().poll_piece(cx)
    }

    /// Whether what comes next can be read by [`Self::poll_into`].
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let caller = &mut *self.caller.borrow_mut();
        caller.body.is_plain(&mut caller.wire)
    }

    /// Reads straight to where the body stays, if it [is plain](Self::is_plain); resolves to how much.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn poll_into(
        &mut self,
        room: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadError>> {
        self.caller.borrow_mut().poll_into(room, cx)
    }

    /// How much the request has moved.
    #[must_use]
    pub fn traffic(&self) -> Rc<Traffic> {
        Rc::clone(&self.caller.borrow().traffic)
    }

    /// Where interim answers for the caller go.
    #[must_use]
    pub fn interim(&self) -> Interim {
        Interim(Rc::clone(&self.caller))
    }
}

/// Sends interim answers to a caller.
#[derive(Debug)]
pub struct Interim(Rc<RefCell<Caller>>);

impl Interim {
    /// Queues the head of an interim answer. It is written when the caller's task runs next.
    pub fn send(&self, head: Vec<u8>) {
        self.0.borrow_mut().wire.queue(head.into());
    }
}
