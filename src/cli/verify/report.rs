//! The report on a request: whether it verifies, the first reason why not, and the evidence.

use std::time::Duration;

use serde::Serialize;

use super::request::ParsedRequest;
use crate::credentials::Credentials;
use crate::escape::{Escaped, EscapedLines};
use crate::signature::{
    Algorithm, PayloadHash, ReceivedRequest, Refusal, Signer, SigningDate, UNSIGNED_PAYLOAD,
    Verified, verify,
};
use crate::signing_mistakes::{explain, redacted};

/// The report on a request, with the fields of `--format json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) verified: bool,
    /// Why the request does not verify.
    reason: Option<String>,
    /// The signer's mistake.
    explanation: Option<String>,
    hint: Option<String>,
    access_key: Option<String>,
    signed_headers: Vec<String>,
    /// True if the signature covers the body; `None` if the request does not verify.
    body_signed: Option<bool>,
    /// The expected canonical request, without secrets, if the signature does not match.
    canonical_request: Option<String>,
    /// The lines of it that differ from those that were signed.
    #[serde(skip)]
    differing: Option<String>,
}

impl Report {
    /// Verifies a request at the time `now`, from which its date may differ by `window`, and in which these
    /// headers have to be signed.
    pub(super) fn new(
        request: &ParsedRequest,
        credentials: &Credentials,
        now: SigningDate,
        window: Duration,
        required: &[String],
    ) -> Self {
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.trim().as_bytes()));
        let headers: Vec<_> = headers.collect();
        let authorization = request.value("authorization").unwrap_or_default();
        let algorithm = Algorithm::of_authorization(authorization.as_bytes());
        let received = ReceivedRequest {
            method: &request.method,
            target: &request.target,
            headers: &headers,
            body: &PayloadHash::with_algorithm(algorithm, &request.body),
        };
        let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
        let find = |access_key: &str| (access_key == credentials.access_key).then_some(&signer);
        match verify(&received, find, &now, window) {
            Ok(verified) => {
                let declared = request.value(algorithm.content_hash_header());
                Self::accepted(verified, declared, required)
            }
            Err(Refusal::Mismatch { canonical }) => {
                Self::mismatch(request, &received, &canonical, credentials)
            }
            Err(Refusal::Expired { signed, now }) => expired(&signed, &now, window),
            Err(Refusal::UnknownKey { access_key }) => {
                let own = &credentials.access_key;
                let reason = format!(
                    "the request is signed with the access key {access_key}, and the credentials have {own}"
                );
                Self::refused(&reason, "give the file of its key with `--credentials`")
            }
            Err(refusal) => Self::malformed(&refusal),
        }
    }

    /// The report on a signature of another canonical request than this one, or with another key.
    fn mismatch(
        request: &ParsedRequest,
        received: &ReceivedRequest<'_>,
        canonical: &str,
        credentials: &Credentials,
    ) -> Self {
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let with_blanks = ReceivedRequest {
            headers: &headers.collect::<Vec<_>>(),
            ..*received
        };
        let found = explain(&with_blanks, &request.body, canonical, credentials);
        let expected = redacted(canonical);
        let signed = found.signed.as_deref().map(redacted);
        Self {
            explanation: Some(found.text),
            differing: signed.map(|signed| differing(&expected, &signed)),
            canonical_request: Some(expected),
            ..Self::refused("the signature does not match", found.hint)
        }
    }

    /// The report on a right signature, which may leave out the body or a header.
    fn accepted(verified: Verified, declared: Option<&str>, required: &[String]) -> Self {
        let is_signed = |name: &&String| {
            let mut signed = verified.signed_headers.iter();
            signed.any(|signed| signed.eq_ignore_ascii_case(name))
        };
        // An attacker could move the hash of the body that was signed into the header, and send another body.
        if !verified.body_signed && declared != Some(UNSIGNED_PAYLOAD) {
            return Self::refused(
                "the signature is right, but the declared hash is not the hash of this body",
                "send the body that was signed, with its own hash",
            );
        }
        if let Some(name) = required.iter().find(|name| !is_signed(name)) {
            return Self::refused(
                &format!("the signature is right, but the header {name} is not signed"),
                "sign each header that --require names",
            );
        }
        Self {
            verified: true,
            access_key: Some(verified.access_key),
            signed_headers: verified.signed_headers,
            body_signed: Some(verified.body_signed),
            ..Self::default()
        }
    }

    /// The report on a request that has no signature to compare.
    fn malformed(refusal: &Refusal) -> Self {
        let text = refusal.to_string();
        let split = text.split_once("\nhint: ");
        let (reason, hint) = split.unwrap_or((&text, "correct it, and sign again"));
        Self::refused(reason, hint)
    }

    fn refused(reason: &str, hint: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            hint: Some(hint.to_owned()),
            ..Self::default()
        }
    }

    /// The verdict in sentences, then the evidence.
    pub(super) fn text(&self) -> String {
        let Some(reason) = &self.reason else {
            let is_signed = self.body_signed == Some(true);
            let covered = if is_signed {
                "yes"
            } else {
                "no (UNSIGNED-PAYLOAD)"
            };
            return format!(
                "verified: access key {}, signed headers {}, body covered: {covered}",
                Escaped(self.access_key.as_deref().unwrap_or_default()),
                Escaped(self.signed_headers.join(";")),
            );
        };
        let mut text = format!("not verified: {reason}");
        let expected = &self.canonical_request;
        for (label, value) in [
            ("\nwhat differs: ", &self.explanation),
            ("", &self.differing),
            ("\nhint: ", &self.hint),
            ("\n\ncanonical request, as it is expected:\n", expected),
        ] {
            text.extend(value.iter().flat_map(|value| [label, value]));
        }
        // A decoded path can hold what a terminal obeys.
        EscapedLines(text).to_string()
    }
}

/// The lines of two canonical requests that differ.
fn differing(expected: &str, signed: &str) -> String {
    let lines = expected.split('\n').zip(signed.split('\n'));
    lines
        .filter(|(expected, signed)| expected != signed)
        .map(|(expected, signed)| format!("\n  expected  {expected}\n  signed    {signed}"))
        .collect()
}

/// The report on a date outside the window, and whose clock may be wrong.
fn expired(signed: &SigningDate, now: &SigningDate, window: Duration) -> Report {
    let apart = signed.unix_seconds().abs_diff(now.unix_seconds());
    let (what, side, hint) = if signed > now {
        let hint = "set the clock of the signer or of this machine";
        ("is in the future", "ahead of", hint)
    } else {
        let hint =
            "sign again, set the clock of the signer, or give the time of arrival with `--now`";
        ("has expired", "behind", hint)
    };
    // Time zones differ from UTC by half hours, and a request arrives within minutes.
    let is_zone = (2700..15 * 3600).contains(&apart) && (apart + 300) % 1800 < 600;
    let zone = if is_zone {
        "sign the time in UTC, since the date looks like the local time of a time zone; or "
    } else {
        ""
    };
    let reason = format!(
        "the signature {what}: it was made at {signed}, {apart} seconds {side} this time, {now}, and {} are allowed",
        window.as_secs()
    );
    Report::refused(&reason, &format!("{zone}{hint}"))
}
