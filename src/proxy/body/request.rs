//! Request bodies on their way to the gateway.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::buffer::{Buffered, shifted};
use super::idle::IdleTimer;
use super::{BodyEnded, BodyReader, BodyRules, SHORT, discard};
use crate::error::Error;
use crate::proxy::context::RequestContext;
use crate::proxy::headers;
use crate::signature::{Algorithm, PayloadHash, PayloadHasher};

/// A body that is ready to be sent.
#[derive(Debug)]
pub(in crate::proxy) enum PreparedBody {
    /// It is complete, and can be sent as often as needed; `None` is empty.
    Held(Option<Rc<Buffered>>),
    /// It is passed on while it arrives, once. Its length is known if the caller declared it.
    Streamed {
        body: Option<Box<StreamedBody>>,
        length: Option<u64>,
    },
}

impl PreparedBody {
    /// The body for the next attempt; `None` if it was streamed before and is gone.
    pub(in crate::proxy) fn take(&mut self, context: &Rc<RequestContext>) -> Option<RequestBody> {
        let kind = match self {
            Self::Held(body) => {
                Kind::Held(body.clone(), 0, body.as_ref().map_or(0, |body| body.length))
            }
            Self::Streamed { body, .. } => Kind::Streamed(body.take()?),
        };
        Some(RequestBody {
            kind,
            attempt: context.upload.begin(),
            context: Rc::clone(context),
        })
    }

    /// Returns `true` if it can be sent again.
    pub(in crate::proxy) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Streamed { .. })
    }

    /// All of it, if it is held and short; else nothing.
    pub(in crate::proxy) fn if_short(&self) -> Vec<u8> {
        match self {
            Self::Held(Some(body)) if body.length <= SHORT => body.chunks.concat(),
            _ => Vec::new(),
        }
    }

    /// Its hash, if it is held.
    pub(in crate::proxy) fn hash(&self, algorithm: Algorithm<'_>) -> Option<PayloadHash> {
        let mut hasher = PayloadHasher::new(algorithm);
        let Self::Held(body) = self else { return None };
        let chunks = body.iter().flat_map(|body| &body.chunks);
        chunks.for_each(|chunk| hasher.update(chunk));
        Some(hasher.finish())
    }

    /// Its length in bytes, if that is known before it is sent.
    pub(in crate::proxy) fn length(&self) -> Option<u64> {
        match self {
            Self::Held(body) => Some(body.as_ref().map_or(0, |body| body.length)),
            Self::Streamed { length, .. } => *length,
        }
    }
}

/// The request body of one attempt.
#[derive(Debug)]
pub struct RequestBody {
    kind: Kind,
    /// The number of the attempt.
    attempt: u32,
    context: Rc<RequestContext>,
}

#[derive(Debug)]
enum Kind {
    /// A complete body, the number of the chunk that goes out next, and the bytes that are left.
    Held(Option<Rc<Buffered>>, usize, u64),
    Streamed(Box<StreamedBody>),
}

/// A body that is passed on while it arrives, counted against the limit.
#[derive(Debug)]
pub(in crate::proxy) struct StreamedBody {
    /// The first data, if it had to be waited for to know that there is a body.
    first: Option<Bytes>,
    /// Absent only while it is dropped.
    rest: Option<Incoming>,
    /// Its length, if the caller has declared one.
    pub(super) length: Option<u64>,
    /// Bytes that may still come.
    left: u64,
    rules: BodyRules,
    /// What the route sets, and trailers do not.
    set_headers: Vec<HeaderName>,
    /// Absent where pauses have no limit: in a conversation, once its first message has come.
    idle: Option<IdleTimer>,
    context: Rc<RequestContext>,
}

impl StreamedBody {
    /// A body of which `first` has come.
    pub(super) fn new(
        reader: &BodyReader<'_>,
        first: Option<Bytes>,
        rest: Incoming,
        length: Option<u64>,
    ) -> Self {
        let (context, rules) = (reader.context, reader.rules);
        let is_talk = context.is_grpc && first.is_some();
        let idle = reader.settings.timeouts.body_idle;
        Self {
            first,
            rest: Some(rest),
            length,
            left: rules.limit,
            rules,
            set_headers: reader.route.set_headers().cloned().collect(),
            idle: (!is_talk).then(|| IdleTimer::new(idle)),
            context: Rc::clone(context),
        }
    }

