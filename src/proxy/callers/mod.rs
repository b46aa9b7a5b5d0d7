//! Who calls: a request shows a credential of the proxy's own, which is checked and taken off.
//!
//! It runs after the guard, which keeps web pages out, and before routing, which checks the
//! [`rights`]. The real key has no part in any of this: a wrong credential is refused before
//! anything is sent.
//!
//! # What can go wrong
//!
//! Signatures that were seen are not remembered, since SDKs repeat theirs after a broken connection.
//! Whoever records one can send it again for 15 minutes.

mod capability;
pub(super) mod identified;
mod limits;
pub(super) mod rights;
mod shown;
mod signature;

use std::cell::Cell;
use std::sync::Arc;

use http::{HeaderValue, request};
use secrecy::{ExposeSecret, SecretString};

use self::identified::Identified;
use self::limits::CallerLimits;
use self::signature::{Rest, SignedHead};
use super::body::PreparedBody;
use super::context::RequestContext;
use super::guard::ListenerKind;
use crate::clock;
use crate::config::{Callers, Config, Surrogate};
use crate::error::Error;
use crate::signature::{Algorithm, PayloadHash, Refusal};
use crate::telemetry::metrics::Metrics;
pub(super) use shown::Shown;

/// Identifies callers.
#[derive(Debug)]
pub(super) struct CallerGate {
    callers: Callers,
    limits: Arc<CallerLimits>,
}

/// The part of a signature that the body has to confirm.
#[derive(Debug)]
pub(super) struct BodyProof {
    authorization: HeaderValue,
    rest: Rest,
}

/// A caller, the beginning of its paths if they identify it, and what the body has to prove.
type Found = (Arc<Surrogate>, Option<SecretString>, Option<BodyProof>);

impl BodyProof {
    /// True if the body has to be held, whatever else is known of it.
    pub(super) fn needs_body(&self) -> bool {
        self.rest == Rest::All
    }
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

    /// Goes on with what another gate has counted.
    pub(super) fn remember(&mut self, before: &Self) {
        self.limits = Arc::clone(&before.limits);
    }

    /// Reads the file of callers again if it has changed.
    pub(super) fn refresh(&self) {
        self.callers.file.iter().for_each(|file| file.refresh());
    }

    /// Identifies the caller of a request by what it shows, and puts it into the context. Returns
    /// what the body has to prove.
    ///
    /// # Errors
    ///
    /// The errors of callers.
    pub(super) fn identify(
        &self,
        shown: Shown,
        request: (&request::Parts, bool),
        metrics: &Metrics,
        context: &RequestContext,
    ) -> Result<Option<BodyProof>, Error> {
        let Some((caller, capability, proof)) = self.find(shown, request, context)? else {
            return Ok(None);
        };
        self.admit(&caller)?;
        let is_proven = !proof.as_ref().is_some_and(BodyProof::needs_body);
        let identified = Identified {
            label: metrics.caller_label(&caller.name),
            is_proven: Cell::new(is_proven),
            body_signed: Cell::new(true),
            caller,
            capability,
        };
        let is_first = context.identified.set(identified).is_ok();
        is_first
            .then_some(proof)
            .ok_or(Error::Internal("a caller is identified once"))
    }

