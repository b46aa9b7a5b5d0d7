//! Fourth step: a connection, then the signature, then the request, then the wait for the answer; and
//! whether it may be sent again.

use std::rc::Rc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Pipeline;
use super::body::RequestBody;
use super::keyring::Held;
use super::lockout::Verdict;
use super::payload::Prepared;
use super::proof::{Proof, Signed};
use super::refusal::{self, Refusal};
use super::reply::Reply;
use super::sending::Sending;
use crate::clock::{Evidence, Moment};
use crate::error::Error;
use crate::http1::{Framing, ResponseHead};
use crate::signature::SigningDate;
use crate::upstream::{Choice, Connection};

/// Methods that may be executed twice without harm (RFC 9110 §9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"];

/// By how much a date has to have moved for it to be worth sending a refused request again, in seconds. A
/// temporary key that has expired is refused in the same words, and no date helps it.
const REDATED: u64 = 60;

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
    let origin = pipeline.origins[prepared.reply.route];
    let flight = Rc::clone(&prepared.reply.flight);
    let first = pipeline.upstream.connection(origin, Choice::Any);
    let mut connection = flight.queued(first).await?;
    let mut refused: Option<Rc<Held>> = None;
    for _ in 0..ROUNDS {
        // Not before the connection is there, which may take its time.
        let held = pipeline.ring.good(prepared.slot, refused.as_deref());
        let held = flight.queued(held).await?;
        let round = Round {
            pipeline,
            held: &held,
            may_renew: refused.is_none(),
        };
        match round.run(&mut prepared, connection).await? {
            Ended::Answered(answered, date) => {
                return answered.into_exchange(pipeline, prepared, &held.proof, date);
            }
            Ended::Renew(reusable) => {
                refused = Some(held);
                connection = reusable;
            }
            Ended::TooOld(unused) => connection = unused,
        }
    }
    Err(Error::NoCredentials)
}

/// How often a request begins anew with another secret, at most.
const ROUNDS: usize = 3;

/// All attempts with one secret.
struct Round<'a> {
    pipeline: &'a Pipeline,
    held: &'a Held,
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

impl Round<'_> {
    async fn run(&self, prepared: &mut Prepared, first: Connection) -> Result<Ended, Error> {
        let pipeline = self.pipeline;
        let origin = pipeline.origins[prepared.reply.route];
        let mut connection = first;
        let mut is_fresh = false;
        let mut may_redate = true;
        // It says nothing of the key that a connection takes its time, so this comes after it.
        let flight = Rc::clone(&prepared.reply.flight);
        let pass = flight.queued(self.held.proof.admit()).await?;
        loop {
            if !self.held.issued.is_good_now() {
                return Ok(Ended::TooOld(connection));
            }
            let attempt = Attempt::begin(self, prepared, connection)?;
            let (reused, date) = (attempt.connection.is_reused(), attempt.date);
            let answered = match attempt.run(self, prepared).await {
                Ok(answered) => answered,
                Err(failure) => {
                    let again = !is_fresh && reused && failure.is_harmless(prepared);
                    if !again || !prepared.body.rewind() {
                        return Err(failure.into());
                    }
                    is_fresh = true;
                    let fresh = pipeline.upstream.connection(origin, Choice::Fresh);
                    connection = flight.queued(fresh).await?;
                    continue;
                }
            };
            if self.wants_renewal(prepared, &answered) && prepared.body.rewind() {
                answered.connection.release();
                let next = pipeline.upstream.connection(origin, Choice::Any);
                let next = flight.queued(next).await?;
                return Ok(Ended::Renew(next));
            }
            let learned = answered.learn(pipeline, prepared, date);
            if learned && may_redate && prepared.body.rewind() {
                may_redate = false;
                answered.connection.release();
                let again = pipeline.upstream.connection(origin, Choice::Any);
                connection = flight.queued(again).await?;
                continue;
            }
            // What the clock was to blame for is mended, and says nothing of the key.
            let verdict = if learned {
                Verdict::Unknown
            } else {
                answered.verdict()
            };
            if let Some(pass) = pass {
                pass.settle(verdict);
            }
            return Ok(Ended::Answered(Box::new(answered), date));
        }
    }

    /// Whether the gateway does not take the secret any more, so that another one is asked for; and whether
    /// that is worth waiting for.
    fn wants_renewal(&self, prepared: &Prepared, answered: &Answered) -> bool {
        let is_refused = match self.held.proof {
            Proof::Header(_) => answered.refusal.is_of_secret(),
            // A temporary key may have been withdrawn. Whether it is that is not certain.
            Proof::Key(_) => answered.refusal.is_of_key() && self.held.issued.lifetime.is_some(),
        };
        if is_refused {
            self.pipeline.settings.keyring.hurry(prepared.slot);
        }
        is_refused && self.may_renew && matches!(self.held.proof, Proof::Header(_))
    }
}

/// One attempt: a connection, and the request signed for it.
struct Attempt {
    connection: Connection,
    signed: Signed,
    /// When that was.
    at: Moment,
    date: SigningDate,
}

