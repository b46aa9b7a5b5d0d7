//! What the proxy learns from a refusal: the gateway's time, its reading of the path, the end of a
//! credential. Also builds the hint that explains a refusal to the caller.

use http::header::{AGE, DATE};

use super::{Answered, AttemptReason, Attempts};
use crate::gateway::{self, CanonicalText, Evidence, Meaning};
use crate::proxy::auth::{ToSign, UsableCredential};
use crate::proxy::double_slashes::PathReading;
use crate::proxy::gateway_response::GatewayResponse;
use crate::proxy::key_breaker::{Permits, SignatureOutcome};
use crate::signature::{CanonicalRequest, SigningDate};

/// By how many seconds the date must change, apart from the time that passes, for a refused request
/// to be sent again. An expired temporary key is refused in the same words, and no date helps it. A
/// service that has run for minutes may repeat them too.
const REDATED: u64 = 60;

impl Attempts<'_> {
    /// Settles the permits of an attempt. Returns `true` if the request is sent again, because the
    /// gateway refused what can be corrected.
    pub(super) async fn repeats(
        &mut self,
        credential: &UsableCredential,
        mut permits: Permits<'_>,
        answered: &Answered,
    ) -> bool {
        let (reply, is_repeatable) = (&answered.reply, self.prepared.body.is_repeatable());
        if self.wants_refresh(credential, reply)
            && is_repeatable
            && self.usable(Some(credential)).await.is_ok()
        {
            return self.correct(AttemptReason::Credential);
        }
        let learned = if self.learn_clock(answered) {
            Some(AttemptReason::Date)
        } else {
            (self.learn_path(credential, answered)).then_some(AttemptReason::Path)
        };
        let Some(reason) = learned.filter(|reason| !self.corrected.contains(reason)) else {
            if self.is_echoed(credential, answered, self.prepared.path_reading) {
                // The gateway reads the path as it was signed, so it refuses the secret.
                permits.paths = None;
            }
            permits.settle(reply.signature_outcome());
            return false;
        };
        // The gateway counts it as a failure, although it says nothing about the secret key.
        permits.settle(SignatureOutcome::Misread);
        // An echo can be forged, so nothing is executed twice because of one.
        let is_idempotent = self.prepared.routed.head.method.is_idempotent();
        let is_safe = reason == AttemptReason::Date || is_idempotent;
        if !is_repeatable || !is_safe || self.permits(credential).await.is_err() {
            self.untried = Some(reason);
            return false;
        }
        self.correct(reason)
    }

    /// Has the request sent again with a correction.
    fn correct(&mut self, reason: AttemptReason) -> bool {
        self.corrected.push(reason);
        self.reason = reason;
        true
    }

    /// Learns the gateway's time. Returns `true` if the request was refused for its date, and
    /// another date may well be accepted.
    fn learn_clock(&self, answered: &Answered) -> bool {
        let route = self.prepared.routed.route;
        let (date, headers) = (answered.date, &answered.reply.head.headers);
        let expired = answered.reply.expired(date);
        let is_expired = expired.is_some();
        let told = match expired.flatten() {
            Some(told) => Some(told),
            // The date of a cached response is that of the original one.
            None if headers.contains_key(AGE) => None,
            None => (self.pipeline).new_date(route, headers.get(DATE), is_expired),
        };
        let Some(told) = told else { return false };
        let evidence = if is_expired {
            Evidence::Refused
        } else {
            Evidence::Accepted(date.unix_seconds())
        };
        self.clock()
            .observe(told, answered.sent, answered.received, evidence);
        let passed = (answered.received.steady - answered.sent.steady).as_secs();
        let now = self.signing_date().unix_seconds();
        is_expired && now.abs_diff(date.unix_seconds().saturating_add_unsigned(passed)) >= REDATED
    }

    /// Requests another credential if the gateway refused this one. Returns `true` if that is worth
    /// waiting for.
    fn wants_refresh(&self, credential: &UsableCredential, reply: &GatewayResponse) -> bool {
        let credentials = &self.pipeline.settings.credentials;
        let slot = self.prepared.routed.slot;
        let is_secret = credential.key.is_none();
        let is_temporary = credential.lease.lifetime.is_some();
        let is_refused = match reply.meaning() {
            Some(Meaning::UnknownApp | Meaning::Unauthorized) => is_secret,
            // A temporary key may have been revoked.
            Some(Meaning::UnknownKey | Meaning::Expired { .. }) => !is_secret && is_temporary,
            Some(Meaning::InvalidToken) => is_secret || is_temporary,
            _ => false,
        };
        let was_refreshed = self.corrected.contains(&AttemptReason::Credential);
        if !is_refused && was_refreshed {
            credentials.refresh_helped(slot);
        }
        is_refused && credentials.refused(slot, credential) && !was_refreshed && is_secret
    }

    /// Learns how the gateway reads a path with several slashes in a row, if its refusal shows it.
    fn learn_path(&self, credential: &UsableCredential, answered: &Answered) -> bool {
        let Some(Meaning::SignatureMismatch { .. }) = answered.reply.meaning() else {
            return false;
        };
        let Some(path) = self.path() else {
            return false;
        };
        let is_shown = |reading: &PathReading| self.is_echoed(credential, answered, *reading);
        // Then the reading was right, even if another one gives the same result for this path.
        if is_shown(&self.prepared.path_reading) {
            return false;
        }
        let shown = PathReading::ALL.into_iter().find(is_shown);
        path.learn(shown.unwrap_or_default());
        shown.is_some()
    }

    /// True if a refusal of the signature echoes what the proxy signs in this reading of the path.
    fn is_echoed(
        &self,
        credential: &UsableCredential,
        answered: &Answered,
        reading: PathReading,
    ) -> bool {
        let Some(Meaning::SignatureMismatch {
            echoed: Some(echoed),
        }) = answered.reply.meaning()
        else {
            return false;
        };
        let canonical = self.canonical(credential, answered.date, reading);
        canonical.is_some_and(|canonical| canonical.is_echoed_as(echoed))
    }

    /// The canonical request of an attempt, if it is signed, with the path in some reading.
    fn canonical(
        &self,
        credential: &UsableCredential,
        date: SigningDate,
        reading: PathReading,
    ) -> Option<CanonicalText> {
        let (prepared, settings) = (&*self.prepared, &self.pipeline.settings);
        let mut request = prepared.outgoing(settings, (), false);
        let to_sign = ToSign {
            target: reading.apply(prepared.target()),
            ..prepared.to_sign(settings, date)
        };
        credential.key.as_ref()?;
        let show = |text: &CanonicalRequest<'_>| CanonicalText(text.to_string());
        credential.canonical(&mut request, &to_sign, show).ok()
    }

    /// The response; a refusal gets a hint for the caller, which is logged too.
    pub(super) fn explained(
        &self,
        credential: &UsableCredential,
        answered: Answered,
    ) -> GatewayResponse {
        let (mut reply, prepared) = (answered.reply, &*self.prepared);
        if !reply.is_of_gateway() && reply.hint.is_none() {
            return reply;
        }
        let route = self.pipeline.settings.route(prepared.routed.route);
        let canonical = self.canonical(credential, answered.date, prepared.path_reading);
        let ahead = self.clock().ahead();
        let refused = gateway::Context {
            canonical_request: canonical.as_ref(),
            auth: credential.kind,
            is_temporary: credential.is_temporary(),
            has_ambiguous_path: prepared.has_ambiguous_path,
            has_learned_path: self.untried == Some(AttemptReason::Path),
            clock_offset: (ahead != 0).then_some(ahead),
            corrects_clock: self.clock().corrects(),
            stage: route.stage.to_str().unwrap_or_default(),
            host: &route.upstream.host,
        };
        let request_id = self.context.request_id();
        if let Some(error) = reply.error() {
            let (code, hint) = (error.code.as_str(), error.hint(&refused));
            match &hint {
                Some(hint) => {
                    tracing::warn!(%request_id, code, "the gateway refused a request: {hint}");
                }
                None => tracing::info!(%request_id, code, "the gateway refused a request"),
            }
            reply.hint = hint;
        } else if let Some(hint) = &reply.hint {
            tracing::warn!(%request_id, status = reply.head.status.as_u16(), "{hint}");
        }
        reply
    }
}