    fn counted(&self) -> u64 {
        self.rules.limit - self.left
    }

    fn has_ended(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// Returns `true` once all of it was passed on. hyper does not ask again for what it knows to
    /// be the end, and that is so as soon as the declared length was reached: over HTTP/2 the end
    /// itself may come later.
    fn is_complete(&self) -> bool {
        self.has_ended() || self.length == Some(self.counted())
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

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(self.count(first)));
        }
        let Poll::Ready(frame) = self.poll_rest(cx) else {
            let counted = self.counted();
            self.context.upload.wait();
            let Some(idle) = &mut self.idle else {
                return Poll::Pending;
            };
            ready!(idle.poll_expired(counted, cx));
            return Poll::Ready(Some(Err(Error::BodyTimeout)));
        };
        if self.context.is_grpc {
            self.idle = None;
        }
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(frame) => frame.map_err(Error::from_body),
        };
        Poll::Ready(Some(frame.and_then(|frame| match frame.into_data() {
            Ok(data) => {
                self.context.received(&data);
                self.count(data)
            }
            Err(frame) => Ok(Frame::trailers(passed_trailers(&self.set_headers, frame))),
        })))
    }

    /// Discards what still comes, within the limit, to notice when the caller goes away: hyper does
    /// not read from it otherwise. Ready when the body breaks off.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while self.left > 0 && !self.has_ended() {
            match ready!(self.poll_rest(cx)) {
                None => break,
                Some(Err(error)) => return Poll::Ready(Error::from_body(error)),
                Some(Ok(frame)) => {
                    let data = frame.data_ref().map_or(&[][..], |data| data);
                    self.context.received(data);
                    self.left = self.left.saturating_sub(data.len() as u64);
                }
            }
        }
        Poll::Pending
    }

    /// Counts a frame against the limit.
    fn count(&mut self, data: Bytes) -> Result<Frame<Bytes>, Error> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or_else(|| self.rules.too_large())?;
        self.context.upload.send(data.len());
        Ok(Frame::data(shifted(data)))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let upload = &self.context.upload;
        upload.dropped.set(self.attempt);
        upload.wake();
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            discard(rest, &self.context);
        }
    }
}

/// The trailers of a request that go to the gateway of a route which sets these headers.
fn passed_trailers(set: &[HeaderName], frame: Frame<Bytes>) -> HeaderMap {
    let mut passed = HeaderMap::new();
    if let Ok(trailers) = frame.into_trailers() {
        let set: Vec<&str> = set.iter().map(HeaderName::as_str).collect();
        headers::pass_unset(&set, &trailers, &mut passed);
    }
    passed
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyEnded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnded>>> {
        let this = &mut *self;
        let upload = &this.context.upload;
        let (frame, is_complete) = match &mut this.kind {
            Kind::Held(None, ..) => return Poll::Ready(None),
            Kind::Held(..) if upload.is_stopped.get() => return Poll::Pending,
            Kind::Held(Some(body), next, left) => {
                let chunk = body.chunks.get(*next).cloned();
                let length = chunk.as_ref().map_or(0, Bytes::len);
                *next += 1;
                *left -= length as u64;
                upload.send(length);
                (chunk.map(|chunk| Ok(Frame::data(chunk))), *left == 0)
            }
            Kind::Streamed(body) if upload.is_stopped.get() => {
                (Some(Err(ready!(body.poll_discard(cx)))), false)
            }
            Kind::Streamed(body) => {
                let frame = ready!(body.poll_frame(cx));
                let is_complete = frame.as_ref().is_none_or(Result::is_ok) && body.is_complete();
                (frame, is_complete)
            }
        };
        if is_complete || frame.is_none() {
            this.context.request_sent();
            if matches!(this.kind, Kind::Streamed(_)) {
                this.context.body_read();
            }
        }
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                // What went wrong is in the request's context.
                upload.fail(error);
                BodyEnded("the request body ended early")
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Held(_, _, left) => *left == 0,
            Kind::Streamed(body) => body.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Held(_, _, left) => SizeHint::with_exact(*left),
            Kind::Streamed(body) => body.length.map_or_else(SizeHint::new, |length| {
                SizeHint::with_exact(length.saturating_sub(body.counted()))
            }),
        }
    }
}
