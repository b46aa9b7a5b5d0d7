//! Third step: a connection, then attempts over it, until one is answered for good.
//!
//! A request is sent again, over a new connection with a new signature, if it cannot have been
//! executed, which its [`Retry`] says. It is also signed again with the gateway's time if the
//! gateway refused its date, or with a new token if the gateway refused the old one. A body that is
//! streamed is gone then, so such a request is sent once.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::Response;
use http::header::{AGE, DATE};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Pipeline;
use super::auth::Signed;
use super::body::{IdleTimer, RequestBody};
use super::context::RequestContext;
use super::credentials::UsableCredential;
use super::gateway_response::GatewayResponse;
use super::key_breaker::{Permit, SignatureOutcome};
use super::prepare::Prepared;
use super::redact::Redactor;
use super::timings::{AttemptReason, Wait};
use crate::clock::Moment;
use crate::error::{Error, Retry};
use crate::gateway::{self, Evidence, Meaning};
use crate::signature::SigningDate;
use crate::upstream::{Connection, Mode, Reuse};

/// The maximum number of times that a request is restarted with another credential.
const CREDENTIALS: usize = 3;

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
    let context = Rc::clone(&prepared.routed.context);
    let mut connection = acquire(pipeline, prepared, Reuse::Any, prepared.mode()).await?;
    let mut refused: Option<Rc<UsableCredential>> = None;
    for _ in 0..CREDENTIALS {
        // Not before the connection is there, which may take its time.
        let slot = prepared.routed.slot;
        let usable = pipeline.credentials.usable(slot, refused.as_deref());
        let credential = context.waited(Wait::Credential, pin!(usable)).await?;
        let attempts = Attempts {
            pipeline,
            credential: &credential,
            may_refresh: refused.is_none(),
        };
        match attempts.run(prepared, connection).await? {
            Outcome::Answered(reply) => return Ok(*reply),
            Outcome::Refresh(again) => {
                refused = Some(credential);
                connection = again;
            }
            Outcome::Expired(again) => connection = again,
        }
        context.tries_again(AttemptReason::Credential);
    }
    Err(Error::NoCredentials)
}

async fn acquire(
    pipeline: &Pipeline,
    prepared: &Prepared,
    reuse: Reuse,
    mode: Mode,
) -> Result<Connection<RequestBody>, Error> {
    let origin = pipeline.origins[prepared.routed.route];
    let acquiring = pipeline.upstream.acquire(origin, reuse, mode);
    let context = &prepared.routed.context;
    let (connection, times) = context.waited(Wait::Connection, pin!(acquiring)).await?;
    context.connected(times);
    Ok(connection)
}

/// All attempts with one credential.
struct Attempts<'a> {
    pipeline: &'a Pipeline,
    credential: &'a UsableCredential,
    /// Allows waiting for another credential if this one is refused.
    may_refresh: bool,
}

/// How the attempts with one credential ended; with a connection for the next one.
enum Outcome {
    Answered(Box<GatewayResponse>),
    /// The credential was refused, and there is a new one.
    Refresh(Connection<RequestBody>),
    /// The credential expired before the request was sent.
    Expired(Connection<RequestBody>),
}

/// A response, and when its request was signed and the response came.
struct Answered {
    reply: GatewayResponse,
    date: SigningDate,
    sent: Moment,
    received: Moment,
}

