//! Third step: a connection, then attempts over it, until one is answered for good.
//!
//! A request is sent again, over a new connection and signed anew, if it cannot have been executed: nothing
//! of it was written, the gateway says that it has not looked at it, or its method is idempotent and the
//! connection had carried requests before and ended without a byte of an answer. It is also signed anew
//! with the gateway's time if the gateway refused its date, or with a new token if the gateway refused the
//! old one. A body that is streamed is gone then, so such a request is sent once.

mod answered;
mod attempt;
mod failure;

use std::pin::pin;
use std::rc::Rc;

use answered::Answered;
use failure::ConnectionFailures;

use super::Pipeline;
use super::auth::RequestAuth;
use super::body::RequestBody;
use super::context::{AttemptReason, timed};
use super::credentials::UsableCredential;
use super::gateway_reply::GatewayReply;
use super::key_breaker::{Permit, SignatureOutcome};
use super::prepare::Prepared;
use crate::error::Error;
use crate::signature::SigningDate;
use crate::upstream::{ConnectTimes, Connection, Mode, Reuse};

/// How often a request begins anew with another credential, at most.
const CREDENTIALS: usize = 3;

/// A connection with what opening it took.
type Acquired = (Connection<RequestBody>, ConnectTimes);

/// Sends a request until it is answered.
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
    mut prepared: Prepared,
) -> Result<GatewayReply, Error> {
    let context = Rc::clone(&prepared.context);
    let mode = prepared.mode();
    let mut acquired = acquire(pipeline, &prepared, Reuse::Any, mode).await?;
    let mut refused: Option<Rc<UsableCredential>> = None;
    for _ in 0..CREDENTIALS {
        // Not before the connection is there, which may take its time.
        let usable = pipeline
            .credentials
            .usable(prepared.slot, refused.as_deref());
        let (credential, waited) = timed(pin!(usable)).await;
        context.time(|timings| timings.credential_wait += waited);
        let credential = credential?;
        let attempts = Attempts {
            pipeline,
            credential: &credential,
            may_refresh: refused.is_none(),
        };
        match attempts.run(&mut prepared, acquired).await? {
            Outcome::Answered(answered, date) => {
                return Ok(answered.into_reply(pipeline, &prepared, &credential.auth, date));
            }
            Outcome::Refresh(again) => {
                refused = Some(credential);
                acquired = again;
            }
            Outcome::Expired(again) => acquired = again,
        }
    }
    Err(Error::NoCredentials)
}

async fn acquire(
    pipeline: &Pipeline,
    prepared: &Prepared,
    reuse: Reuse,
    mode: Mode,
) -> Result<Acquired, Error> {
    let origin = pipeline.origins[prepared.route];
    let acquiring = pipeline.upstream.acquire(origin, reuse, mode);
    let (acquired, waited) = timed(pin!(acquiring)).await;
    prepared
        .context
        .time(|timings| timings.connection_wait += waited);
    acquired
}

/// All attempts with one credential.
struct Attempts<'a> {
    pipeline: &'a Pipeline,
    credential: &'a UsableCredential,
    /// Whether another credential may be waited for if this one is refused.
    may_refresh: bool,
}

/// How the attempts with one credential ended.
enum Outcome {
    /// With an answer to a request with this date.
    Answered(Box<Answered>, SigningDate),
    /// The credential was refused and a new one may help; with a connection for it.
    Refresh(Acquired),
    /// The credential expired before the request was sent.
    Expired(Acquired),
}