    /// The caller of a request; `None` if it needs none.
    fn find(
        &self,
        shown: Shown,
        (head, is_empty): (&request::Parts, bool),
        context: &RequestContext,
    ) -> Result<Option<Found>, Error> {
        let by = |is_wanted: &dyn Fn(&Surrogate) -> bool| {
            let found = self.callers.find(is_wanted);
            found.ok_or(Error::CallerRequired)
        };
        // Who replays a request has shown the token of the inspector.
        let is_replay = context.caller.listener == ListenerKind::Replay;
        let is_required =
            !is_replay && (self.callers.file.is_some() || context.caller.rules.requires_caller);
        Ok(Some(match shown {
            Shown::Nothing if !is_required => return Ok(None),
            Shown::Nothing | Shown::Several => return Err(Error::CallerRequired),
            Shown::Token(token) => (by(&|caller| caller.token == token)?, None, None),
            Shown::Capability(token, digits) => {
                // Addresses in the response have it.
                let capture = context.capture();
                capture.iter().for_each(|capture| capture.knows(&digits));
                let capability = ["/~", digits.expose_secret()].concat().into();
                let caller = by(&|caller| caller.capability == token)?;
                (caller, Some(capability), None)
            }
            Shown::Signature(authorization) => {
                let (caller, rest) = self.by_signature(&authorization, head, is_empty)?;
                let proof = BodyProof {
                    authorization,
                    rest,
                };
                (caller, None, Some(proof))
            }
        }))
    }

    /// The caller that signed a request, and what its body has to prove.
    fn by_signature(
        &self,
        authorization: &HeaderValue,
        head: &request::Parts,
        is_empty: bool,
    ) -> Result<(Arc<Surrogate>, Rest), Error> {
        let access_key = signature::access_key(authorization).map_err(signature::refused)?;
        let caller = self
            .callers
            .find(|caller| caller.signer.access_key() == access_key);
        let caller = caller.ok_or_else(|| {
            let access_key = access_key.to_owned();
            signature::refused(Refusal::UnknownKey { access_key })
        })?;
        self.limits.check_signatures(access_key)?;
        let signed = SignedHead {
            head,
            authorization,
            signer: &caller.signer,
        };
        let rest = signed.verify(is_empty);
        let rest = rest.map_err(|refusal| self.refused(signed, refusal, &PreparedBody::Empty))?;
        if rest != Rest::All {
            self.limits.signed(access_key, true);
        }
        Ok((caller, rest))
    }

    /// Checks what a body proves. `known` is its hash and the algorithm of that.
    ///
    /// # Errors
    ///
    /// [`Error::CallerSignature`].
    pub(super) fn check_body(
        &self,
        proof: &BodyProof,
        head: &request::Parts,
        (body, known): (&PreparedBody, Option<(PayloadHash, Algorithm<'_>)>),
        context: &RequestContext,
    ) -> Result<(), Error> {
        const OTHER_BODY: &str = "the body is not the one whose hash the request declares\n\
            hint: sign and send the same bytes";
        let Some(identified) = context.identified.get() else {
            return Err(Error::Internal("who has signed is identified"));
        };
        let caller = &identified.caller;
        let hash = signature::hash(&proof.authorization, body, known);
        match (&proof.rest, hash) {
            (Rest::Hash(declared), Some(hash)) => {
                if !declared.eq_ignore_ascii_case(hash.as_str()) {
                    self.limits.signed(caller.signer.access_key(), false);
                    identified.is_proven.set(false);
                    return Err(Error::CallerSignature(OTHER_BODY.to_owned()));
                }
            }
            (Rest::All, Some(hash)) => {
                let signed = SignedHead {
                    head,
                    authorization: &proof.authorization,
                    signer: &caller.signer,
                };
                let whole = signed.verify_with(&hash);
                whole.map_err(|refusal| self.refused(signed, refusal, body))?;
                self.limits.signed(caller.signer.access_key(), true);
            }
            (Rest::All, None) => return Err(Error::Internal("a body that proves is held")),
            (Rest::Nothing, _) if matches!(body, PreparedBody::Empty) => {}
            (Rest::Nothing | Rest::Hash(_), _) => identified.body_signed.set(false),
        }
        identified.is_proven.set(true);
        Ok(())
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
        if rights
            .expires
            .is_some_and(|end| clock::unix_seconds() >= end)
        {
            return Err(Error::CallerNotAllowed(EXPIRED));
        }
        let limited = rights
            .rate
            .map(|rate| self.limits.count(caller.signer.access_key(), rate));
        limited.unwrap_or(Ok(()))
    }
}
