//! One attempt: signs a request, sends it, and reads what is needed of the response.

use std::pin::pin;
use std::time::Duration;

use http::{Request, Response, Version};
use http_body::Body as _;
use tokio::time::Instant;

use super::{Answered, Attempts};
use crate::clock::Moment;
use crate::error::Error;
use crate::inspect::capture::Capture;
use crate::inspect::note::{AttemptSent, AttemptTimes, Event};
use crate::proxy::auth::{Signed, UsableCredential};
use crate::proxy::body::{RequestBody, unless_idle};
use crate::proxy::capture;
use crate::proxy::double_slashes::LearnedReading;
use crate::proxy::gateway_response::GatewayResponse;
use crate::proxy::redact::Redactor;
use crate::signature::SigningDate;
use crate::upstream::{Connection, GatewayBody};

/// How long the gateway waits for more of a request body (`request_body_timeout`, which is 8 s unless
/// it was changed), less some time on the way.
const GATEWAY_BODY_TIMEOUT: Duration = Duration::from_millis(7_500);

impl Attempts<'_> {
    /// Signs the request, sends it once, and reads what is needed of the response.
    pub(super) async fn send(
        &mut self,
        credential: &UsableCredential,
        mut connection: Connection<RequestBody>,
    ) -> Result<Answered, Error> {
        let (context, started) = (self.context, Instant::now());
        let (date, is_http2) = (self.signing_date(), connection.is_http2());
        let signed = self.sign(credential, date, is_http2)?;
        let sent = Moment::now();
        context.attempt(AttemptTimes {
            signing: sent.steady - started,
            signed: sent.steady - context.head_read,
            ..AttemptTimes::default()
        });
        if let Some(capture) = context.capture() {
            self.note(capture, &connection, credential, signed.request());
        }
        if self.prepared.body.length() == Some(0) {
            context.request_sent();
        }
        let response = self.response(&mut connection, signed).await?;
        context.gateway_answered();
        let received = Moment::now();
        let redactor = self.examine(credential, &response)?;
        let reply = GatewayResponse::read(response, connection, context, redactor).await;
        if let Some(capture) = context.capture() {
            capture::response(capture, &reply);
        }
        Ok(Answered {
            reply,
            date,
            sent,
            received,
        })
    }

    /// Tells the inspector of an attempt that is about to be sent.
    fn note<B>(
        &self,
        capture: &Capture,
        connection: &Connection<RequestBody>,
        credential: &UsableCredential,
        request: &Request<B>,
    ) {
        let secrets = credential.redactors.iter();
        secrets.for_each(|secret| capture.knows(secret));
        let (sent, is_http2) = (self.prepared.target(), connection.is_http2());
        let version = if is_http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        let signed = self.prepared.path_reading.apply(sent);
        let left = credential.lease.left(Moment::now());
        let line = (request.method(), request.uri(), version);
        capture.note(Event::Attempt(Box::new(AttemptSent {
            reason: self.reason.name(),
            auth: credential.kind.name(),
            credential_left: left.map(|left| left.as_secs()),
            is_http2,
            connect: connection.connect_times,
            head: capture.request(line, request.headers()),
            signed_target: (signed != sent).then(|| capture.target(&signed)),
            clock_offset: self.clock().correction(),
        })));
    }

    /// Acts on the head of a response. Returns the redactor for the secret of the request, if it is an
    /// error response.
    fn examine(
        &self,
        credential: &UsableCredential,
        response: &Response<GatewayBody>,
    ) -> Result<Option<Redactor>, Error> {
        self.prepared.check_switch(response)?;
        let status = response.status().as_u16();
        // A gateway that does not execute a request has no use for the rest of it, and a gRPC call
        // is over with its response.
        let is_over = self.context.is_grpc && response.body().is_end_stream();
        (self.context.upload.is_stopped).set(status >= 300 || is_over);
        let secret = credential.sent_secret().filter(|_| status >= 400);
        Ok(secret.and_then(Redactor::new))
    }

    fn sign(
        &mut self,
        credential: &UsableCredential,
        date: SigningDate,
        is_http2: bool,
    ) -> Result<Signed<RequestBody>, Error> {
        let settings = &self.pipeline.settings;
        let reading = self.path().map(LearnedReading::current);
        let prepared = &mut *self.prepared;
        prepared.path_reading = reading.unwrap_or_default();
        let body = prepared.body.take(&prepared.routed.context);
        let body = body.ok_or(Error::Internal("a streamed body is sent once"))?;
        let request = prepared.outgoing(settings, body, is_http2);
        let callers = &prepared.routed.head.headers;
        let to_sign = prepared.to_sign(settings, date);
        credential.apply(request, callers, &to_sign)
    }

    /// Sends a request and waits for the head of the response, for at most `timeouts.response` in
    /// which nothing of the body is sent.
    async fn response(
        &self,
        connection: &mut Connection<RequestBody>,
        signed: Signed<RequestBody>,
    ) -> Result<Response<GatewayBody>, Error> {
        let (upload, settings) = (&self.context.upload, &self.pipeline.settings);
        let limit = settings.response_timeout(self.prepared.routed.route);
        let answered = {
            let sending = pin!(connection.send(signed.into_request()));
            unless_idle(limit, || upload.sent.get(), sending).await
        };
        let answered = answered.unwrap_or_else(|| {
            connection.mark_unusable();
            Err(Error::ResponseTimeout)
        });
        answered.map_err(|error| match upload.take_failure() {
            Some(failure) => failure,
            None => match error {
                Error::UpstreamReset(cause, _) | Error::NotSent(cause)
                    if upload.pause() >= GATEWAY_BODY_TIMEOUT =>
                {
                    Error::UploadPaused(cause)
                }
                error => error,
            },
        })
    }
}
