//! Response bodies on their way to the caller.
//!
//! A relayed body holds the connection that it comes over, which goes back to the pool when both
//! the response and the request have ended, and is closed otherwise. It also holds the
//! context of its request, which is in flight until the body is dropped.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BodyEnded;
use super::idle::{IdleTimer, unless_idle};
use super::reply::ReplyBody;
use super::request::RequestBody;
use crate::proxy::context::RequestContext;
use crate::proxy::headers;
use crate::proxy::redact::{self, Redactor, stars};
use crate::telemetry::access_log::ResponseEnd;
use crate::upstream::Connection;

/// A response body on its way to the caller.
#[derive(Debug)]
pub struct ResponseBody(Kind);

#[derive(Debug)]
enum Kind {
    /// A response of the proxy itself, and the context of its request, if that is counted.
    Whole(Option<Bytes>, Option<Rc<RequestContext>>),
    /// A response of the gateway.
    Relayed(Box<RelayedBody>),
}

/// A body that is passed on while it arrives.
#[derive(Debug)]
struct RelayedBody {
    reply: ReplyBody,
    redactor: Option<Redactor>,
    /// Set once the body has been read to its end.
    is_read: bool,
    idle: IdleTimer,
    /// Bytes that came from the gateway.
    received: u64,
    context: Rc<RequestContext>,
}

const BROKEN: &str = "the gateway's response ended early";

type PollFrame = Poll<Option<Result<Frame<Bytes>, BodyEnded>>>;

impl ResponseBody {
    /// A response that is complete. `context` is that of its request, if it is counted.
    pub(crate) fn whole(bytes: Bytes, context: Option<Rc<RequestContext>>) -> Self {
        if let Some(context) = &context {
            context.ended(ResponseEnd::Whole);
        }
        let bytes = (!bytes.is_empty()).then_some(bytes);
        Self(Kind::Whole(bytes, context))
    }

    /// The body of a response of the gateway. `limit` is how long it may make no progress.
    pub(in crate::proxy) fn relayed(
        reply: ReplyBody,
        redactor: Option<Redactor>,
        limit: Duration,
        context: Rc<RequestContext>,
    ) -> Self {
        let mut relayed = Box::new(RelayedBody {
            is_read: context.is_head || reply.is_end(),
            reply,
            redactor,
            idle: IdleTimer::new(limit),
            received: 0,
            context,
        });
        relayed.release();
        Self(Kind::Relayed(relayed))
    }
}

