//! A request body that is passed on to the gateway while it arrives.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use hyper::body::Incoming;

use super::buffer::shifted;
use super::idle::IdleTimer;
use super::{BodyReader, discard};
use crate::error::Error;
use crate::proxy::context::RequestContext;
use crate::proxy::headers;
use crate::proxy::route::BodyRules;

/// A body that is passed on while it arrives, counted against the limit.
#[derive(Debug)]
pub(in crate::proxy) struct StreamedBody {
    /// The first data, if only its arrival told that there is a body.
    first: Option<Bytes>,
    /// `None` only while it is dropped.
    rest: Option<Incoming>,
    /// Bytes that may still come.
    left: u64,
    rules: BodyRules,
    /// Headers that the route sets, which trailers must not.
    set_headers: Vec<HeaderName>,
    /// `None` where pauses have no limit: in a gRPC call, once its first message has arrived.
    idle: Option<IdleTimer>,
    context: Rc<RequestContext>,
}

impl StreamedBody {
    /// A body of which `first` has arrived.
    pub(super) fn new(reader: &BodyReader<'_>, first: Option<Bytes>, rest: Incoming) -> Self {
        let (settings, routed) = (reader.settings, reader.routed);
        let (context, rules) = (&routed.context, routed.rules);
        let has_begun = context.is_grpc && first.is_some();
        let idle = settings.config.timeouts.body_idle;
        let set_headers = settings.route(routed.route).set_headers();
        Self {
            first,
            rest: Some(rest),
            left: rules.limit,
            rules,
            set_headers: set_headers.cloned().collect(),
            idle: (!has_begun).then(|| IdleTimer::new(idle)),
            context: Rc::clone(context),
        }
    }

    pub(super) fn counted(&self) -> u64 {
        self.rules.limit - self.left
    }

    pub(super) fn has_ended(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// Returns `true` once all of it was passed on. hyper does not poll again once the declared length
    /// is reached, although over HTTP/2 the end of the stream may arrive later.
    pub(super) fn is_complete(&self) -> bool {
        self.has_ended() || self.context.length == Some(self.counted())
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

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
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
            Some(Err(error)) => return Poll::Ready(Some(Err(Error::from_body(error)))),
            Some(Ok(frame)) => frame.into_data(),
        };
        Poll::Ready(Some(match frame {
            Ok(data) => {
                self.context.received(&data);
                self.count(data)
            }
            Err(frame) => Ok(Frame::trailers(passed_trailers(&self.set_headers, frame))),
        }))
    }

    /// Discards what still arrives, within the limit, to notice when the caller disconnects: hyper
    /// reads nothing otherwise. Ready when the body fails.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
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

    fn count(&mut self, data: Bytes) -> Result<Frame<Bytes>, Error> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or_else(|| self.rules.too_large())?;
        self.context.upload.send(data.len());
        Ok(Frame::data(shifted(data)))
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
