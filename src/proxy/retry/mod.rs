//! Third step: a connection, then attempts over it, until one is answered for good.
//!
//! A request is sent again, over a new connection with a new signature, if it cannot have been
//! executed, which its [`Retry`] says. It is also signed again with the gateway's time if the
//! gateway refused its date, in the gateway's reading of the path, or with a new token if the gateway
//! refused the old one. A body that is streamed is gone then, so such a request is sent once.

mod after_response;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::Response;
use http_body::Body as _;
use tokio::time::Instant;

use super::Pipeline;
use super::auth::{Signed, UsableCredential};
use super::body::{RequestBody, unless_idle};
use super::capture;
use super::context::RequestContext;
use super::gateway_response::GatewayResponse;
use super::key_breaker::Permits;
use super::path_reading::LearnedReading;
use super::prepare::Prepared;
use super::redact::Redactor;
use super::timings::AttemptReason;
use crate::clock::Moment;
use crate::error::{Error, Retry};
use crate::gateway::GatewayClock;
use crate::inspect::note::AttemptTimes;
use crate::signature::SigningDate;
use crate::upstream::{ConnectTimes, Connection, GatewayBody, Mode, Reuse};

/// How long the gateway waits for more of a request body (`request_body_timeout`, which is 8 s unless
/// it was changed), less some time on the way.
const GATEWAY_BODY_TIMEOUT: Duration = Duration::from_millis(7_500);

/// Sends a request, with retries, and returns the response.
///
/// # Errors
///
/// Any of the upstream's errors, and the caller's if its body ends early.
///
/// # Cancel safety
///
/// Dropping the future closes the connection that the request was sent over.
pub(super) async fn send(
    pipeline: &Pipeline,
    prepared: &mut Prepared,
) -> Result<GatewayResponse, Error> {
    let context = &*Rc::clone(&prepared.routed.context);
    let mut attempts = Attempts {
        pipeline,
        context,
        prepared,
        reason: AttemptReason::First,
        failures: 0,
        was_refreshed: false,
        corrected: Vec::new(),
        untried: None,
    };
    attempts.set_project_id().await;
    let mode = attempts.prepared.mode();
    let mut connection = attempts.acquire(Reuse::Any, mode).await?;
    // It ends, since each reason for another round counts once, and a lost connection twice.
    loop {
        // Not before the connection is there, which may take its time.
        let credential = attempts.usable(None).await?;
        let permits = attempts.permits(&credential).await?;
        let answered = match attempts.send(&credential, connection).await {
            Ok(answered) => answered,
            Err(error) => {
                let mode = attempts.next_mode(error)?;
                connection = attempts.acquire(Reuse::Fresh, mode).await?;
                attempts.reason = AttemptReason::Connection;
                continue;
            }
        };
        if !attempts.repeats(&credential, permits, &answered).await {
            return Ok(attempts.explained(&credential, answered));
        }
        if let Some(connection) = answered.reply.body.connection {
            connection.release();
        }
        connection = attempts.acquire(Reuse::Any, mode).await?;
    }
}

/// The attempts of one request, and what they have learned.
struct Attempts<'a> {
    pipeline: &'a Pipeline,
    context: &'a RequestContext,
    prepared: &'a mut Prepared,
    /// Why the next one is made.
    reason: AttemptReason,
    /// Attempts whose connection ended.
    failures: usize,
    was_refreshed: bool,
    /// What was corrected, once each.
    corrected: Vec<AttemptReason>,
    /// What was learned from the last refusal and is not tried.
    untried: Option<AttemptReason>,
}

/// A response, and when its request was signed and the response came.
struct Answered {
    reply: GatewayResponse,
    date: SigningDate,
    sent: Moment,
    received: Moment,
}

/// A connection for one attempt, and how long opening it took.
type Acquired = (Connection<RequestBody>, ConnectTimes);

impl<'a> Attempts<'a> {
    async fn acquire(&self, reuse: Reuse, mode: Mode) -> Result<Acquired, Error> {
        let origin = self.pipeline.origins[self.prepared.routed.route];
        let acquiring = self.pipeline.upstream.acquire(origin, reuse, mode);
        self.context.waited(pin!(acquiring)).await
    }

