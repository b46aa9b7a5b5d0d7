//! WebSockets: after the handshake, bytes are passed on both ways until both sides have ended or
//! both are silent. Not `tokio::io::copy_bidirectional`: that one has no idle limit, and an error
//! of one direction loses what the other side had sent before.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::{IdleTimer, ResponseBody};
use super::context::RequestContext;
use super::gateway_response::GatewayResponse;
use super::headers;
use crate::error::{Error, Retry};
use crate::telemetry::access::ResponseEnd;

/// How much of each direction is read at once, in bytes.
const READ: usize = 16 * 1024;

/// Answers a WebSocket handshake, and hands both connections to a tunnel once the response was
/// written.
///
/// # Errors
///
/// [`Error::UpstreamReset`] if the connection to the gateway ends before that.
pub(super) async fn switch(
    reply: GatewayResponse,
    idle: Duration,
    context: &Rc<RequestContext>,
) -> Result<Response<ResponseBody>, Error> {
    let mut answer = Response::new(ResponseBody::whole(Bytes::new(), None));
    *answer.status_mut() = reply.head.status;
    let passed = answer.headers_mut();
    headers::pass(&reply.head.headers, passed, headers::is_for_caller);
    passed.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    passed.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let connection = reply.body.connection;
    let connection = connection.ok_or(Error::Internal("a 101 has a connection"))?;
    let gateway = connection.into_stream().await;
    let gateway = gateway.map_err(|error| Error::UpstreamReset(error.into(), Retry::Never))?;
    let tunnelled = Rc::clone(context);
    context
        .caller
        .takeover
        .replace(Some(Box::new(move |stream, ahead| {
            Box::pin(tunnel((stream, ahead), gateway, idle, tunnelled))
        })));
    Ok(answer)
}

/// Passes bytes on between a caller and the gateway. What was read with the heads goes first. When
/// one side ends, the other is told, and may still send; `idle` bounds how long neither does.
///
/// # Cancel safety
///
/// Dropping the future closes both connections.
async fn tunnel(
    (mut caller, from_caller): (impl AsyncRead + AsyncWrite + Unpin, Bytes),
    (mut gateway, from_gateway): (impl AsyncRead + AsyncWrite + Unpin, Bytes),
    idle: Duration,
    context: Rc<RequestContext>,
) {
    let mut up = Direction::new(from_caller);
    let mut down = Direction::new(from_gateway);
    let mut idle = IdleTimer::new(idle);
    let ended = std::future::poll_fn(|cx| {
        let up_ended = up.poll_copy(&mut caller, &mut gateway, cx);
        let down_ended = down.poll_copy(&mut gateway, &mut caller, cx);
        context.tunnelled(up.moved, down.moved);
        // Only now, so that what one side has sent before it broke still goes to the other.
        let (up_ended, down_ended) = (up_ended?, down_ended?);
        if up_ended.is_ready() && down_ended.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let silent = "both sides were silent (timeouts.idle)";
        let silent = || Err(io::Error::new(io::ErrorKind::TimedOut, silent));
        idle.poll_expired(up.moved + down.moved, cx)
            .map(|()| silent())
    });
    match ended.await {
        Ok(()) => context.ended(ResponseEnd::Whole),
        Err(error) => {
            tracing::info!(%error, "a WebSocket was cut off");
            context.ended(ResponseEnd::BrokenOff);
        }
    }
}

/// One direction of a tunnel.
struct Direction {
    moved: u64,
    /// What was read and is still to be written.
    waiting: BytesMut,
    /// The source has ended; the other side was told.
    is_ended: bool,
    is_closed: bool,
}

impl Direction {
    fn new(read_ahead: Bytes) -> Self {
        Self {
            moved: read_ahead.len() as u64,
            waiting: BytesMut::from(read_ahead),
            is_ended: false,
            is_closed: false,
        }
    }

    /// Ready when the source has ended and the other side knows.
    fn poll_copy(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_closed {
            while !self.waiting.is_empty() {
                match ready!(Pin::new(&mut *to).poll_write(cx, &self.waiting))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.waiting.advance(written),
                }
            }
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            if self.is_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_closed = true;
            } else {
                self.is_ended = ready!(self.poll_read(from, cx))? == 0;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = [0; READ];
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        self.waiting.extend_from_slice(read);
        self.moved += read.len() as u64;
        Poll::Ready(Ok(read.len()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, join};

    use super::*;

    #[tokio::test]
    async fn what_a_side_sent_before_it_broke_goes_to_the_other() {
        let (mut near_caller, mut caller) = duplex(1024);
        caller.write_all(b"more").await.unwrap();
        let no_room = io::Cursor::new(Box::<[u8]>::default());
        let mut broken = join(&b"last words"[..], no_room);
        let (mut up, mut down) = (Direction::new(Bytes::new()), Direction::new(Bytes::new()));
        let ended = std::future::poll_fn(|cx| {
            let up = up.poll_copy(&mut near_caller, &mut broken, cx);
            let _ = down.poll_copy(&mut broken, &mut near_caller, cx)?;
            up
        });
        assert_eq!(ended.await.unwrap_err().kind(), io::ErrorKind::WriteZero);
        drop(near_caller);
        let mut heard = String::new();
        caller.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
    }
}
