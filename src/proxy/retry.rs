//! Third step: a connection, then attempts over it, until one is answered for good.
//!
//! A request is sent again, over a new connection with a new signature, if it cannot have been
//! executed, which its [`Retry`] says. It is also signed again with the gateway's time if the
//! gateway refused its date, or with a new token if the gateway refused the old one. A body that is
//! streamed is gone then, so such a request is sent once.

use std::pin::pin;
use std::rc::Rc;

use http::Response;
use http::header::{AGE, DATE};
use tokio::time::Instant;

use super::Pipeline;
use super::auth::Signed;
use super::body::{RequestBody, unless_idle};
use super::context::RequestContext;
use super::credentials::UsableCredential;
use super::gateway_response::GatewayResponse;
use super::key_breaker::{Permit, SignatureOutcome};
use super::prepare::Prepared;
use super::redact::Redactor;
use super::timings::{AttemptReason, AttemptTimings, Wait};
use crate::clock::Moment;
use crate::error::{Error, Retry};
use crate::gateway::{self, CanonicalText, Evidence, Meaning};
use crate::signature::SigningDate;
use crate::upstream::{ConnectTimes, Connection, GatewayBody, Mode, Reuse};

/// The most rounds of one request: a first attempt, two after lost connections, one with another
/// date, one with another credential, and a few for credentials that expire while it waits.
const MAX_ROUNDS: usize = 8;