impl Attempts<'_> {
    async fn run(
        &self,
        prepared: &mut Prepared,
        first: Connection<RequestBody>,
    ) -> Result<Outcome, Error> {
        let mut connection = first;
        let mut failures = 0;
        let mut may_redate = true;
        let is_repeatable = prepared.body.is_repeatable();
        // The time that a connection takes says nothing of the key, so this comes after it.
        let mut permit = self.permit(prepared).await?;
        while self.credential.lease.is_good_now() {
            let answered = match self.attempt(prepared, connection).await {
                Ok(answered) => answered,
                Err(error) => {
                    let mode = next_mode(error, &mut failures, prepared)?;
                    prepared
                        .routed
                        .context
                        .tries_again(AttemptReason::Connection);
                    connection = acquire(self.pipeline, prepared, Reuse::Fresh, mode).await?;
                    continue;
                }
            };
            let wants_refresh = self.wants_refresh(prepared, &answered.reply);
            if wants_refresh && is_repeatable && self.is_refreshed(prepared).await {
                let connection = self.acquire_again(prepared, answered.reply).await?;
                return Ok(Outcome::Refresh(connection));
            }
            // A corrected date says nothing of the secret key.
            if self.learn_clock(prepared, &answered) && may_redate {
                may_redate = false;
                settle(permit.take(), SignatureOutcome::Redated);
                // The refused date counts at the gateway too, so the next attempt needs a permit of
                // its own.
                if is_repeatable && let Ok(other) = self.permit(prepared).await {
                    permit = other;
                    prepared.routed.context.tries_again(AttemptReason::Date);
                    connection = self.acquire_again(prepared, answered.reply).await?;
                    continue;
                }
            }
            settle(permit, answered.reply.signature_outcome());
            let reply = self.explained(prepared, answered);
            return Ok(Outcome::Answered(Box::new(reply)));
        }
        Ok(Outcome::Expired(connection))
    }

    /// A connection for another attempt after a response that is not passed on.
    async fn acquire_again(
        &self,
        prepared: &Prepared,
        reply: GatewayResponse,
    ) -> Result<Connection<RequestBody>, Error> {
        if let Some(connection) = reply.body.connection {
            connection.release();
        }
        acquire(self.pipeline, prepared, Reuse::Any, prepared.mode()).await
    }

    async fn permit(&self, prepared: &Prepared) -> Result<Option<Permit<'_>>, Error> {
        let permit = self.credential.auth.permit();
        prepared
            .routed
            .context
            .waited(Wait::Key, pin!(permit))
            .await
    }

    /// Signs the request, sends it once, and reads what is needed of the response.
    async fn attempt(
        &self,
        prepared: &mut Prepared,
        mut connection: Connection<RequestBody>,
    ) -> Result<Answered, Error> {
        let context = Rc::clone(&prepared.routed.context);
        let begun = Instant::now();
        let date = self.signing_date(prepared);
        let body = prepared.body.take(&context);
        let body = body.ok_or(Error::Internal("a streamed body is sent once"))?;
        let settings = &self.pipeline.settings;
        let request = prepared.outgoing(settings, body, connection.is_http2());
        let (callers, hash) = (&prepared.routed.head.headers, prepared.hash.as_ref());
        let auth = &self.credential.auth;
        let signed = auth.apply(request, callers, hash, date)?;
        let sent = Moment::now();
        context.attempt(sent.steady - begun, sent.steady);
        if prepared.body.length() == Some(0) {
            context.upload.finish();
        }
        let response = self.response(&mut connection, signed, &context).await?;
        context.gateway_answered();
        let received = Moment::now();
        prepared.check_switch(&response)?;
        let status = response.status().as_u16();
        // A gateway that does not execute a request has no use for the rest of it.
        context.upload.is_stopped.set(status >= 300);
        let secret = auth.sent_secret().filter(|_| status >= 400);
        let redactor = secret.and_then(Redactor::new);
        let reply = GatewayResponse::read(response, connection, &context, redactor).await;
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
        context: &RequestContext,
    ) -> Result<Response<Incoming>, Error> {
        let mut timer = IdleTimer::new(self.pipeline.settings.timeouts.response);
        let answered = {
            let mut sending = pin!(connection.send(signed.into_request()));
            poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => {
                    let expired = timer.poll_expired(context.upload.sent.get(), cx);
                    expired.map(|()| Err(Error::ResponseTimeout))
                }
            })
            .await
        };
        if matches!(answered, Err(Error::ResponseTimeout)) {
            connection.mark_unusable();
        }
        answered.map_err(|error| context.upload.take_failure().unwrap_or(error))
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
    fn wants_refresh(&self, prepared: &Prepared, reply: &GatewayResponse) -> bool {
        let (credentials, slot) = (&self.pipeline.settings.credentials, prepared.routed.slot);
        let is_secret = self.credential.auth.key().is_none();
        let is_temporary = self.credential.lease.lifetime.is_some();
        let is_refused = match reply.meaning() {
            Some(Meaning::UnknownApp | Meaning::Unauthorized) => is_secret,
            // A temporary key may have been withdrawn.
            Some(Meaning::UnknownKey | Meaning::Expired { .. }) => !is_secret && is_temporary,
            Some(Meaning::InvalidToken) => is_secret || is_temporary,
            _ => false,
        };
        if !is_refused {
            if !self.may_refresh {
                credentials.refresh_helped(slot);
            }
            return false;
        }
        credentials.refused(slot, self.credential) && self.may_refresh && is_secret
    }

    /// Waits for another credential. If there is none, the caller gets the refusal, which says more
    /// than that.
    async fn is_refreshed(&self, prepared: &Prepared) -> bool {
        let (pipeline, slot) = (self.pipeline, prepared.routed.slot);
        let other = pipeline.credentials.usable(slot, Some(self.credential));
        let context = &prepared.routed.context;
        let other = context.waited(Wait::Credential, pin!(other)).await;
        other.is_ok()
    }

    /// The reply with a hint, if it is a refusal.
    fn explained(&self, prepared: &Prepared, answered: Answered) -> GatewayResponse {
        let Answered {
            mut reply, date, ..
        } = answered;
        if !reply.is_of_gateway() && reply.hint.is_none() {
            return reply;
        }
        let route = &self.pipeline.settings.routes[prepared.routed.route];
        let (auth, key) = (&self.credential.auth, self.credential.auth.key());
        let canonical = key.and_then(|key| {
            let request = prepared.outgoing(&self.pipeline.settings, (), false);
            let hash = prepared.hash.as_ref();
            let canonical = key.canonical(&request, hash, date, |text| text.to_string());
            canonical.ok()
        });
        let clock = self.pipeline.gateway_clock(prepared.routed.route);
        let ahead = clock.ahead();
        reply.explain(&gateway::Context {
            canonical_request: canonical.as_deref(),
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
