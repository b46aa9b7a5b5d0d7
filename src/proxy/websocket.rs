//! WebSockets: after the handshake, bytes are copied in both directions until both sides have ended
//! or both are idle. Not `tokio::io::copy_bidirectional`: it has no idle limit, and an error in one
//! direction loses what the other side has sent before.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{FusedFuture, FutureExt, LocalBoxFuture, select, try_join};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::body::{ResponseBody, unless_idle};
use super::context::RequestContext;
use super::gateway_response::GatewayResponse;
use super::headers;
use crate::error::{Error, Retry};
use crate::inspect::note::Side;
use crate::telemetry::access_log::ResponseEnd;

/// How much of each direction is read at once, in bytes.
const READ: usize = 16 * 1024;

/// How long nothing may move in the other direction after one has failed to write: all that the
/// broken side sent is there, but its reader may be slow. And after one has failed to read.
const IDLE_AFTER_WRITE: Duration = Duration::from_secs(30);
const IDLE_AFTER_READ: Duration = Duration::from_secs(1);

/// Why a direction failed, and how long nothing may move in the other one then.
type Broken = (io::Error, Duration);

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
/// one side ends, the other is told, and may still send; `idle` bounds how long neither does. When
/// one breaks, both connections are closed, without the end that TLS has for complete streams.
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
    let up = |bytes| moved(Side::In, received, bytes);
    let down = |bytes| moved(Side::Out, sent, bytes);
    let progress = || received.get() + sent.get();
    let ended = pin!(both(
        copy(caller_reader, gateway_writer, from_caller, up),
        copy(gateway_reader, caller_writer, from_gateway, down),
        progress,
    ));
    let ended = unless_idle(idle, progress, ended).await;
    let silent = || {
        Err(io::Error::other(
            "neither side sent anything for `timeouts.idle`",
        ))
    };
    match ended.unwrap_or_else(silent) {
        Ok(()) => context.ended(ResponseEnd::Whole),
        Err(error) => {
            let request_id = context.request_id();
            tracing::info!(%request_id, %error, "a WebSocket ended early");
            context.ended(ResponseEnd::BrokenOff);
        }
    }
}

/// Awaits both directions, or the first error. Then the other direction goes on while there is
/// progress, so that what a side sent before it broke still arrives, also at a slow reader.
async fn both(
    up: impl Future<Output = Result<(), Broken>>,
    down: impl Future<Output = Result<(), Broken>>,
    progress: impl Fn() -> u64,
) -> io::Result<()> {
    let (mut up, mut down) = (pin!(up.fuse()), pin!(down.fuse()));
    let ended = try_join(&mut up, &mut down).await;
    if let Err((_, idle)) = &ended
        && !(up.is_terminated() && down.is_terminated())
    {
        let _ = unless_idle(*idle, progress, pin!(select(up, down))).await;
    }
    ended.map(drop).map_err(|(error, _)| error)
}

/// Passes on one direction, until its source has ended and the other side was told.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    ahead: Bytes,
    moved: impl Fn(usize),
) -> Result<(), Broken> {
    let written = |error| (error, IDLE_AFTER_WRITE);
    let mut data = BytesMut::with_capacity(READ);
    data.extend_from_slice(&ahead);
    loop {
        moved(data.len());
        to.write_all(&data).await.map_err(written)?;
        to.flush().await.map_err(written)?;
        data.clear();
        let read = from.read_buf(&mut data).await;
        if read.map_err(|error| (error, IDLE_AFTER_READ))? == 0 {
            return to.shutdown().await.map_err(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_side_sent_before_it_broke_goes_to_a_slow_reader() {
        let (near, mut caller) = io::duplex(READ);
        let no_room = std::io::Cursor::new(Box::<[u8]>::default());
        let (moved, mut data) = (Cell::new(0), [0; READ]);
        let up = copy(&b"more"[..], no_room, Bytes::new(), |_| {});
        let down = copy(&[7; 5 * READ][..], near, Bytes::new(), |_| {
            moved.set(moved.get() + 1)
        });
        let reader = async {
            for _ in 0..5 {
                sleep(IDLE_AFTER_WRITE / 2).await;
                caller.read_exact(&mut data).await.unwrap();
            }
        };
        let (ended, ()) = tokio::join!(both(up, down, || moved.get()), reader);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