impl Attempt {
    fn begin(
        round: &Round<'_>,
        prepared: &Prepared,
        connection: Connection,
    ) -> Result<Self, Error> {
        let pipeline = round.pipeline;
        let route = prepared.reply.route;
        let flight = &prepared.reply.flight;
        let correction = pipeline.gateway_clock(route).correction();
        let date = pipeline.clock.signing_date(correction);
        let begun = Instant::now();
        let route = &pipeline.settings.routes[route];
        let signed = round.held.proof.apply(prepared, route, date)?;
        let at = Moment::now();
        flight.signed(at.steady() - begun);
        Ok(Self {
            connection,
            signed,
            at,
            date,
        })
    }

    /// Sends, and waits for the head of the answer; a refusal is read ahead.
    async fn run(
        mut self,
        round: &Round<'_>,
        prepared: &mut Prepared,
    ) -> Result<Answered, Failure> {
        let pipeline = round.pipeline;
        let limit = pipeline.settings.timeouts.response;
        let sending = Sending::new(&mut self.connection, self.signed, prepared, limit);
        let (head, is_sent) = sending.answer().await?;
        let (sent, received) = (self.at, Moment::now());
        let took = received.steady() - sent.steady();
        prepared.reply.flight.gateway_answered(took);
        let mut answered = Answered {
            framing: Framing::Length(0),
            connection: self.connection,
            is_sent,
            sent,
            received,
            refusal: Refusal::unread(head.status),
            head,
        };
        if answered.head.status != 101 {
            let framing = answered.connection.receive(&answered.head);
            answered.framing =
                framing.map_err(|error| Failure::Other(Error::BadResponse(error)))?;
        }
        if refusal::may_be(&answered.head) {
            let (connection, proof) = (&mut answered.connection, &round.held.proof);
            answered.refusal = refusal::read(connection, &answered.head, proof).await;
            if let Some(error) = &answered.refusal.error {
                pipeline.meter.gateway_error(&error.code);
            }
        }
        Ok(answered)
    }
}

/// The answer to one attempt.
struct Answered {
    head: ResponseHead,
    framing: Framing,
    connection: Connection,
    /// Whether the request was sent to its end.
    is_sent: bool,
    sent: Moment,
    received: Moment,
    refusal: Refusal,
}

impl Answered {
    /// Learns the gateway's time. Whether the request was refused for its date, and another date may
    /// well be accepted.
    fn learn(&self, pipeline: &Pipeline, prepared: &Prepared, date: SigningDate) -> bool {
        let route = prepared.reply.route;
        let expired = self.refusal.expired(date);
        let is_expired = expired.is_some();
        let told = match expired.flatten() {
            Some(told) => Some(told),
            // An answer out of a cache tells when it was put there.
            None if self.head.fields.first("age").is_some() => None,
            None => pipeline.news_of_date(route, self.head.fields.first("date"), is_expired),
        };
        let Some(told) = told else { return false };
        let evidence = if is_expired {
            Evidence::Refused
        } else {
            Evidence::Accepted(date.unix_seconds())
        };
        let clock = pipeline.gateway_clock(route);
        clock.observe(told, self.sent, self.received, evidence);
        let now = pipeline.clock.signing_date(clock.correction());
        let moved = now.unix_seconds().abs_diff(date.unix_seconds());
        is_expired && clock.corrects() && moved >= REDATED
    }

    fn verdict(&self) -> Verdict {
        if self.head.status < 400 {
            Verdict::Right
        } else {
            self.refusal.verdict()
        }
    }

    fn into_exchange(
        self,
        pipeline: &Pipeline,
        prepared: Prepared,
        proof: &Proof,
        date: SigningDate,
    ) -> Result<Exchange, Error> {
        // Who refuses a request has no use for the rest of it.
        let wants_rest = !self.is_sent && (200..300).contains(&self.head.status);
        let (settings, route) = (&pipeline.settings, prepared.reply.route);
        let clock = pipeline.gateway_clock(route);
        let route = &settings.routes[route];
        let hint = self.refusal.hint(&prepared, route, proof, (clock, date));
        Ok(Exchange {
            head: self.head,
            framing: self.framing,
            connection: self.connection,
            is_refusal: self.refusal.error.is_some(),
            ahead: self.refusal.body,
            hint,
            uploading: wants_rest.then_some(prepared.body),
            reply: prepared.reply,
        })
    }
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// Nothing of the request was written.
    Unsent(std::io::Error),
    /// The connection ended without a byte of an answer.
    Unanswered(std::io::Error),
    Other(Error),
}

impl Failure {
    /// Whether sending the request again can do no harm. A connection that carried requests before is
    /// usually closed for having been idle, and then the gateway has not read the request; that it
    /// has not is certain only if nothing was written.
    fn is_harmless(&self, prepared: &Prepared) -> bool {
        match self {
            Self::Unsent(_) => true,
            Self::Unanswered(_) => IDEMPOTENT.contains(&prepared.method.as_str()),
            Self::Other(_) => false,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent(error) => Self::NotSent(error),
            Failure::Unanswered(error) => Self::UpstreamReset(error),
            Failure::Other(error) => error,
        }
    }
}
