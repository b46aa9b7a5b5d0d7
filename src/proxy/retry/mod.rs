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
use super::timings::{AttemptReason, AttemptTimings, Wait};
use crate::clock::Moment;
use crate::error::{Error, Retry};
use crate::signature::SigningDate;
use crate::upstream::{ConnectTimes, Connection, GatewayBody, Mode, Reuse};

/// The most rounds of one request: a first attempt, two after lost connections, one with another
/// date, one in another reading of the path, one with another credential, and a few for credentials
/// that expire while it waits.
const MAX_ROUNDS: usize = 8;

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
    let attempts = Attempts { pipeline, context };
    attempts.set_project_id(prepared).await;
    let mode = prepared.mode();
    let mut connection = attempts.acquire(prepared, Reuse::Any, mode).await?;
    // Not before the connection is there, which may take its time.
    let credential = attempts.usable(prepared, None).await?;
    let mut next = Next::new(credential);
    for _ in 0..MAX_ROUNDS {
        let credential = Rc::clone(&next.credential);
        let permits = attempts.permits(prepared, &credential).await?;
        if !credential.lease.is_good_now() {
            next.credential = attempts.usable(prepared, None).await?;
            next.reason = AttemptReason::Credential;
            continue;
        }
        let attempt = attempts.send(prepared, &credential, connection, next.reason);
        let answered = match attempt.await {
            Ok(answered) => answered,
            Err(error) => {
                let mode = next_mode(error, &mut next.failures, prepared)?;
                connection = attempts.acquire(prepared, Reuse::Fresh, mode).await?;
                next.reason = AttemptReason::Connection;
                continue;
            }
        };
        if !attempts
            .repeats(prepared, permits, &answered, &mut next)
            .await
        {
            return Ok(attempts.explained(prepared, &credential, answered, next.untried));
        }
        if let Some(connection) = answered.reply.body.connection {
            connection.release();
        }
        connection = attempts.acquire(prepared, Reuse::Any, mode).await?;
    }
    Err(Error::NoCredentials)
}

/// The next attempt of a request, and what the ones before have learned.
struct Next {
    credential: Rc<UsableCredential>,
    reason: AttemptReason,
    /// Attempts whose connection ended.
    failures: usize,
    was_refreshed: bool,
    /// What was corrected, once each.
    corrected: Vec<AttemptReason>,
    /// What was learned from the last refusal and is not tried.
    untried: Option<AttemptReason>,
}

impl Next {
    fn new(credential: Rc<UsableCredential>) -> Self {
        Self {
            credential,
            reason: AttemptReason::First,
            failures: 0,
            was_refreshed: false,
            corrected: Vec::new(),
            untried: None,
        }
    }
}

/// What the attempts of one request need.
struct Attempts<'a> {
    pipeline: &'a Pipeline,
    context: &'a RequestContext,
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