impl Attempts<'_> {
    async fn run(&self, prepared: &mut Prepared, first: Acquired) -> Result<Outcome, Error> {
        let pipeline = self.pipeline;
        let mut next = first;
        let mut reason = self.first_reason();
        let mut failures = ConnectionFailures::default();
        let mut may_redate = true;
        // The time that a connection takes says nothing of the key, so this comes after it.
        let mut permit = self.permit(prepared).await?;
        while self.credential.issued.is_good_now() {
            let mode = prepared.mode();
            let date = self.signing_date(prepared);
            let answered = match self.attempt(prepared, next, (reason, date)).await {
                Ok(answered) => answered,
                Err(failure) => {
                    let mode = failures.next_mode(failure, prepared)?;
                    next = acquire(pipeline, prepared, Reuse::Fresh, mode).await?;
                    reason = AttemptReason::Connection;
                    continue;
                }
            };
            let is_repeatable = prepared.body.is_repeatable();
            let wants_refresh = self.wants_refresh(prepared, &answered) && is_repeatable;
            if wants_refresh && self.is_refreshed(prepared).await {
                answered.connection.release();
                let again = acquire(pipeline, prepared, Reuse::Any, mode).await?;
                return Ok(Outcome::Refresh(again));
            }
            let is_redated = answered.learn_clock(pipeline, prepared, date) && may_redate;
            may_redate = false;
            let is_sent_again = is_redated && is_repeatable;
            // The refused date counts at the gateway too, so the next attempt needs a permit of its own.
            if is_sent_again && let Ok(other) = self.permit_again(permit.take(), prepared).await {
                permit = other;
                reason = AttemptReason::Date;
                answered.connection.release();
                next = acquire(pipeline, prepared, Reuse::Any, mode).await?;
                continue;
            }
            answered.settle(permit, is_redated);
            return Ok(Outcome::Answered(Box::new(answered), date));
        }
        Ok(Outcome::Expired(next))
    }

    /// Why the first attempt is made.
    fn first_reason(&self) -> AttemptReason {
        if self.may_refresh {
            AttemptReason::First
        } else {
            AttemptReason::Credential
        }
    }

    /// The date that an attempt is signed with: the time of this machine, corrected by what the gateway told.
    fn signing_date(&self, prepared: &Prepared) -> SigningDate {
        let clock = self.pipeline.gateway_clock(prepared.route);
        self.pipeline.clock.signing_date(clock.correction())
    }

    async fn permit(&self, prepared: &Prepared) -> Result<Option<Permit<'_>>, Error> {
        let (permit, waited) = timed(pin!(self.credential.auth.permit())).await;
        prepared.context.time(|timings| timings.key_wait += waited);
        permit
    }

    /// Settles a permit for a date that was refused, and acquires one for the corrected date.
    async fn permit_again<'s>(
        &'s self,
        permit: Option<Permit<'s>>,
        prepared: &Prepared,
    ) -> Result<Option<Permit<'s>>, Error> {
        if let Some(permit) = permit {
            permit.settle(SignatureOutcome::Redated);
        }
        self.permit(prepared).await
    }

    /// Whether the gateway refused the credential, so that another one is asked for; and whether that is worth
    /// waiting for.
    fn wants_refresh(&self, prepared: &Prepared, answered: &Answered) -> bool {
        let credentials = &self.pipeline.settings.credentials;
        let is_refused = match self.credential.auth {
            RequestAuth::Header(_) => answered.refusal.is_of_secret(),
            // A temporary key may have been withdrawn. Whether it is that is not certain.
            RequestAuth::Signature(_) => {
                answered.refusal.is_of_key() && self.credential.issued.lifetime.is_some()
            }
        };
        if !is_refused {
            if !self.may_refresh {
                credentials.refresh_backoff(prepared.slot).helped();
            }
            return false;
        }
        let may_help = credentials.refused(prepared.slot, self.credential);
        may_help && self.may_refresh && matches!(self.credential.auth, RequestAuth::Header(_))
    }

    /// Waits for another credential. If there is none, the caller gets the refusal, which says more than that.
    async fn is_refreshed(&self, prepared: &Prepared) -> bool {
        let (pipeline, slot) = (self.pipeline, prepared.slot);
        let other = pipeline.credentials.usable(slot, Some(self.credential));
        let (other, waited) = timed(pin!(other)).await;
        prepared
            .context
            .time(|timings| timings.credential_wait += waited);
        if other.is_err() {
            let backoff = pipeline.settings.credentials.refresh_backoff(slot);
            backoff.waited_in_vain(&self.credential.issued);
        }
        other.is_ok()
    }
}
