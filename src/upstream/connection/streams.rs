//! HTTP/2 streams: the head of a response, and bodies, both ways, as far as flow control admits
//! them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::task::spawn_local;
use tokio_util::task::AbortOnDropHandle;

use super::{MAX_INTERIM, SendBody};
use crate::error::{Cause, Error};

/// The longest body that is handed to `h2` at once, in bytes.
const SHORT_BODY: u64 = 16 * 1024;

/// The body of a response.
#[derive(Debug)]
pub(crate) struct StreamBody {
    pub(super) stream: RecvStream,
    /// What is left of the length that the response declared.
    pub(super) left: Option<u64>,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let Self { stream, left } = &mut *self;
        Poll::Ready(match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                let released = stream.flow_control().release_capacity(data.len());
                *left = left.map(|left| left.saturating_sub(data.len() as u64));
                Some(released.map(|()| Frame::data(data)).map_err(Cause::from))
            }
            // The gateway reads no more of the request, which is no fault if its response is
            // complete (RFC 9113 §8.1).
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) && *left == Some(0) => {
                None
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => {
                let trailers = ready!(stream.poll_trailers(cx)).map_err(Cause::from);
                trailers
                    .map(|trailers| trailers.map(Frame::trailers))
                    .transpose()
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            left => left.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

/// Waits for the head of the final response. A 101 is an error: nothing follows it, and HTTP/2 has no
/// such upgrade (RFC 9113 §8.6).
pub(super) async fn final_response(
    mut response: ResponseFuture,
    classify: impl Fn(h2::Error) -> Error,
) -> Result<Response<RecvStream>, Error> {
    let mut interim = 0;
    poll_fn(|cx| {
        while let Some(head) = ready!(response.poll_informational(cx)) {
            interim += 1;
            let what = match head.map_err(&classify)?.status() {
                StatusCode::SWITCHING_PROTOCOLS => "it is a 101, which HTTP/2 does not have",
                _ if interim > MAX_INTERIM => "it is preceded by too many interim answers",
                _ => continue,
            };
            return Poll::Ready(Err(Error::BadResponse(what.into())));
        }
        Pin::new(&mut response).poll(cx).map_err(&classify)
    })
    .await
}

/// Sends the body of a request that could not be sent at once. Dropping it resets the stream.
pub(crate) type Upload = AbortOnDropHandle<()>;

/// Sends a body. What cannot be sent at once is sent by a task.
pub(super) fn upload<B: SendBody>(mut body: B, mut stream: SendStream<Bytes>) -> Option<Upload> {
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