impl Attempts<'_> {
    async fn acquire(
        &self,
        prepared: &Prepared,
        reuse: Reuse,
        mode: Mode,
    ) -> Result<Acquired, Error> {
        let origin = self.pipeline.origins[prepared.routed.route];
        let acquiring = self.pipeline.upstream.acquire(origin, reuse, mode);
        self.context.waited(Wait::Connection, pin!(acquiring)).await
    }

    /// A credential that is not the refused one. Waits for another one if need be.
    async fn usable(
        &self,
        prepared: &Prepared,
        refused: Option<&UsableCredential>,
    ) -> Result<Rc<UsableCredential>, Error> {
        let usable = self
            .pipeline
            .credentials
            .usable(prepared.routed.slot, refused);
        self.context.waited(Wait::Credential, pin!(usable)).await
    }

    /// Sets the project of a service, unless the caller has named one.
    async fn set_project_id(&self, prepared: &mut Prepared) {
        let routed = &mut prepared.routed;
        let route = &self.pipeline.settings.routes[routed.route];
        if routed.project_id.is_none() && route.service.is_some() {
            let asking = self.pipeline.project_id(routed.route, routed.slot);
            routed.project_id = self.context.waited(Wait::Credential, pin!(asking)).await;
        }
    }

    async fn permits<'c>(
        &'c self,
        prepared: &Prepared,
        credential: &'c UsableCredential,
    ) -> Result<Permits<'c>, Error> {
        let permits = async {
            let is_signed = credential.key.is_some();
            let paths = match self.path(prepared) {
                Some(path) if is_signed => Some(path.breaker.permit().await?),
                _ => None,
            };
            let key = credential.permit().await?;
            Ok(Permits { key, paths })
        };
        self.context.waited(Wait::Key, pin!(permits)).await
    }

    /// What is known of the gateway's reading, for a path that it may read differently.
    fn path(&self, prepared: &Prepared) -> Option<&LearnedReading> {
        let paths = &self.pipeline.settings.path_readings;
        let route = prepared.routed.route;
        prepared.has_ambiguous_path.then(|| &*paths[route])
    }

    /// Signs the request, sends it once, and reads what is needed of the response.
    async fn send(
        &self,
        prepared: &mut Prepared,
        credential: &UsableCredential,
        (mut connection, connect): Acquired,
        reason: AttemptReason,
    ) -> Result<Answered, Error> {
        let (context, started) = (self.context, Instant::now());
        let date = self.signing_date(prepared);
        let signed = self.sign(prepared, credential, date, connection.is_http2())?;
        let sent = Moment::now();
        context.attempt(AttemptTimings {
            reason,
            connect,
            signing: sent.steady - started,
            signed: sent.steady - context.head_read,
            sent: None,
            first_byte: None,
        });
        let is_http2 = connection.is_http2();
        self.capture(prepared, credential, &signed, (reason, connect, is_http2));
        if prepared.body.length() == Some(0) {
            context.request_sent();
        }
        let response = self
            .response(&mut connection, signed, prepared.routed.route)
            .await?;
        context.gateway_answered();
        let received = Moment::now();
        prepared.check_switch(&response)?;
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

    /// Shows an attempt to the inspector, if it records the request.
    fn capture<B>(
        &self,
        prepared: &Prepared,
        credential: &UsableCredential,
        signed: &Signed<B>,
        (reason, connect, is_http2): (AttemptReason, ConnectTimes, bool),
    ) {
        let Some(capture) = self.context.capture() else {
            return;
        };
        let clock = self.pipeline.gateway_clock(prepared.routed.route);
        let attempt = capture::Attempt {
            reason,
            connect,
            offset: clock.correction(),
            is_http2,
        };
        capture::attempt(capture, &attempt, prepared, credential, signed);
    }

    fn sign(
        &self,
        prepared: &mut Prepared,
        credential: &UsableCredential,
        date: SigningDate,
        is_http2: bool,
    ) -> Result<Signed<RequestBody>, Error> {
        let settings = &self.pipeline.settings;
        let reading = self.path(prepared).map(LearnedReading::current);
        prepared.path_reading = reading.unwrap_or_default();
        let body = prepared.body.take(&prepared.routed.context);
        let body = body.ok_or(Error::Internal("a streamed body is sent once"))?;
        let request = prepared.outgoing(settings, body, is_http2);
        let (callers, to_sign) = (
            &prepared.routed.head.headers,
            prepared.to_sign(settings, date),
        );
        credential.apply(request, callers, &to_sign)
    }

    /// The date that an attempt is signed with: the time of this machine, corrected by what the
    /// gateway told.
    fn signing_date(&self, prepared: &Prepared) -> SigningDate {
        let clock = self.pipeline.gateway_clock(prepared.routed.route);
        self.pipeline.clock.signing_date(clock.correction())
    }

    /// Sends a request and waits for the head of the response, for at most `timeouts.response` in
    /// which nothing of the body is sent.
    async fn response(
        &self,
        connection: &mut Connection<RequestBody>,
        signed: Signed<RequestBody>,
        route: usize,
    ) -> Result<Response<GatewayBody>, Error> {
        let upload = &self.context.upload;
        let limit = self.pipeline.settings.response_timeout(route);
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
            None if upload.pause() >= GATEWAY_BODY_TIMEOUT => error.of_paused_upload(),
            None => error,
        })
    }
}

/// Which connection the next attempt has, or the error if there is no other attempt: one is made,
/// or two if the gateway has not looked at the request, since a gateway that goes away ends all
/// shared connections, one after the other.
fn next_mode(error: Error, failures: &mut usize, prepared: &Prepared) -> Result<Mode, Error> {
    let most = match error.answer().retry {
        Retry::Always => 2,
        Retry::IfIdempotent if prepared.routed.head.method.is_idempotent() => 1,
        Retry::IfIdempotent | Retry::Never => 0,
    };
    *failures += 1;
    if *failures > most || !prepared.body.is_repeatable() {
        return Err(error);
    }
    // The last attempt has a connection of its own, which no other request can end.
    Ok(match prepared.mode() {
        Mode::Shared if *failures > 1 => Mode::Exclusive,
        mode => mode,
    })
}
