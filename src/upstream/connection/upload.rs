//! The body of a request over HTTP/2, sent as far as flow control admits it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Frame;
use tokio::task::spawn_local;
use tokio_util::task::AbortOnDropHandle;

use super::SendBody;

/// The longest body that is handed to `h2` at once, in bytes.
const SHORT_BODY: u64 = 16 * 1024;

/// Sends the body of a request that could not be sent at once. Dropping it resets the stream.
pub(crate) type Upload = AbortOnDropHandle<()>;

/// Sends a body. What cannot be sent at once is sent by a task.
pub(super) fn start<B: SendBody>(mut body: B, mut stream: SendStream<Bytes>) -> Option<Upload> {
    let mut context = Context::from_waker(Waker::noop());
    // `h2` holds a short body until flow control admits it. That takes no future of its own.
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length <= SHORT_BODY)
        && let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(&mut context)
        && send_frame(frame, body.is_end_stream(), &mut stream)
    {
        return None;
    }
    let mut sending = Box::pin(send_body(body, stream));
    let is_sent = sending.as_mut().poll(&mut context).is_ready();
    (!is_sent).then(|| Upload::new(spawn_local(sending)))
}

/// Sends a body until its end, or until the gateway resets the stream.
async fn send_body<B: SendBody>(mut body: B, mut stream: SendStream<Bytes>) {
    loop {
        // The body is not polled before there is room for its data, nor after a reset.
        let frame = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            stream.reserve_capacity(1);
            if stream.capacity() == 0 && !matches!(ready!(stream.poll_capacity(cx)), Some(Ok(_))) {
                return Poll::Ready(None);
            }
            Pin::new(&mut body).poll_frame(cx).map(Some)
        });
        let Some(frame) = frame.await else { return };
        if send_frame(frame, body.is_end_stream(), &mut stream) {
            return;
        }
    }
}

/// Sends a frame of a body, or resets the stream if the body failed. Returns `true` after the last
/// one.
fn send_frame<E>(
    frame: Option<Result<Frame<Bytes>, E>>,
    is_last: bool,
    stream: &mut SendStream<Bytes>,
) -> bool {
    let (frame, is_last) = match frame {
        Some(Ok(frame)) => (frame, is_last),
        Some(Err(_)) => {
            stream.send_reset(Reason::CANCEL);
            return true;
        }
        None => (Frame::data(Bytes::new()), true),
    };
    match frame.into_data() {
        Ok(data) => stream.send_data(data, is_last).is_err() || is_last,
        Err(frame) => {
            // There is nothing after trailers, and no other kind of frame.
            let trailers = frame.into_trailers().unwrap_or_default();
            let _ = stream.send_trailers(trailers);
            true
        }
    }
}
