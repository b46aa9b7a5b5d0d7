//! Response bodies on their way to the caller.

use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::idle::IdleTimer;
use super::request::RequestBody;
use crate::error::Error;
use crate::proxy::context::RequestContext;
use crate::proxy::gateway_reply::ReplyBody;
use crate::proxy::headers;
use crate::proxy::redact::{self, Redactor};
use crate::telemetry::access::End;
use crate::upstream::Connection;

/// A response body on its way to the caller. It holds the context of its request, which is in flight until
/// this is dropped.
#[derive(Debug)]
pub struct ResponseBody {
    kind: Kind,
    /// Absent for answers that are not counted.
    context: Option<Rc<RequestContext>>,
}

#[derive(Debug)]
enum Kind {
    /// An answer of the proxy's own, or what the gateway answered and was read before.
    Whole(Option<Bytes>),
    /// An answer of the gateway's.
    Relayed(Box<RelayedBody>),
}

/// A body that is passed on while it arrives. It holds the connection that it comes over, which goes back
/// to the pool when both the answer and the request have come to their end, and is closed otherwise.
#[derive(Debug)]
pub(in crate::proxy) struct RelayedBody {
    reply: ReplyBody,
    /// Redacts a secret of the request.
    redactor: Option<Redactor>,
    /// Whether the body was read to its end.
    is_read: bool,
    idle: IdleTimer,
    idle_limit: Duration,
    /// How much of the request had been sent when that was last looked at.
    uploaded: u64,
    context: Rc<RequestContext>,
}