impl RelayedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        while !self.is_read {
            let Poll::Ready(frame) = self.reply.poll_frame(cx) else {
                return self.poll_stalled(cx);
            };
            let passed = match frame {
                None => {
                    self.is_read = true;
                    self.passed_data(Bytes::new())
                }
                Some(Err(error)) => return self.break_off(BROKEN, error, ResponseEnd::BrokenOff),
                Some(Ok(frame)) => {
                    self.is_read = self.reply.is_end();
                    match frame.into_data() {
                        Ok(data) => self.passed_data(data),
                        Err(frame) => self.passed_trailers(frame),
                    }
                }
            };
            if passed.is_some() {
                return Poll::Ready(passed.map(Ok));
            }
        }
        // The response is complete; the rest of the request still has to arrive.
        let upload = &self.context.upload;
        if self.reply.connection.is_some() && upload.poll_over(cx).is_pending() {
            return self.poll_stalled(cx);
        }
        if let Some(error) = upload.take_failure() {
            let what = "the request body ended early, after its response had begun";
            return self.break_off(what, error, ResponseEnd::CallerGone);
        }
        self.release();
        Poll::Ready(None)
    }

    /// The part of the data that goes to the caller now. A redactor may hold back the rest until more
    /// data arrives.
    fn passed_data(&mut self, data: Bytes) -> Option<Frame<Bytes>> {
        self.received += data.len() as u64;
        let data = match &mut self.redactor {
            None => data,
            Some(redactor) => {
                let mut redacted = redactor.push_with(&data, stars);
                if self.is_read {
                    redacted.append(&mut redactor.finish_with(stars));
                }
                redacted.into()
            }
        };
        self.context.sent(&data);
        self.release();
        (!data.is_empty()).then(|| Frame::data(data))
    }

    fn passed_trailers(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        // What the redactor holds back is the end of the body, which goes first.
        let redactor = self.redactor.as_mut();
        let held = redactor.map(|redactor| redactor.finish_with(stars));
        let held = held.unwrap_or_default();
        if !held.is_empty() {
            self.reply.ahead.push_front(Ok(frame));
            self.is_read = false;
            self.context.sent(&held);
            return Some(Frame::data(held.into()));
        }
        let trailers = frame.into_trailers().ok()?;
        let is_passed = |name: &str| !headers::is_owned(name) && headers::is_for_caller(name);
        let mut passed = HeaderMap::new();
        headers::pass(&trailers, &mut passed, is_passed);
        redact::headers(self.redactor.as_ref(), &mut passed);
        self.context.takes_trailers.then(|| Frame::trailers(passed))
    }

    /// Ready when the response and the upload made no progress for the idle timeout.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> PollFrame {
        let progress = self.received + self.context.upload.sent.get();
        ready!(self.idle.poll_expired(progress, cx));
        let stalled = "the gateway's response made no progress for `timeouts.idle`";
        self.break_off(stalled, "", ResponseEnd::BrokenOff)
    }

    /// Returns the connection to the pool when both response and request have ended.
    fn release(&mut self) {
        let upload = &self.context.upload;
        if !self.is_read || !upload.is_over() || self.context.end.get().is_some() {
            return;
        }
        // No other request can follow on a connection over which part of a request is missing.
        if let Some(connection) = self.reply.connection.take()
            && upload.is_finished.get()
        {
            connection.release();
        }
        self.context.ended(ResponseEnd::Whole);
    }

    /// Ends the response early. Its head was sent and counted before.
    fn break_off(
        &mut self,
        what: &'static str,
        cause: impl fmt::Display,
        end: ResponseEnd,
    ) -> PollFrame {
        let request_id = self.context.request_id();
        self.context.ended(end);
        if end == ResponseEnd::CallerGone {
            tracing::info!(%request_id, %cause, "{what}; both connections are closed");
        } else {
            tracing::warn!(%request_id, %cause, "{what}; the caller's connection is reset");
        }
        self.reply.connection = None;
        Poll::Ready(Some(Err(BodyEnded(what))))
    }
}

impl Drop for RelayedBody {
    fn drop(&mut self) {
        if self.context.end.get().is_some() {
            return;
        }
        if !self.is_read {
            return self.context.ended(match self.context.metrics.is_cut_off() {
                true => ResponseEnd::CutOff,
                false => ResponseEnd::CallerGone,
            });
        }
        // hyper drops a body once it has passed on the last byte. The rest of the request may still be
        // on its way, so the connection is kept for that.
        self.context.ended(ResponseEnd::Whole);
        if let Some(connection) = self.reply.connection.take() {
            let (context, limit) = (Rc::clone(&self.context), self.idle.limit);
            tokio::task::spawn_local(finish_upload(connection, context, limit));
        }
    }
}

/// Waits until the rest of a request whose response is complete was sent.
async fn finish_upload(
    connection: Connection<RequestBody>,
    context: Rc<RequestContext>,
    limit: Duration,
) {
    let upload = &context.upload;
    let over = pin!(poll_fn(|cx| upload.poll_over(cx)));
    let _ = unless_idle(limit, || upload.sent.get(), over).await;
    if upload.is_finished.get() {
        connection.release();
    } else {
        tracing::info!(
            request_id = %context.request_id(),
            "the rest of a request body did not arrive after the response; the connection to the gateway is closed"
        );
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyEnded;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        match &mut self.0 {
            Kind::Whole(bytes, context) => {
                let bytes = bytes.take();
                if let (Some(context), Some(bytes)) = (context, &bytes) {
                    context.sent(bytes);
                }
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Relayed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes, _) => bytes.is_none(),
            Kind::Relayed(body) => body.is_read && body.context.end.get().is_some(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Kind::Relayed(body) => body.reply.size_hint(),
        }
    }
}
