//! One connection's bytes: what came and was not read yet, and what is to go out.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::output::Output;
use super::spare::{self, FIRST};

/// Below this much room more is made, so that no read is for a few bytes only.
const LEAST: usize = 4 * 1024;

/// A byte stream in both directions, of which the end can be made abrupt.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + fmt::Debug {
    /// Makes closing reset the connection, so that what was sent cannot be taken for complete.
    fn reset_on_close(&mut self);

    /// Takes [`Self::reset_on_close`] back.
    fn end_on_close(&mut self);

    /// Whether the connection has failed since it was last asked. It asks nobody, so a peer that has
    /// gone is only known once something was sent to it.
    fn has_failed(&mut self) -> bool;
}

impl Transport for TcpStream {
    fn reset_on_close(&mut self) {
        // If it cannot be set, the connection is closed in the ordinary way.
        let _ = SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }

    fn end_on_close(&mut self) {
        let _ = SockRef::from(&*self).set_linger(None);
    }

    fn has_failed(&mut self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

impl Transport for UnixStream {
    fn reset_on_close(&mut self) {
        // There is no reset here: a peer that reads until the end cannot tell. It has a length or chunks for that.
    }

    fn end_on_close(&mut self) {}

    fn has_failed(&mut self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

impl Transport for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset_on_close(&mut self) {
        self.get_mut().0.reset_on_close();
    }

    fn end_on_close(&mut self) {
        self.get_mut().0.end_on_close();
    }

    fn has_failed(&mut self) -> bool {
        self.get_mut().0.has_failed()
    }
}

impl Transport for TlsStream<TcpStream> {
    fn reset_on_close(&mut self) {
        self.get_mut().0.reset_on_close();
    }

    fn end_on_close(&mut self) {
        self.get_mut().0.end_on_close();
    }

    fn has_failed(&mut self) -> bool {
        self.get_mut().0.has_failed()
    }
}

/// A connection with its buffers.
#[derive(Debug)]
pub struct Wire {
    transport: Box<dyn Transport>,
    input: BytesMut,
    output: Output,
    written: u64,
    /// Whether the last read filled all the room, so that more is likely to be there.
    is_busy: bool,
    is_ended: bool,
}

impl Wire {
    /// A connection of which nothing was read or written.
    #[must_use]
    pub fn new(transport: impl Transport + 'static) -> Self {
        Self {
            transport: Box::new(transport),
            input: BytesMut::new(),
            output: Output::default(),
            written: 0,
            is_busy: false,
            is_ended: false,
        }
    }

    /// What came and was not taken yet.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Whether the peer has ended its sending side.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Bytes that were written since the beginning.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Reads more into the input; resolves to how much, which is 0 at the end.
    ///
    /// # Errors
    ///
    /// What the transport says.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 && !self.is_busy {
            self.input = spare::take();
        }
        let room = self.input.capacity() - self.input.len();
        if room < LEAST && self.is_busy {
            self.input = spare::more(&self.input);
        } else if room < LEAST {
            self.input.reserve(FIRST);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(poll_read_buf(
            Pin::new(&mut self.transport),
            cx,
            &mut self.input
        ))?;
        // A stream that comes in records never fills more than one at once.
        self.is_busy = read == room || (self.is_busy && read >= LEAST);
        self.is_ended |= read == 0;
        Poll::Ready(Ok(read))
    }

    /// Reads straight into `room`, past the input, which must have been taken; resolves to how much, which is
    /// 0 at the end.
    ///
    /// # Errors
    ///
    /// What the transport says.
    pub fn poll_fill_room(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        self.is_ended |= read == 0;
        Poll::Ready(Ok(read))
    }

    /// Gives memory back while nothing is expected.
    pub fn rest(&mut self) {
        self.output.rest();
        if self.input.is_empty() {
            spare::give(std::mem::take(&mut self.input));
            self.is_busy = false;
        }
    }

    /// Adds bytes to what goes out.
    pub fn queue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.output.push(bytes);
        }
    }

    /// Adds a copy of a few bytes to what goes out.
    pub fn queue_copy(&mut self, bytes: &[u8]) {
        self.output.copy(bytes);
    }

    /// Whether enough is queued for the source of more to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.output.is_full()
    }

    /// Whether something is to be written.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.output.has_remaining()
    }

    /// Bytes that are still to be written.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.output.remaining()
    }

    /// Writes what is queued.
    ///
    /// # Errors
    ///
    /// What the transport says.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.has_remaining() {
            let transport = Pin::new(&mut self.transport);
            let written = ready!(poll_write_buf(transport, cx, &mut self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written as u64;
        }
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    /// Ends the sending side.
    ///
    /// # Errors
    ///
    /// What the transport says.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    /// Makes closing reset the connection.
    pub fn reset_on_close(&mut self) {
        self.transport.reset_on_close();
    }

    /// Takes [`Self::reset_on_close`] back.
    pub fn end_on_close(&mut self) {
        self.transport.end_on_close();
    }

    /// Whether the connection has failed since this was last asked.
    pub fn has_failed(&mut self) -> bool {
        self.transport.has_failed()
    }
}