/// Why a response body ended early. The caller's connection or stream is then reset, so that the answer
/// cannot be taken for a complete one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseEnded {
    /// Nothing came, and nothing of the request was taken, for `timeouts.idle`.
    #[error("the gateway's answer stood still for too long (timeouts.idle)")]
    Idle,
    /// The rest of the request cannot be had.
    #[error("a request broke off after its answer had begun")]
    Upload(#[source] Error),
    /// The connection to the gateway broke.
    #[error("the gateway's answer broke off")]
    Broken(#[source] hyper::Error),
    /// The gateway reset the stream in the middle of the answer, and named no error.
    #[error("the gateway's answer broke off")]
    Reset,
}

impl ResponseBody {
    /// An answer that is complete. `context` is that of its request, if it is counted.
    pub(crate) fn whole(bytes: Bytes, context: Option<Rc<RequestContext>>) -> Self {
        Self {
            kind: Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            context,
        }
    }

    /// The same answer without its bytes.
    pub(in crate::proxy) fn emptied(mut self) -> Self {
        self.kind = Kind::Whole(None);
        self
    }

    /// An answer of the gateway's.
    pub(in crate::proxy) fn relayed(body: RelayedBody) -> Self {
        let context = Some(Rc::clone(&body.context));
        Self {
            kind: Kind::Relayed(Box::new(body)),
            context,
        }
    }
}

impl RelayedBody {
    /// The body of a reply. `idle` is how long it may stand still.
    pub(in crate::proxy) fn new(
        reply: ReplyBody,
        redactor: Option<Redactor>,
        idle: Duration,
        context: Rc<RequestContext>,
    ) -> Self {
        let is_over = |rest: &Incoming| rest.is_end_stream() && reply.ended.failure.is_none();
        let mut relayed = Self {
            is_read: context.is_head || reply.rest.as_ref().is_none_or(is_over),
            reply,
            redactor,
            idle: IdleTimer::new(idle),
            idle_limit: idle,
            uploaded: 0,
            context,
        };
        relayed.release();
        relayed
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseEnded>>> {
        if !self.reply.ahead.is_empty() {
            let data = std::mem::take(&mut self.reply.ahead);
            if let Some(frame) = self.passed(Frame::data(data)) {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
        while !self.is_read {
            let Poll::Ready(frame) = self.poll_rest(cx) else {
                ready!(self.poll_stalled(cx));
                return Poll::Ready(Some(Err(ResponseEnded::Idle)));
            };
            self.idle.stop();
            match frame {
                None if self.is_reset() => {
                    return Poll::Ready(Some(Err(ResponseEnded::Reset)));
                }
                None => {
                    self.is_read = true;
                    let held_back = self.redactor.as_mut().map(Redactor::finish);
                    if let Some(data) = held_back.filter(|data| !data.is_empty()) {
                        self.context.sent(data.len());
                        return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(ResponseEnded::Broken(error)))),
                Some(Ok(frame)) => {
                    self.is_read = self.reply.rest.as_ref().is_none_or(Incoming::is_end_stream);
                    if let Some(frame) = self.passed(frame) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
            }
        }
        // The answer is complete; the rest of the request still has to arrive.
        let upload = &self.context.upload;
        if self.reply.connection.is_some()
            && !upload.is_given_up()
            && upload.poll_over(cx).is_pending()
        {
            ready!(self.poll_stalled(cx));
            return Poll::Ready(Some(Err(ResponseEnded::Idle)));
        }
        if let Some(error) = self.context.upload.take_failure() {
            return Poll::Ready(Some(Err(ResponseEnded::Upload(error))));
        }
        self.release();
        Poll::Ready(None)
    }

    /// The next frame as the gateway sent it.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.reply.ended.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(trailers) = self.reply.ended.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match &mut self.reply.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    /// Whether an HTTP/2 answer that has no more frames was reset before its end. hyper reports a reset with
    /// `NO_ERROR` as the end.
    fn is_reset(&self) -> bool {
        let is_http2 = self
            .reply
            .connection
            .as_ref()
            .is_some_and(Connection::is_http2);
        let is_complete =
            |rest: &Incoming| rest.is_end_stream() || rest.size_hint().exact() == Some(0);
        is_http2 && !self.reply.rest.as_ref().is_none_or(is_complete)
    }

    /// What of a frame goes to the caller now.
    fn passed(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        match frame.into_data() {
            Ok(data) => {
                let data = self.redacted(data);
                self.context.sent(data.len());
                self.release();
                (!data.is_empty()).then(|| Frame::data(data))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok()?;
                let is_passed =
                    |name: &str| !headers::is_owned(name) && headers::is_for_caller(name);
                let mut passed = HeaderMap::new();
                headers::pass(&trailers, &mut passed, is_passed);
                redact::headers(self.redactor.as_ref(), &mut passed);
                self.context.takes_trailers.then(|| Frame::trailers(passed))
            }
        }
    }

    /// Data without the secret. A little may be held back until more has come.
    fn redacted(&mut self, data: Bytes) -> Bytes {
        let Some(redactor) = &mut self.redactor else {
            return data;
        };
        let mut redacted = redactor.push(&data);
        if self.is_read {
            redacted.append(&mut redactor.finish());
        }
        redacted.into()
    }

    /// Ready when nothing has come and nothing of the request was sent for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let uploaded = self.context.upload.sent_bytes();
        if uploaded != self.uploaded {
            self.uploaded = uploaded;
            self.idle.stop();
        }
        ready!(self.idle.poll_expired(cx));
        if self.context.upload.sent_bytes() == self.uploaded {
            return Poll::Ready(());
        }
        self.poll_stalled(cx)
    }

    /// Gives the connection back once answer and request have come to their end.
    fn release(&mut self) {
        let upload = &self.context.upload;
        let is_over = upload.is_finished() || upload.is_given_up();
        if !self.is_read || !self.reply.ahead.is_empty() || !is_over || self.context.has_ended() {
            return;
        }
        // Over one that was not sent all of a request, no other request can follow.
        if let Some(connection) = self.reply.connection.take()
            && upload.is_finished()
        {
            connection.release();
        }
        self.context.ended(End::Whole);
    }

    /// Records why the answer ended early. Its head was sent and counted before.
    fn broke_off(&mut self, ended: &ResponseEnded) {
        let cause = StdError::source(ended).map(ToString::to_string);
        let cause = cause.unwrap_or_default();
        if matches!(ended, ResponseEnded::Upload(_)) {
            self.context.ended(End::CallerGone);
            tracing::info!(%cause, "{ended}; both connections are closed");
        } else {
            self.context.ended(End::BrokenOff);
            tracing::warn!(%cause, "{ended}; the caller's connection is reset");
        }
        self.reply.connection = None;
    }
}

impl Drop for RelayedBody {
    fn drop(&mut self) {
        if self.context.has_ended() {
            return;
        }
        if !self.is_read || !self.reply.ahead.is_empty() {
            return self.context.ended_early();
        }
        // hyper lets go of a body when its last byte was passed on. The rest of the request still has to
        // arrive, so the connection is kept for that.
        self.context.ended(End::Whole);
        if let Some(connection) = self.reply.connection.take() {
            let (context, limit) = (Rc::clone(&self.context), self.idle_limit);
            tokio::task::spawn_local(finish_upload(connection, context, limit));
        }
    }
}

/// Waits until the rest of a request was sent that has been answered.
async fn finish_upload(
    connection: Connection<RequestBody>,
    context: Rc<RequestContext>,
    limit: Duration,
) {
    loop {
        let before = context.upload.sent_bytes();
        let over = std::future::poll_fn(|cx| context.upload.poll_over(cx));
        if tokio::time::timeout(limit, over).await.is_ok() {
            break;
        }
        if context.upload.sent_bytes() == before {
            tracing::info!(
                "the rest of an answered request stood still for too long (timeouts.idle)"
            );
            return;
        }
    }
    if context.upload.is_finished() {
        connection.release();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseEnded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseEnded>>> {
        let this = &mut *self;
        match &mut this.kind {
            Kind::Whole(bytes) => {
                let bytes = bytes.take();
                if let (Some(context), Some(bytes)) = (&this.context, &bytes) {
                    context.sent(bytes.len());
                }
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Relayed(body) => {
                let frame = ready!(body.poll_frame(cx));
                if let Some(Err(ended)) = &frame {
                    body.broke_off(ended);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Relayed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Relayed(body) => body.size_hint(),
        }
    }
}

impl RelayedBody {
    fn is_end_stream(&self) -> bool {
        self.is_read && self.reply.ahead.is_empty() && self.context.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.reply.ahead.len() as u64;
        match &self.reply.rest {
            None => SizeHint::with_exact(ahead),
            Some(rest) => match rest.size_hint().exact() {
                Some(rest) => SizeHint::with_exact(ahead + rest),
                None => SizeHint::new(),
            },
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let (Kind::Whole(_), Some(context)) = (&self.kind, &self.context)
            && !context.has_ended()
        {
            context.ended(End::Whole);
        }
    }
}
