//! Fourth step: a connection, then attempts over it, until one is answered for good.

use std::pin::pin;
use std::rc::Rc;

use super::Pipeline;
use super::attempt::{Answered, Attempt, Failure};
use super::body::RequestBody;
use super::keyring::Held;
use super::lockout::{Pass, Verdict};
use super::payload::Prepared;
use super::proof::Proof;
use super::redact::Redactor;
use super::reply::Reply;
use crate::error::Error;
use crate::http1::{Framing, ResponseHead};
use crate::signature::SigningDate;
use crate::telemetry::metrics::Flight;
use crate::upstream::{Choice, Connection, Usage};
use bytes::Bytes;

/// A request that was answered: the head is here, the body still to come.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) head: ResponseHead,
    pub(super) framing: Framing,
    pub(super) connection: Connection,
    /// The request body, if it is still being sent and the gateway wants the rest of it.
    pub(super) uploading: Option<RequestBody>,
    /// What was read of the answer's body already.
    pub(super) ahead: Bytes,
    /// Whether `ahead` is all of the body, and no longer encoded as the head says.
    pub(super) is_decoded: bool,
    /// Redacts the secret of the request in a refusal.
    pub(super) redactor: Option<Redactor>,
    /// Whether the gateway refuses the request in its own name.
    pub(super) is_refusal: bool,
    /// What the caller is told of a refusal.
    pub(super) hint: Option<String>,
    pub(super) reply: Reply,
}

/// Sends a request and waits for the head of the answer.
///
/// It is sent a second time, over a new connection and signed anew, if it cannot have been executed:
/// nothing of it was written, or its method is idempotent and the connection had carried requests before
/// and ended without a byte of an answer. And it is signed anew with the gateway's time if the gateway
/// refused its date, or with a new token if the gateway does not take the old one any more. A body that is
/// streamed is gone then, so such a request is sent once only.
///
/// # Errors
///
/// Any of the upstream's errors, and the caller's if its body ends early.
pub(super) async fn forward(
    pipeline: &Pipeline,
    mut prepared: Prepared,
) -> Result<Exchange, Error> {
    let flight = Rc::clone(&prepared.reply.flight);
    let mut unused = connection(pipeline, &prepared, Choice::Any, prepared.usage()).await?;
    let mut refused: Option<Rc<Held>> = None;
    for _ in 0..ROUNDS {
        // Not before the connection is there, which may take its time.
        let held = flight
            .queued(pin!(pipeline.ring.good(prepared.slot, refused.as_deref())))
            .await?;
        let round = Round {
            pipeline,
            held: &held,
            may_renew: refused.is_none(),
        };
        match round.run(&mut prepared, unused).await? {
            Ended::Answered(answered, date) => {
                return answered.into_exchange(pipeline, prepared, &held.proof, date);
            }
            Ended::Renew(reusable) => {
                refused = Some(held);
                unused = reusable;
            }
            Ended::TooOld(again) => unused = again,
        }
    }
    Err(Error::NoCredentials)
}

/// A connection for a request.
async fn connection(
    pipeline: &Pipeline,
    prepared: &Prepared,
    choice: Choice,
    usage: Usage,
) -> Result<Connection, Error> {
    let origin = pipeline.origins[prepared.reply.route];
    let connection = pipeline.upstream.connection(origin, choice, usage);
    prepared.reply.flight.queued(pin!(connection)).await
}

/// How often a request begins anew with another secret, at most.
const ROUNDS: usize = 3;

/// All attempts with one secret.
pub(super) struct Round<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) held: &'a Held,
    /// Whether another secret may be waited for if this one is refused.
    may_renew: bool,
}

/// How a round ended.
enum Ended {
    /// With an answer to a request with this date.
    Answered(Box<Answered>, SigningDate),
    /// The secret was refused and a new one may help; with a connection for it.
    Renew(Connection),
    /// The secret came to its end before the request was sent.
    TooOld(Connection),
}

/// What was done about attempts that failed.
#[derive(Debug, Default)]
struct Mended {
    times: usize,
}

impl Mended {
    /// Whether another attempt is made after this failure: one, or two if the gateway has not looked at the
    /// request. A gateway that goes away ends all shared connections, one after the other.
    fn again(&mut self, failure: &Failure, was_reused: bool) -> bool {
        let most = match failure {
            Failure::Untouched(_) => 2,
            Failure::Unsent(_) | Failure::Unanswered(_) | Failure::Other(_) => 1,
        };
        let again = self.times < most && failure.may_be_mended(was_reused);
        self.times += 1;
        again
    }

