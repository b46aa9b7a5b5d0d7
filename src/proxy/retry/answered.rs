//! The answer to one attempt, and what it says of the date and the signature.

use http::header::{AGE, DATE};
use http::response;
use hyper::body::Incoming;

use crate::clock::Moment;
use crate::gateway::Evidence;
use crate::proxy::Pipeline;
use crate::proxy::auth::RequestAuth;
use crate::proxy::body::RequestBody;
use crate::proxy::gateway_reply::{GatewayReply, Refusal};
use crate::proxy::key_breaker::{Permit, SignatureOutcome};
use crate::proxy::prepare::Prepared;
use crate::proxy::redact::Redactor;
use crate::signature::SigningDate;
use crate::upstream::Connection;

/// By how much a date has to have moved for it to be worth sending a refused request again, in seconds. A
/// temporary key that has expired is refused in the same words, and no date helps it.
const REDATED: u64 = 60;

/// The answer to one attempt.
pub(super) struct Answered {
    pub(super) head: response::Parts,
    pub(super) body: Incoming,
    pub(super) connection: Connection<RequestBody>,
    pub(super) sent: Moment,
    pub(super) received: Moment,
    pub(super) refusal: Refusal,
    /// For an error response to a request that carried a secret.
    pub(super) redactor: Option<Redactor>,
}

impl Answered {
    /// Learns the gateway's time. Whether the request was refused for its date, and another date may well be
    /// accepted.
    pub(super) fn learn_clock(
        &self,
        pipeline: &Pipeline,
        prepared: &Prepared,
        date: SigningDate,
    ) -> bool {
        let headers = &self.head.headers;
        let expired = self.refusal.expired(date);
        let is_expired = expired.is_some();
        let told = match expired.flatten() {
            Some(told) => Some(told),
            // An answer out of a cache tells when it was put there.
            None if headers.contains_key(AGE) => None,
            None => pipeline.news_of_date(prepared.route, headers.get(DATE), is_expired),
        };
        let Some(told) = told else { return false };
        let evidence = if is_expired {
            Evidence::Refused
        } else {
            Evidence::Accepted(date.unix_seconds())
        };
        let clock = pipeline.gateway_clock(prepared.route);
        clock.observe(told, self.sent, self.received, evidence);
        let now = pipeline.clock.signing_date(clock.correction());
        let moved = now.unix_seconds().abs_diff(date.unix_seconds());
        is_expired && clock.corrects() && moved >= REDATED
    }

    /// Gives a permit back, with what the answer says of the secret key. A corrected date says nothing of it.
    pub(super) fn settle(&self, permit: Option<Permit<'_>>, is_redated: bool) {
        let Some(permit) = permit else { return };
        permit.settle(if is_redated {
            SignatureOutcome::Redated
        } else {
            self.outcome()
        });
    }

    /// What the answer says of the signature.
    fn outcome(&self) -> SignatureOutcome {
        if self.head.status.as_u16() < 400 {
            SignatureOutcome::Accepted
        } else {
            self.refusal.outcome()
        }
    }

    pub(super) fn into_reply(
        self,
        pipeline: &Pipeline,
        prepared: &Prepared,
        auth: &RequestAuth,
        date: SigningDate,
    ) -> GatewayReply {
        let clock = pipeline.gateway_clock(prepared.route);
        let route = &pipeline.settings.routes[prepared.route];
        let hint = self.refusal.hint(prepared, route, auth, (clock, date));
        GatewayReply {
            redactor: self.redactor,
            hint,
            ..GatewayReply::new(
                self.head,
                self.body,
                self.connection,
                self.refusal,
                prepared,
            )
        }
    }
}
