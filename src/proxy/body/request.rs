//! Request bodies on their way to the gateway.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::buffer::{Buffered, shifted};
use super::discard;
use super::idle::IdleTimer;
use crate::error::Error;
use crate::proxy::context::RequestContext;
use crate::proxy::headers;

/// A request body as it goes out.
#[derive(Debug)]
pub enum RequestBody {
    /// No body.
    Empty,
    /// A complete body.
    Buffered(BufferedBody),
    /// A body that is passed on while it arrives.
    Streamed(Box<StreamedBody>),
}

/// Why a body ends early; what went wrong is in the request's context.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request body ended early")]
pub struct UploadFailed;

/// A complete body, as far as it was sent.
#[derive(Debug)]
pub struct BufferedBody {
    body: Rc<Buffered>,
    /// The chunk that goes out next.
    next: usize,
    left: u64,
    attempt: u32,
    context: Rc<RequestContext>,
}

/// A body that is passed on while it arrives, counted against the limit.
#[derive(Debug)]
pub struct StreamedBody {
    /// The first frame, if it had to be waited for to know that there is a body.
    first: Option<Bytes>,
    /// Absent only while it is dropped.
    rest: Option<Incoming>,
    /// Its length, if the caller has declared one.
    length: Option<u64>,
    /// Bytes that may still come.
    left: u64,
    limit: u64,
    /// Absent where pauses have no limit.
    idle: Option<IdleTimer>,
    /// Whether pauses have no limit once something has come.
    is_conversation: bool,
    /// The number of the attempt that it is sent with.
    pub(super) attempt: u32,
    context: Rc<RequestContext>,
}

impl BufferedBody {
    pub(in crate::proxy) fn new(
        body: &Rc<Buffered>,
        attempt: u32,
        context: &Rc<RequestContext>,
    ) -> Self {
        Self {
            body: Rc::clone(body),
            next: 0,
            left: body.length,
            attempt,
            context: Rc::clone(context),
        }
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.body.chunks.get(self.next)?.clone();
        self.next += 1;
        self.left -= chunk.len() as u64;
        self.context.upload.send(chunk.len());
        if self.left == 0 {
            self.context.upload.finish();
        }
        Some(chunk)
    }
}

impl StreamedBody {
    /// A body of which `first` has come. `limit` bounds its length, and `idle` its pauses.
    pub(in crate::proxy) fn new(
        first: Option<Bytes>,
        rest: Incoming,
        limit: u64,
        idle: IdleTimer,
        context: &Rc<RequestContext>,
    ) -> Self {
        // The first message of a conversation may be the first frame.
        let is_conversation = context.is_grpc;
        Self {
            length: rest.size_hint().exact().filter(|_| first.is_none()),
            idle: Some(idle).filter(|_| !is_conversation || first.is_none()),
            first,
            rest: Some(rest),
            left: limit,
            limit,
            is_conversation,
            attempt: 0,
            context: Rc::clone(context),
        }
    }

    /// Whether all of it has been passed on, as far as that can be known.
    fn is_complete(&self) -> bool {
        let passed = self.limit - self.left;
        self.has_ended() || self.length == Some(passed)
    }

    fn has_ended(&self) -> bool {
        self.rest.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    /// Its length, if the caller has declared one.
    pub(in crate::proxy) fn declared(&self) -> Option<u64> {
        self.length
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(self.count(first)));
        }
        let Poll::Ready(frame) = self.poll_rest(cx) else {
            return match &mut self.idle {
                Some(idle) => idle
                    .poll_expired(cx)
                    .map(|()| Some(Err(Error::BodyTimeout))),
                None => Poll::Pending,
            };
        };
        match &mut self.idle {
            Some(_) if self.is_conversation => self.idle = None,
            Some(idle) => idle.stop(),
            None => {}
        }
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(Error::from_body(error))),
            Some(Ok(frame)) => Some(match frame.into_data() {
                Ok(data) => {
                    self.context.upload.receive(data.len());
                    self.count(data)
                }
                Err(frame) => Ok(Frame::trailers(passed_trailers(frame))),
            }),
        })
    }

    /// Discards what still comes, within the limit, to notice when the caller goes away: hyper does not read from
    /// it otherwise. Ready when the body breaks off.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while self.left > 0 && !self.has_ended() {
            match ready!(self.poll_rest(cx)) {
                None => break,
                Some(Err(error)) => return Poll::Ready(Error::from_body(error)),
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    self.context.upload.receive(length);
                    self.left = self.left.saturating_sub(length as u64);
                }
            }
        }
        Poll::Pending
    }

    /// Counts a frame against the limit.
    fn count(&mut self, data: Bytes) -> Result<Frame<Bytes>, Error> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or(Error::BodyTooLarge { limit: self.limit })?;
        self.context.upload.send(data.len());
        Ok(Frame::data(shifted(data)))
    }
}

impl Drop for BufferedBody {
    fn drop(&mut self) {
        self.context.upload.dropped(self.attempt);
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        self.context.upload.dropped(self.attempt);
        if let Some(rest) = self.rest.take() {
            discard(rest, &self.context);
        }
    }
}

/// The trailers of a request that go to the gateway.
fn passed_trailers(frame: Frame<Bytes>) -> HeaderMap {
    let mut passed = HeaderMap::new();
    if let Ok(trailers) = frame.into_trailers() {
        headers::pass_request(&trailers, &mut passed);
    }
    passed
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Buffered(BufferedBody { context, .. }) if context.upload.is_stopped() => {
                Poll::Pending
            }
            Self::Streamed(body) if body.context.upload.is_stopped() => {
                let error = ready!(body.poll_discard(cx));
                body.context.upload.fail(error);
                Poll::Ready(Some(Err(UploadFailed)))
            }
            Self::Buffered(body) => {
                Poll::Ready(body.next_chunk().map(|data| Ok(Frame::data(data))))
            }
            Self::Streamed(body) => {
                let frame = ready!(body.poll_frame(cx));
                let upload = &body.context.upload;
                Poll::Ready(match frame {
                    Some(Ok(frame)) => {
                        // hyper does not ask again for what it knows to be the end, and that is so as soon as the
                        // declared length was reached: over HTTP/2 the end itself may come later.
                        if body.is_complete() {
                            upload.finish();
                        }
                        Some(Ok(frame))
                    }
                    Some(Err(error)) => {
                        upload.fail(error);
                        Some(Err(UploadFailed))
                    }
                    None => {
                        upload.finish();
                        None
                    }
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Buffered(body) => body.left == 0,
            Self::Streamed(body) => body.first.is_none() && body.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Buffered(body) => SizeHint::with_exact(body.left),
            Self::Streamed(body) => match body.length {
                Some(length) => SizeHint::with_exact(length.saturating_sub(body.limit - body.left)),
                None => SizeHint::new(),
            },
        }
    }
}
