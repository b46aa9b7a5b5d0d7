//! Request bodies on their way to the gateway.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::buffer::Buffered;
use super::streamed::StreamedBody;
use super::{BodyEnded, SHORT};
use crate::proxy::context::RequestContext;
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
        let length = self.length().unwrap_or_default();
        let kind = match self {
            Self::Held(body) => Kind::Held(body.clone(), 0, length),
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

impl Drop for RequestBody {
    fn drop(&mut self) {
        let upload = &self.context.upload;
        upload.dropped.set(self.attempt);
        upload.wake();
    }
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
                // The error is kept in the request's context.
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
            Kind::Streamed(body) => match self.context.length {
                Some(length) => SizeHint::with_exact(length.saturating_sub(body.counted())),
                None => SizeHint::new(),
            },
        }
    }
}