    /// A credential that is not the refused one. Waits for another one if need be.
    async fn usable(
        &self,
        refused: Option<&UsableCredential>,
    ) -> Result<Rc<UsableCredential>, Error> {
        let slot = self.prepared.routed.slot;
        let usable = self.pipeline.credentials.usable(slot, refused);
        self.context.waited(pin!(usable)).await
    }

    /// Sets the project of a service, unless the caller has named one.
    async fn set_project_id(&mut self) {
        let routed = &mut self.prepared.routed;
        let route = &self.pipeline.settings.routes[routed.route];
        if routed.project_id.is_none() && route.service.is_some() {
            let asking = self.pipeline.project_id(routed.route, routed.slot);
            routed.project_id = self.context.waited(pin!(asking)).await;
        }
    }

    async fn permits<'c>(&self, credential: &'c UsableCredential) -> Result<Permits<'c>, Error>
    where
        'a: 'c,
    {
        let permits = async {
            let is_signed = credential.key.is_some();
            let paths = match self.path() {
                Some(path) if is_signed => Some(path.breaker.permit().await?),
                _ => None,
            };
            let key = credential.permit().await?;
            Ok(Permits { key, paths })
        };
        self.context.waited(pin!(permits)).await
    }

    /// What is known of the gateway's reading, for a path that it may read differently.
    fn path(&self) -> Option<&'a LearnedReading> {
        let paths = &self.pipeline.settings.path_readings;
        let Prepared { routed, .. } = &*self.prepared;
        (self.prepared.has_ambiguous_path).then(|| &*paths[routed.route])
    }

    /// Signs the request, sends it once, and reads what is needed of the response.
    async fn send(
        &mut self,
        credential: &UsableCredential,
        (mut connection, connect): Acquired,
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
            let attempt = capture::Attempt {
                reason: self.reason,
                connect,
                offset: self.clock().correction(),
                is_http2,
            };
            capture::attempt(capture, &attempt, self.prepared, credential, &signed);
        }
        if self.prepared.body.length() == Some(0) {
            context.request_sent();
        }
        let response = self.response(&mut connection, signed).await?;
        context.gateway_answered();
        let received = Moment::now();
        self.prepared.check_switch(&response)?;
        let status = response.status().as_u16();
        // A gateway that does not execute a request has no use for the rest of it, and a gRPC call
        // is over with its response.
        let is_over = context.is_grpc && response.body().is_end_stream();
        context.upload.is_stopped.set(status >= 300 || is_over);
        let secret = credential.sent_secret().filter(|_| status >= 400);
        let redactor = secret.and_then(Redactor::new);
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

    /// The clock of the gateway.
    fn clock(&self) -> &'a GatewayClock {
        self.pipeline.gateway_clock(self.prepared.routed.route)
    }

    /// The date that an attempt is signed with: the time of this machine, corrected by what the
    /// gateway told.
    fn signing_date(&self) -> SigningDate {
        let correction = self.clock().correction();
        self.pipeline.clock.signing_date(correction)
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

    /// Which connection the next attempt has, or the error if there is no other attempt: one is
    /// made, or two if the gateway has not looked at the request, since a gateway that goes away
    /// ends all shared connections, one after the other.
    fn next_mode(&mut self, error: Error) -> Result<Mode, Error> {
        let most = match error.answer().retry {
            Retry::Always => 2,
            Retry::IfIdempotent if self.prepared.routed.head.method.is_idempotent() => 1,
            Retry::IfIdempotent | Retry::Never => 0,
        };
        self.failures += 1;
        if self.failures > most || !self.prepared.body.is_repeatable() {
            return Err(error);
        }
        // The last attempt has a connection of its own, which no other request can end.
        Ok(match self.prepared.mode() {
            Mode::Shared if self.failures > 1 => Mode::Exclusive,
            mode => mode,
        })
    }
}
