//! Response bodies of both protocols.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::Cause;

/// The body of a gateway's response.
#[derive(Debug)]
pub enum GatewayBody {
    /// Over HTTP/1.1.
    Http1(Incoming),
    /// Over HTTP/2.
    Http2(StreamBody),
}

/// The body of an HTTP/2 response.
#[derive(Debug)]
pub struct StreamBody {
    pub(super) stream: RecvStream,
    /// What is left of the length that the response declared.
    pub(super) left: Option<u64>,
}

impl StreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let stream = &mut self.stream;
        match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                if let Err(error) = stream.flow_control().release_capacity(data.len()) {
                    return Poll::Ready(Some(Err(error.into())));
                }
                let left = &mut self.left;
                *left = left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // The gateway reads no more of the request, which is no fault if its response is
            // complete (RFC 9113 §8.1).
            Some(Err(error))
                if error.reason() == Some(Reason::NO_ERROR) && self.left == Some(0) =>
            {
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => match ready!(stream.poll_trailers(cx)) {
                Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Err(error) => Poll::Ready(Some(Err(error.into()))),
            },
        }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match &mut *self {
            Self::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Cause::from))),
            Self::Http2(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) if body.stream.is_end_stream() => SizeHint::with_exact(0),
            Self::Http2(body) => body.left.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}
