//! Fourth step: a connection, then the signature, then the request, then the wait for the answer; and
//! whether it may be sent again.

use bytes::Bytes;
use tokio::time::Instant;

use super::Pipeline;
use super::body::RequestBody;
use super::lockout::{Pass, Verdict};
use super::payload::Prepared;
use super::refusal::{self, Refusal};
use super::reply::Reply;
use super::sending::Sending;
use super::sign::{Signable, Signed};
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
/// refused its date. A body that is streamed is gone then, so such a request is sent once only.
///
/// # Errors
///
/// Any of the upstream's errors, and the caller's if its body ends early.
pub(super) async fn forward(
    pipeline: &Pipeline,
    mut prepared: Prepared,
) -> Result<Exchange, Error> {
    let mut pass = None;
    let mut choice = Choice::Any;
    let mut may_redate = true;
    loop {
        let attempt = Attempt::begin(pipeline, &prepared, choice, &mut pass).await?;
        let (reused, date) = (attempt.connection.is_reused(), attempt.date);
        let answered = match attempt.run(pipeline, &mut prepared).await {
            Ok(answered) => answered,
            Err(failure) => {
                let again = choice == Choice::Any && reused && failure.is_harmless(&prepared);
                if !again || !prepared.body.rewind() {
                    return Err(failure.into());
                }
                choice = Choice::Fresh;
                continue;
            }
        };
        let learned = answered.learn(pipeline, &prepared, date);
        if learned && may_redate && prepared.body.rewind() {
            may_redate = false;
            answered.connection.release();
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
        return answered.into_exchange(pipeline, prepared, date);
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
    async fn begin<'a>(
        pipeline: &'a Pipeline,
        prepared: &Prepared,
        choice: Choice,
        pass: &mut Option<Pass<'a>>,
    ) -> Result<Self, Error> {
        let route = prepared.reply.route;
        let origin = pipeline.origins[route];
        let flight = &prepared.reply.flight;
        let connection = pipeline.upstream.connection(origin, choice);
        let connection = flight.queued(connection).await?;
        if pass.is_none() {
            // Not before the connection is there, which says nothing of the key and may take its time.
            let lockout = pipeline.settings.key.lockout();
            *pass = Some(flight.queued(lockout.admit()).await?);
        }
        let correction = pipeline.gateway_clock(route).correction();
        let date = pipeline.clock.signing_date(correction);
        let (settings, key) = (&pipeline.settings, &pipeline.settings.key);
        let begun = Instant::now();
        let signed = Signable::new(prepared, &settings.routes[route], key, date)?.sign(key)?;
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
        pipeline: &Pipeline,
        prepared: &mut Prepared,
    ) -> Result<Answered, Failure> {
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
            let (connection, key) = (&mut answered.connection, &pipeline.settings.key);
            answered.refusal = refusal::read(connection, &answered.head, key).await;
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
        date: SigningDate,
    ) -> Result<Exchange, Error> {
        // Who refuses a request has no use for the rest of it.
        let wants_rest = !self.is_sent && (200..300).contains(&self.head.status);
        let (settings, route) = (&pipeline.settings, prepared.reply.route);
        let (key, clock) = (&settings.key, pipeline.gateway_clock(route));
        let route = &settings.routes[route];
        let signable = Signable::new(&prepared, route, key, date)?;
        let hint = self.refusal.hint(&signable, route, key, clock);
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
