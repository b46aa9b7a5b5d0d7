//! One attempt at a request: it is signed, sent, and the head of its answer waited for; and what that says of
//! the clock, of the key, and of sending it again.

use bytes::Bytes;
use tokio::time::Instant;

use super::Pipeline;
use super::forward::{Exchange, Round};
use super::lockout::Verdict;
use super::payload::Prepared;
use super::proof::{Proof, Signed};
use super::redact::Redactor;
use super::refusal::{self, Body, Refusal};
use super::sending::Sending;
use crate::clock::{Evidence, Moment};
use crate::error::Error;
use crate::http1::{Framing, ResponseHead};
use crate::signature::SigningDate;
use crate::upstream::Connection;

/// Methods that may be executed twice without harm (RFC 9110 §9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"];

/// By how much a date has to have moved for it to be worth sending a refused request again, in seconds. A
/// temporary key that has expired is refused in the same words, and no date helps it.
const REDATED: u64 = 60;

/// One attempt: a connection, and the request signed for it.
pub(super) struct Attempt {
    pub(super) connection: Connection,
    signed: Signed,
    /// When that was.
    at: Moment,
    pub(super) date: SigningDate,
}

impl Attempt {
    pub(super) fn begin(
        round: &Round<'_>,
        prepared: &Prepared,
        connection: Connection,
    ) -> Result<Self, Error> {
        let pipeline = round.pipeline;
        let route = prepared.reply.route;
        let correction = pipeline.gateway_clock(route).correction();
        let date = pipeline.clock.signing_date(correction);
        let begun = Instant::now();
        let route = &pipeline.settings.routes[route];
        let signed = round.held.proof.apply(prepared, route, date)?;
        let at = Moment::now();
        prepared.reply.flight.signed(at.steady() - begun);
        Ok(Self {
            connection,
            signed,
            at,
            date,
        })
    }

    /// Sends, and waits for the head of the answer; a refusal is read ahead.
    pub(super) async fn run(
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
            redactor: None,
            head,
        };
        if answered.head.status != 101 {
            let framing = answered.connection.receive(&answered.head);
            answered.framing =
                framing.map_err(|error| Failure::Other(Error::BadResponse(error)))?;
        }
        if answered.head.status >= 400 {
            answered.redactor = round.held.proof.sent_secret().and_then(Redactor::new);
            let (connection, head) = (&mut answered.connection, &answered.head);
            let to_head = prepared.reply.to_head;
            let redactor = answered.redactor.as_ref();
            answered.refusal = refusal::read(connection, head, to_head, redactor).await;
            if let Some(error) = &answered.refusal.error {
                pipeline.meter.gateway_error(&error.code);
            }
        }
        Ok(answered)
    }
}

/// The answer to one attempt.
pub(super) struct Answered {
    head: ResponseHead,
    framing: Framing,
    pub(super) connection: Connection,
    /// Whether the request was sent to its end.
    is_sent: bool,
    sent: Moment,
    received: Moment,
    pub(super) refusal: Refusal,
    /// For a refusal of a request that carried a secret.
    redactor: Option<Redactor>,
}

impl Answered {
    /// Learns the gateway's time. Whether the request was refused for its date, and another date may
    /// well be accepted.
    pub(super) fn learn(
        &self,
        pipeline: &Pipeline,
        prepared: &Prepared,
        date: SigningDate,
    ) -> bool {
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

    pub(super) fn verdict(&self) -> Verdict {
        if self.head.status < 400 {
            Verdict::Right
        } else {
            self.refusal.verdict()
        }
    }

    pub(super) fn into_exchange(
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
        let is_refusal = self.refusal.is_of_gateway();
        let (ahead, framing, is_decoded) = match self.refusal.body {
            Body::Unchanged(ahead) => (ahead, self.framing, false),
            Body::Decoded(body) => {
                let length = body.len() as u64;
                (body, Framing::Length(length), true)
            }
            Body::Dropped => (Bytes::new(), Framing::Length(0), true),
        };
        Ok(Exchange {
            head: self.head,
            framing,
            connection: self.connection,
            is_refusal,
            ahead,
            is_decoded,
            redactor: self.redactor,
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
    /// The gateway says that it has not looked at the request.
    Untouched(std::io::Error),
    /// The connection ended without a byte of an answer.
    Unanswered(std::io::Error),
    Other(Error),
}

impl Failure {
    /// Whether another connection may do better: one that carried requests before has been closed meanwhile.
    pub(super) fn may_be_mended(&self, was_reused: bool) -> bool {
        was_reused || matches!(self, Self::Untouched(_))
    }

    /// Whether sending the request again can do no harm. A connection that carried requests before is
    /// usually closed for having been idle, and then the gateway has not read the request; that it
    /// has not is certain only if nothing was written.
    pub(super) fn is_harmless(&self, prepared: &Prepared) -> bool {
        match self {
            Self::Unsent(_) | Self::Untouched(_) => true,
            Self::Unanswered(_) => IDEMPOTENT.contains(&prepared.method.as_str()),
            Self::Other(_) => false,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent(error) | Failure::Untouched(error) => Self::NotSent(error),
            Failure::Unanswered(error) => Self::UpstreamReset(error),
            Failure::Other(error) => error,
        }
    }
}
