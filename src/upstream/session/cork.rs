//! Bytes of an HTTP/2 connection, held back until all of one turn are there.
//!
//! The frames of many requests then go out in one TLS record and one system call, which is most of what
//! HTTP/2 saves here. `h2` flushes after each longer frame by itself, so flushing does nothing here:
//! [`Cork::poll_out`] writes, once the turn is over.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How much is held back at most, in bytes; more is written at once.
const MOST: usize = 64 * 1024;

/// How much room is kept while there is nothing to write.
const KEPT: usize = 32 * 1024;

/// One connection, for `h2` and for the one who writes.
#[derive(Clone, Debug)]
pub(super) struct Cork(Rc<RefCell<Corked>>);

#[derive(Debug)]
struct Corked {
    stream: TlsStream<TcpStream>,
    queued: BytesMut,
}

impl Cork {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        let queued = BytesMut::new();
        Self(Rc::new(RefCell::new(Corked { stream, queued })))
    }

    /// Writes what was held back.
    pub(super) fn poll_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_out(cx)
    }
}

impl Corked {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queued.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.queued))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.queued.advance(written);
        }
        if self.queued.capacity() > KEPT {
            self.queued = BytesMut::new();
        } else {
            self.queued.clear();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.queued.len() < MOST {
            return Poll::Ready(Ok(()));
        }
        self.poll_out(cx)
    }
}

impl AsyncRead for Cork {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, room)
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
        ready!(corked.poll_room(cx))?;
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
        ready!(corked.poll_out(cx))?;
        Pin::new(&mut corked.stream).poll_shutdown(cx)
    }
}
