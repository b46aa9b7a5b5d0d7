//! One attempt: signs the request, sends it, and waits for the head of the answer.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Response, StatusCode, response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::answered::Answered;
use super::failure::{Failure, SendFailure};
use super::{Acquired, Attempts};
use crate::clock::Moment;
use crate::error::Error;
use crate::proxy::auth::{self, Signed};
use crate::proxy::body::{IdleTimer, RequestBody};
use crate::proxy::context::{AttemptReason, AttemptTimings, RequestContext};
use crate::proxy::gateway_reply::{self, Refusal};
use crate::proxy::headers;
use crate::proxy::prepare::Prepared;
use crate::proxy::redact::Redactor;
use crate::signature::SigningDate;
use crate::upstream::Connection;

impl Attempts<'_> {
    /// Signs the request and sends it once.
    pub(super) async fn attempt(
        &self,
        prepared: &mut Prepared,
        (mut connection, connect): Acquired,
        (reason, date): (AttemptReason, SigningDate),
    ) -> Result<Answered, Failure> {
        let context = Rc::clone(&prepared.context);
        let begun = Instant::now();
        let signed = self.sign(prepared, date, connection.is_http2())?;
        let sent = Moment::now();
        context.attempt(AttemptTimings {
            reason,
            connect,
            signing: sent.steady() - begun,
            signed: sent.steady(),
            sent: None,
            first_byte: None,
        });
        if prepared.body.length() == Some(0) {
            context.upload.finish();
        }
        let limit = self.pipeline.settings.timeouts.response;
        let was_reused = connection.is_reused();
        let response = response(&mut connection, signed, &context, limit).await;
        let response = response.map_err(|error| Failure::new(error, &context, was_reused))?;
        context.gateway_answered();
        let answered = self.read(prepared, connection, response, sent).await?;
        Ok(answered)
    }

    /// Signs the request with this date, for an attempt that begins.
    fn sign(
        &self,
        prepared: &mut Prepared,
        date: SigningDate,
        is_http2: bool,
    ) -> Result<Signed, Error> {
        let attempt = auth::Attempt {
            route: &self.pipeline.settings.routes[prepared.route],
            date,
            is_http2,
        };
        let number = prepared.context.upload.begin();
        let body = prepared.body.take(number, &prepared.context);
        let body = body.ok_or(Error::Internal("a streamed body is sent once"))?;
        self.credential.auth.apply(prepared, &attempt, body)
    }

    /// Reads an error response ahead, as far as that is needed to act on it.
    async fn read(
        &self,
        prepared: &Prepared,
        connection: Connection<RequestBody>,
        response: Response<Incoming>,
        sent: Moment,
    ) -> Result<Answered, Error> {
        let received = Moment::now();
        let (head, mut body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS && !is_switch_to(prepared, &head) {
            return Err(Error::BadResponse(
                "the protocol was switched unasked".into(),
            ));
        }
        let context = &prepared.context;
        let mut refusal = Refusal::unread(head.status);
        let mut redactor = None;
        if head.status.as_u16() >= 400 {
            // A gateway that refuses a request has no use for the rest of it.
            context.upload.stop();
            redactor = self.credential.auth.sent_secret().and_then(Redactor::new);
            let redactor = redactor.as_ref();
            refusal = gateway_reply::read(&mut body, &head, context.is_head, redactor).await;
            if let Some(error) = &refusal.error {
                context.gateway_error(&error.code);
            }
        } else if head.status.as_u16() >= 300 {
            context.upload.stop();
        }
        Ok(Answered {
            head,
            body,
            connection,
            sent,
            received,
            refusal,
            redactor,
        })
    }
}

/// Whether a `101` switches to the protocol that the request asked for, which can only be WebSocket.
fn is_switch_to(prepared: &Prepared, head: &response::Parts) -> bool {
    let protocols = headers::elements(&head.headers, &UPGRADE).map(<[u8]>::to_ascii_lowercase);
    prepared.is_websocket && protocols.eq([b"websocket"])
}

/// Sends a request, and waits for the head of the answer, for at most `limit` in which nothing is sent.
async fn response(
    connection: &mut Connection<RequestBody>,
    signed: Signed,
    context: &Rc<RequestContext>,
    limit: Duration,
) -> Result<Response<Incoming>, SendFailure> {
    let unanswered = Unanswered(true);
    let mut timeout = ResponseTimeout::new(limit);
    let answered = {
        let mut answer = pin!(connection.send(signed.into_request()));
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => timeout.poll_elapsed(context, cx).map(|()| None),
        })
        .await
    };
    unanswered.disarm();
    match answered {
        Some(answer) => answer.map_err(SendFailure::Send),
        None => {
            connection.mark_unusable();
            Err(SendFailure::Timeout)
        }
    }
}

/// The limit for the gateway's answer. The time in which the body is sent does not count.
struct ResponseTimeout {
    timer: IdleTimer,
    uploaded: u64,
}

impl ResponseTimeout {
    fn new(limit: Duration) -> Self {
        Self {
            timer: IdleTimer::new(limit),
            uploaded: 0,
        }
    }

    /// Ready when nothing was sent for as long as the limit.
    fn poll_elapsed(&mut self, context: &RequestContext, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = context.upload.sent_bytes();
            if now != self.uploaded {
                self.uploaded = now;
                self.timer.stop();
            }
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            if context.upload.sent_bytes() == self.uploaded {
                return Poll::Ready(());
            }
        }
    }
}

/// Logs that a request was dropped while its answer was waited for.
struct Unanswered(bool);

impl Unanswered {
    fn disarm(mut self) {
        self.0 = false;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.0 {
            tracing::info!(
                "the caller went away before the gateway answered; whether the request was executed is unknown"
            );
        }
    }
}
