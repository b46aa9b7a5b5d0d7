//! WebSockets: after the handshake, bytes are passed on both ways until both sides have ended or
//! both are silent. Not `tokio::io::copy_bidirectional`: that one has no idle limit, and an error
//! of one direction loses what the other side had sent before.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{LocalBoxFuture, maybe_done};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::body::{ResponseBody, unless_idle};
use super::context::RequestContext;
use super::gateway_response::GatewayResponse;
use super::headers;
use crate::error::{Error, Retry};
use crate::inspect::note::Side;
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
    let takeover = move |stream, ahead| -> LocalBoxFuture<'static, ()> {
        Box::pin(tunnel((stream, ahead), gateway, idle, tunnelled))
    };
    context.caller.takeover.replace(Some(Box::new(takeover)));
    Ok(answer)
}

/// Passes bytes on between a caller and the gateway. What was read with the heads goes first. When
/// one side ends, the other is told, and may still send; `idle` bounds how long neither does.
///
/// # Cancel safety
///
/// Dropping the future closes both connections.
async fn tunnel(
    (caller, from_caller): (impl AsyncRead + AsyncWrite, Bytes),
    (gateway, from_gateway): (impl AsyncRead + AsyncWrite, Bytes),
    idle: Duration,
    context: Rc<RequestContext>,
) {
    let (received, sent) = (&context.upload.received, &context.bytes_sent);
    // The frames of a WebSocket are masked, so nothing of them is kept.
    let moved = |side, count: &Cell<u64>, bytes: usize| {
        count.set(count.get() + bytes as u64);
        if let Some(capture) = context.capture() {
            capture.bytes(side, bytes);
        }
    };
    let (caller_reader, caller_writer) = split(caller);
    let (gateway_reader, gateway_writer) = split(gateway);
    let ended = pin!(both(
        copy(caller_reader, gateway_writer, from_caller, |bytes| moved(
            Side::In,
            received,
            bytes
        )),
        copy(gateway_reader, caller_writer, from_gateway, |bytes| moved(
            Side::Out,
            sent,
            bytes
        )),
    ));
    let ended = unless_idle(idle, || received.get() + sent.get(), ended);
    let silent = || Err(io::Error::other("both sides were silent (timeouts.idle)"));
    match ended.await.unwrap_or_else(silent) {
        Ok(()) => context.ended(ResponseEnd::Whole),
        Err(error) => {
            let request_id = context.request_id();
            tracing::info!(%request_id, %error, "a WebSocket was cut off");
            context.ended(ResponseEnd::BrokenOff);
        }
    }
}

/// Awaits both directions, or the first error. Both are polled before an error ends them, so that
/// what one side sent before it broke still goes to the other.
async fn both(
    up: impl Future<Output = io::Result<()>>,
    down: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let (mut up, mut down) = (pin!(maybe_done(up)), pin!(maybe_done(down)));
    poll_fn(|cx| {
        let is_over = up.as_mut().poll(cx).is_ready() & down.as_mut().poll(cx).is_ready();
        for ended in [up.as_mut().output_mut(), down.as_mut().output_mut()] {
            if let Some(error) = ended.and_then(|ended| ended.as_ref().err()) {
                return Poll::Ready(Err(io::Error::new(error.kind(), error.to_string())));
            }
        }
        if is_over {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Passes on one direction, until its source has ended and the other side was told.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    ahead: Bytes,
    moved: impl Fn(usize),
) -> io::Result<()> {
    let mut data = BytesMut::with_capacity(READ);
    data.extend_from_slice(&ahead);
    loop {
        moved(data.len());
        to.write_all(&data).await?;
        to.flush().await?;
        data.clear();
        if from.read_buf(&mut data).await? == 0 {
            return to.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{duplex, join};

    use super::*;

    #[tokio::test]
    async fn what_a_side_sent_before_it_broke_goes_to_the_other() {
        let (near_caller, mut caller) = duplex(1024);
        caller.write_all(b"more").await.unwrap();
        let no_room = io::Cursor::new(Box::<[u8]>::default());
        let (from_caller, to_caller) = split(near_caller);
        let (from_broken, to_broken) = split(join(&b"last words"[..], no_room));
        let up = copy(from_caller, to_broken, Bytes::new(), |_| {});
        let down = copy(from_broken, to_caller, Bytes::new(), |_| {});
        let ended = both(up, down).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::WriteZero);
        let mut heard = String::new();
        caller.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
    }
}