/// By how much a date has to have moved for it to be worth sending a refused request again, in
/// seconds. A temporary key that has expired is refused in the same words, and no date helps it.
const REDATED: u64 = 60;

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
    let mut connection = attempts
        .acquire(prepared, Reuse::Any, prepared.mode())
        .await?;
    // Not before the connection is there, which may take its time.
    let mut credential = attempts.usable(prepared, None).await?;
    let mut reason = AttemptReason::First;
    let (mut failures, mut may_redate, mut may_refresh) = (0, true, true);
    for _ in 0..MAX_ROUNDS {
        let current = Rc::clone(&credential);
        let permit = attempts.permit(&current).await?;
        if !current.lease.is_good_now() {
            credential = attempts.usable(prepared, None).await?;
            reason = AttemptReason::Credential;
            continue;
        }
        let answered = match attempts.send(prepared, &current, connection, reason).await {
            Ok(answered) => answered,
            Err(error) => {
                let mode = next_mode(error, &mut failures, prepared)?;
                connection = attempts.acquire(prepared, Reuse::Fresh, mode).await?;
                reason = AttemptReason::Connection;
                continue;
            }
        };
        let (reply, is_repeatable) = (&answered.reply, prepared.body.is_repeatable());
        if attempts.wants_refresh(prepared, &current, reply, may_refresh)
            && is_repeatable
            && let Ok(other) = attempts.usable(prepared, Some(&current)).await
        {
            (credential, may_refresh, reason) = (other, false, AttemptReason::Credential);
        } else if attempts.learn_clock(prepared, &answered) && may_redate {
            // A corrected date says nothing of the secret key, but it counts at the gateway too.
            settle(permit, SignatureOutcome::Redated);
            if !is_repeatable || attempts.permit(&current).await.is_err() {
                return Ok(attempts.explained(prepared, &current, answered));
            }
            (may_redate, reason) = (false, AttemptReason::Date);
        } else {
            settle(permit, reply.signature_outcome());
            return Ok(attempts.explained(prepared, &current, answered));
        }
        if let Some(connection) = answered.reply.body.connection {
            connection.release();
        }
        connection = attempts
            .acquire(prepared, Reuse::Any, prepared.mode())
            .await?;
    }
    Err(Error::NoCredentials)
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

    async fn permit<'c>(
        &self,
        credential: &'c UsableCredential,
    ) -> Result<Option<Permit<'c>>, Error> {
        let permit = credential.auth.permit();
        self.context.waited(Wait::Key, pin!(permit)).await
    }

    /// Signs the request, sends it once, and reads what is needed of the response.
    async fn send(
        &self,
        prepared: &mut Prepared,
        credential: &UsableCredential,
        (mut connection, connect): Acquired,
        reason: AttemptReason,
    ) -> Result<Answered, Error> {
        let (context, auth, started) = (self.context, &credential.auth, Instant::now());
        let date = self.signing_date(prepared);
        let body = prepared.body.take(&prepared.routed.context);
        let body = body.ok_or(Error::Internal("a streamed body is sent once"))?;
        let request = prepared.outgoing(&self.pipeline.settings, body, connection.is_http2());
        let (callers, hash) = (&prepared.routed.head.headers, prepared.hash.as_ref());
        let signed = auth.apply(request, callers, hash, date)?;
        let sent = Moment::now();
        context.attempt(AttemptTimings {
            reason,
            connect,
            signing: sent.steady - started,
            signed: sent.steady - context.head_read,
            sent: None,
            first_byte: None,
        });
        if prepared.body.length() == Some(0) {
            context.request_sent();
        }
        let response = self.response(&mut connection, signed).await?;
        context.gateway_answered();
        let received = Moment::now();
        prepared.check_switch(&response)?;
        let status = response.status().as_u16();
        // A gateway that does not execute a request has no use for the rest of it.
        context.upload.is_stopped.set(status >= 300);
        let secret = auth.sent_secret().filter(|_| status >= 400);
        let redactor = secret.and_then(Redactor::new);
        let reply = GatewayResponse::read(response, connection, context, redactor).await;
        Ok(Answered {
            reply,
            date,
            sent,
            received,
        })
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
    ) -> Result<Response<GatewayBody>, Error> {
        let (limit, upload) = (
            self.pipeline.settings.timeouts.response,
            &self.context.upload,
        );
        let answered = {
            let sending = pin!(connection.send(signed.into_request()));
            unless_idle(limit, || upload.sent.get(), sending).await
        };
        let answered = answered.unwrap_or_else(|| {
            connection.mark_unusable();
            Err(Error::ResponseTimeout)
        });
        answered.map_err(|error| upload.take_failure().unwrap_or(error))
    }

    /// Learns the gateway's time. Returns `true` if the request was refused for its date, and
    /// another date may well be accepted.
    fn learn_clock(&self, prepared: &Prepared, answered: &Answered) -> bool {
        let (pipeline, route) = (self.pipeline, prepared.routed.route);
        let (date, headers) = (answered.date, &answered.reply.head.headers);
        let expired = answered.reply.expired(date);
        let is_expired = expired.is_some();
        let told = match expired.flatten() {
            Some(told) => Some(told),
            // A response out of a cache tells when it was put there.
            None if headers.contains_key(AGE) => None,
            None => pipeline.new_date(route, headers.get(DATE), is_expired),
        };
        let Some(told) = told else { return false };
        let evidence = if is_expired {
            Evidence::Refused
        } else {
            Evidence::Accepted(date.unix_seconds())
        };
        let clock = pipeline.gateway_clock(route);
        clock.observe(told, answered.sent, answered.received, evidence);
        let now = self.signing_date(prepared);
        let moved = now.unix_seconds().abs_diff(date.unix_seconds());
        is_expired && clock.corrects() && moved >= REDATED
    }

    /// Requests another credential if the gateway refused this one. Returns `true` if that is worth
    /// waiting for.
    fn wants_refresh(
        &self,
        prepared: &Prepared,
        credential: &UsableCredential,
        reply: &GatewayResponse,
        may_refresh: bool,
    ) -> bool {
        let (credentials, slot) = (&self.pipeline.settings.credentials, prepared.routed.slot);
        let is_secret = credential.auth.key().is_none();
        let is_temporary = credential.lease.lifetime.is_some();
        let is_refused = match reply.meaning() {
            Some(Meaning::UnknownApp | Meaning::Unauthorized) => is_secret,
            // A temporary key may have been withdrawn.
            Some(Meaning::UnknownKey | Meaning::Expired { .. }) => !is_secret && is_temporary,
            Some(Meaning::InvalidToken) => is_secret || is_temporary,
            _ => false,
        };
        if !is_refused {
            if !may_refresh {
                credentials.refresh_helped(slot);
            }
            return false;
        }
        credentials.refused(slot, credential) && may_refresh && is_secret
    }

    /// The reply with a hint, if it is a refusal.
    fn explained(
        &self,
        prepared: &Prepared,
        credential: &UsableCredential,
        answered: Answered,
    ) -> GatewayResponse {
        let Answered {
            mut reply, date, ..
        } = answered;
        if !reply.is_of_gateway() && reply.hint.is_none() {
            return reply;
        }
        let route = &self.pipeline.settings.routes[prepared.routed.route];
        let (auth, key) = (&credential.auth, credential.auth.key());
        let canonical = key.and_then(|key| {
            let mut request = prepared.outgoing(&self.pipeline.settings, (), false);
            let hash = prepared.hash.as_ref();
            let canonical = key.canonical(&mut request, hash, date, |text| {
                CanonicalText(text.to_string())
            });
            canonical.ok()
        });
        let clock = self.pipeline.gateway_clock(prepared.routed.route);
        let ahead = clock.ahead();
        reply.explain(&gateway::Context {
            canonical_request: canonical.as_ref(),
            auth: auth.kind(),
            has_security_token: key.is_some_and(super::SigningKey::is_temporary),
            clock_offset: (ahead != 0).then_some(ahead),
            corrects_clock: clock.corrects(),
            stage: route.stage.to_str().unwrap_or_default(),
            host: &route.upstream.host,
        });
        reply
    }
}

/// Returns the permit to the key breaker, with the signature outcome of the response.
fn settle(permit: Option<Permit<'_>>, outcome: SignatureOutcome) {
    if let Some(permit) = permit {
        permit.settle(outcome);
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