    /// Which connection the next attempt has. The last one has its own, which no other request can end.
    fn usage(&self, prepared: &Prepared) -> Usage {
        if self.times > 1 {
            Usage::Alone
        } else {
            prepared.usage()
        }
    }
}

impl Round<'_> {
    async fn run(&self, prepared: &mut Prepared, first: Connection) -> Result<Ended, Error> {
        let pipeline = self.pipeline;
        let mut next = first;
        let mut mended = Mended::default();
        let mut may_redate = true;
        // It says nothing of the key that a connection takes its time, so this comes after it.
        let flight = Rc::clone(&prepared.reply.flight);
        let mut pass = flight.queued(pin!(self.held.proof.admit())).await?;
        loop {
            if !self.held.issued.is_good_now() {
                return Ok(Ended::TooOld(next));
            }
            let attempt = Attempt::begin(self, prepared, next)?;
            let (reused, date) = (attempt.connection.is_reused(), attempt.date);
            let answered = match attempt.run(self, prepared).await {
                Ok(answered) => answered,
                Err(failure) => {
                    let again = mended.again(&failure, reused) && failure.is_harmless(prepared);
                    if !again || !prepared.body.rewind() {
                        return Err(failure.into());
                    }
                    let usage = mended.usage(prepared);
                    next = connection(pipeline, prepared, Choice::Fresh, usage).await?;
                    continue;
                }
            };
            if self.wants_renewal(prepared, &answered)
                && prepared.body.rewind()
                && self.is_renewed(prepared).await
            {
                answered.connection.release();
                let next = connection(pipeline, prepared, Choice::Any, prepared.usage()).await?;
                return Ok(Ended::Renew(next));
            }
            let learned = answered.learn(pipeline, prepared, date);
            let is_redated = learned && may_redate;
            may_redate = false;
            // The refused date counts at the gateway too, so the next attempt needs a permit of its own.
            if is_redated
                && prepared.body.rewind()
                && let Ok(next_pass) = self.readmitted(pass.take(), &flight).await
            {
                pass = next_pass;
                answered.connection.release();
                next = connection(pipeline, prepared, Choice::Any, prepared.usage()).await?;
                continue;
            }
            // What the clock was to blame for is mended, and says nothing of the secret key.
            let verdict = if is_redated {
                Verdict::Redated
            } else {
                answered.verdict()
            };
            if let Some(pass) = pass {
                pass.settle(verdict);
            }
            return Ok(Ended::Answered(Box::new(answered), date));
        }
    }

    /// Settles a permit for a date that was refused, and acquires one for the corrected date.
    async fn readmitted<'a>(
        &'a self,
        pass: Option<Pass<'a>>,
        flight: &Flight,
    ) -> Result<Option<Pass<'a>>, Error> {
        if let Some(pass) = pass {
            pass.settle(Verdict::Redated);
        }
        flight.queued(pin!(self.held.proof.admit())).await
    }

    /// Whether the gateway does not take the secret any more, so that another one is asked for; and whether
    /// that is worth waiting for.
    fn wants_renewal(&self, prepared: &Prepared, answered: &Answered) -> bool {
        let keyring = &self.pipeline.settings.keyring;
        let is_refused = match self.held.proof {
            Proof::Header(_) => answered.refusal.is_of_secret(),
            // A temporary key may have been withdrawn. Whether it is that is not certain.
            Proof::Key(_) => answered.refusal.is_of_key() && self.held.issued.lifetime.is_some(),
        };
        if !is_refused {
            if !self.may_renew {
                keyring.renewals(prepared.slot).helped();
            }
            return false;
        }
        let has_hope = keyring.refused(prepared.slot, self.held);
        has_hope && self.may_renew && matches!(self.held.proof, Proof::Header(_))
    }

    /// Waits for another secret. If there is none, the caller gets the refusal, which says more than that.
    async fn is_renewed(&self, prepared: &Prepared) -> bool {
        let other = self.pipeline.ring.good(prepared.slot, Some(self.held));
        let is_renewed = prepared.reply.flight.queued(pin!(other)).await.is_ok();
        if !is_renewed {
            let keyring = &self.pipeline.settings.keyring;
            keyring
                .renewals(prepared.slot)
                .waited_in_vain(&self.held.issued);
        }
        is_renewed
    }
}
