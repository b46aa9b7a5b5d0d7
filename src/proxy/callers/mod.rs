//! Identifies callers by credentials of the proxy's own, which are checked and removed from requests.
//!
//! It runs after the guard, which keeps web pages out, and before routing, which checks the
//! [`rights`]. The gateway's key is not involved: a wrong credential is refused before anything is
//! sent.
//!
//! # What can go wrong
//!
//! Signatures are not remembered, since SDKs repeat theirs after a broken connection. Whoever records
//! one can send it again for 15 minutes.

mod credential;
mod rate_limit;
pub(super) mod rights;
mod signature;

use std::cell::Cell;
use std::sync::Arc;

use http::{HeaderValue, request};
use secrecy::ExposeSecret;

use self::rate_limit::CallerLimits;
use self::signature::SignedHead;
use super::body::PreparedBody;
use super::caller::Identified;
use super::context::RequestContext;
use super::guard::ListenerKind;
use super::redact::Redactor;
use crate::clock;
use crate::config::{Callers, Config, Surrogate};
use crate::error::Error;
use crate::signature::{Algorithm, PayloadHash, Refusal};
use crate::telemetry::metrics::Metrics;
pub(super) use credential::CallerCredential;

/// Identifies callers.
#[derive(Debug)]
pub(super) struct CallerGate {
    callers: Callers,
    limits: Arc<CallerLimits>,
}

impl CallerGate {
    /// The gate of a configuration; `None` if it knows no callers.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let mut rules = config.listen_rules.iter();
        let is_needed = config.callers.file.is_some() || rules.any(|rules| rules.requires_caller);
        is_needed.then(|| Self {
            callers: config.callers.clone(),
            limits: Arc::default(),
        })
    }

    /// Takes over the counts of the gate before a reload.
    pub(super) fn remember(&mut self, before: &Self) {
        self.limits = Arc::clone(&before.limits);
    }

    /// Identifies the caller of a request by its credential, and puts it into the context.
    pub(super) fn identify(
        &self,
        credential: CallerCredential,
        head: &request::Parts,
        metrics: &Metrics,
        context: &RequestContext,
    ) -> Result<(), Error> {
        let (mut capability, mut signature) = (None, None);
        let (mut is_proven, mut needs_body) = (true, false);
        let caller = match credential {
            CallerCredential::None if !self.is_required(context) => return Ok(()),
            CallerCredential::None | CallerCredential::Several => None,
            CallerCredential::Token(token) => self.callers.find(|caller| caller.token == token),
            CallerCredential::Capability(token, digits) => {
                // Addresses in the response contain it.
                if let (Some(capture), Some(secret)) = (context.capture(), Redactor::new(&digits)) {
                    capture.knows(&secret);
                }
                capability = Some(["/~", digits.expose_secret()].concat().into());
                self.callers.find(|caller| caller.capability == token)
            }
            CallerCredential::Signature(authorization) => {
                let signed = self.by_signature(&authorization, head, context.length == Some(0))?;
                (is_proven, needs_body) = (signed.1, signed.2);
                signature = Some(authorization);
                Some(signed.0)
            }
        };
        let caller = caller.ok_or(Error::CallerRequired)?;
        let admitted = self.admit(&caller);
        // The log names callers whose requests are refused too. A caller is identified once.
        let _ = context.identified.set(Identified {
            label: metrics.caller_label(&caller.name),
            is_proven: Cell::new(is_proven),
            needs_body,
            body_signed: Cell::new(true),
            caller,
            capability,
            signature,
        });
        admitted
    }

    /// True if a request needs a caller. One that is replayed came with the token of the inspector.
    fn is_required(&self, context: &RequestContext) -> bool {
        let needs_caller = self.callers.file.is_some() || context.caller.rules.requires_caller;
        needs_caller && context.caller.listener != ListenerKind::Replay
    }

    /// The caller that signed a request, whether the head proves that, and whether the body has to
    /// be verified. `is_empty` means that there is none.
    fn by_signature(
        &self,
        authorization: &HeaderValue,
        head: &request::Parts,
        is_empty: bool,
    ) -> Result<(Arc<Surrogate>, bool, bool), Error> {
        let access_key = signature::access_key(authorization).map_err(signature::refused)?;
        let is_signer = |caller: &Surrogate| caller.signer.access_key() == access_key;
        let caller = self.callers.find(is_signer).ok_or_else(|| {
            let access_key = access_key.to_owned();
            signature::refused(Refusal::UnknownKey { access_key })
        })?;
        self.limits.check_signatures(access_key)?;
        let signed = SignedHead {
            head,
            authorization,
            signer: &caller.signer,
        };
        let verified = signed.verify(is_empty);
        let (is_proven, needs_body) =
            verified.map_err(|refusal| self.refused(signed, refusal, &PreparedBody::Held(None)))?;
        if !needs_body {
            self.limits.signed(access_key, true);
        }
        Ok((caller, is_proven, needs_body))
    }

    /// Checks what a body proves of its caller. `known` is its hash and the algorithm of that.
    pub(super) fn check_body(
        &self,
        identified: &Identified,
        head: &request::Parts,
        body: &PreparedBody,
        known: Option<(PayloadHash, Algorithm<'_>)>,
    ) -> Result<(), Error> {
        const OTHER_BODY: &str = "the body is not the one whose hash the request declares\n\
            hint: sign and send the same bytes";
        let Some(authorization) = &identified.signature else {
            return Ok(());
        };
        if !identified.needs_body {
            let is_empty = matches!(body, PreparedBody::Held(None));
            identified.body_signed.set(is_empty);
            return Ok(());
        }
        let signed = SignedHead {
            head,
            authorization,
            signer: &identified.caller.signer,
        };
        let hash = signature::hash(authorization, body, known);
        let hash = hash.ok_or(Error::Internal("a body that proves is held"))?;
        let verified = signed.verify_with(&hash);
        let is_right = verified.map_err(|refusal| self.refused(signed, refusal, body))?;
        self.limits.signed(signed.signer.access_key(), is_right);
        identified.is_proven.set(is_right);
        let other_body = || Error::CallerSignature(OTHER_BODY.to_owned());
        is_right.then_some(()).ok_or_else(other_body)
    }

    /// Counts a wrong signature; one that only comes too late is none.
    fn refused(&self, signed: SignedHead<'_>, refusal: Refusal, body: &PreparedBody) -> Error {
        if matches!(refusal, Refusal::Mismatch { .. }) {
            self.limits.signed(signed.signer.access_key(), false);
        }
        signed.refused(refusal, body)
    }

    /// Checks what does not depend on the request.
    fn admit(&self, caller: &Surrogate) -> Result<(), Error> {
        const EXPIRED: &str =
            "its credential has expired\nhint: make another one with `apig-proxy caller new`";
        let rights = &caller.rights;
        let now = clock::unix_seconds();
        if rights.expires.is_some_and(|end| now >= end) {
            return Err(Error::CallerNotAllowed(EXPIRED));
        }
        match rights.rate {
            Some(rate) => self.limits.count(caller.signer.access_key(), rate),
            None => Ok(()),
        }
    }
}
