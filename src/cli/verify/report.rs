//! The report on a request: whether it verifies, the first reason why not, and the evidence.

use std::time::Duration;

use serde::Serialize;

use super::Format;
use super::canonical::CanonicalParts;
use super::explain::explain;
use super::request::ParsedRequest;
use crate::credentials::Credentials;
use crate::escape::{Escaped, EscapedLines};
use crate::signature::{
    CONTENT_HASH_HEADER, PayloadHash, Presented, ReceivedRequest, Refusal, Signer, SigningDate,
    Verified, string_to_sign, verify,
};

/// The report on a request, with the fields of `--format json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    verified: bool,
    /// Why the request does not verify.
    reason: Option<String>,
    /// The signer's mistake, and how to correct it.
    explanation: Option<String>,
    access_key: Option<String>,
    signed_headers: Vec<String>,
    /// True if the signature covers the body; `None` if the request does not verify.
    body_signed: Option<bool>,
    /// The expected canonical request, without secrets, if the signature does not match.
    canonical_request: Option<String>,
    string_to_sign: Option<String>,
    /// What is signed in place of the body, if that is not covered.
    #[serde(skip)]
    declared: String,
    /// The lines that differ: as expected, and as signed.
    #[serde(skip)]
    differing: Vec<(String, String)>,
}

impl Report {
    /// Verifies a request at the time `now`, from which its date may differ by `window`.
    pub(super) fn new(
        request: &ParsedRequest,
        credentials: &Credentials,
        now: SigningDate,
        window: Duration,
    ) -> Self {
        let headers = request.headers.iter();
        let headers: Vec<(&str, &[u8])> = headers
            .map(|(name, value)| (name.as_str(), value.trim_ascii()))
            .collect();
        let received = ReceivedRequest {
            method: &request.method,
            target: &request.target,
            headers: &headers,
            body: &PayloadHash::new(&request.body),
        };
        let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
        let find = |access_key: &str| (access_key == credentials.access_key).then_some(&signer);
        match verify(&received, find, &now, window) {
            Ok(verified) => Self::verified(&verified, request),
            Err(Refusal::Mismatch { canonical }) => {
                Self::mismatch(&canonical, request, credentials)
            }
            Err(refusal) => {
                let reason = reason(&refusal, credentials, window);
                let report = match refusal {
                    Refusal::Expired { .. } => {
                        Self::new(request, credentials, now, Duration::MAX).apart_from_the_date()
                    }
                    _ => Self::default().with_authorization(request),
                };
                report.refused(reason)
            }
        }
    }

    /// Refuses a request in which one of these headers is not signed.
    pub(super) fn requiring(self, names: &[String]) -> Self {
        let is_signed = |name: &&String| {
            let mut signed = self.signed_headers.iter();
            signed.any(|signed| signed.eq_ignore_ascii_case(name))
        };
        match names.iter().find(|name| !is_signed(name)) {
            Some(name) if self.verified => self.refused(format!(
                "the signature is right, but the header {name} is not signed, and --require asks for it; sign it"
            )),
            _ => self,
        }
    }

    /// True if the request verifies.
    pub(super) fn is_verified(&self) -> bool {
        self.verified
    }

    /// The report on a request whose signature is right.
    fn verified(verified: &Verified, request: &ParsedRequest) -> Self {
        let mut declared = request.values(CONTENT_HASH_HEADER);
        let declared = declared.pop().filter(|_| !verified.body_signed);
        let report = Self::default().with_authorization(request);
        // A hash of something else says that the body was changed. An attacker could move the hash
        // of the body that was signed into this header, and send another body.
        if declared.as_deref().is_some_and(is_hash) {
            return report.refused(format!(
                "the signature is right, but {CONTENT_HASH_HEADER} is not the hash of this body: the body was changed, or the hash is of another one; send what was signed"
            ));
        }
        Self {
            verified: true,
            body_signed: Some(verified.body_signed),
            declared: declared.unwrap_or_default(),
            ..report
        }
    }

    /// The report on a request whose signature is wrong, with the evidence.
    fn mismatch(canonical: &str, request: &ParsedRequest, credentials: &Credentials) -> Self {
        let parts = CanonicalParts::new(canonical);
        let date = request.date();
        let found = explain(request, &parts, credentials);
        let differing = found.as_ref().and_then(|found| found.signed.as_ref());
        Self {
            canonical_request: Some(parts.redacted().text()),
            string_to_sign: date.map(|date| string_to_sign(canonical, &date)),
            differing: differing.map_or_else(Vec::new, |signed| parts.differing(signed)),
            explanation: found.map(|found| found.text),
            ..Self::default().with_authorization(request)
        }
        .refused("the signature does not match".to_owned())
    }

    /// With what the authorization says of the signature.
    fn with_authorization(mut self, request: &ParsedRequest) -> Self {
        let authorization = request.values("authorization");
        let authorization = authorization.first();
        if let Some(presented) = authorization.and_then(|text| Presented::parse(text).ok()) {
            self.access_key = Some(presented.access_key.to_owned());
            let names = presented.signed_headers.split(';');
            self.signed_headers = names.map(str::to_owned).collect();
        }
        self
    }

    /// With the reason why the request does not verify.
    fn refused(self, reason: String) -> Self {
        Self {
            verified: false,
            reason: Some(reason),
            body_signed: None,
            ..self
        }
    }

    /// Turns a report that ignores the date into an explanation.
    fn apart_from_the_date(mut self) -> Self {
        self.explanation = Some(match (self.reason.take(), self.explanation.take()) {
            (None, _) => "apart from its date, the request verifies".to_owned(),
            (Some(reason), None) => format!("apart from its date: {reason}"),
            (Some(reason), Some(text)) => format!("apart from its date: {reason}: {text}"),
        });
        self
    }

    /// The report as it is printed.
    pub(super) fn text(&self, format: Format) -> String {
        match format {
            Format::Text => self.sentences(),
            Format::Json => {
                serde_json::to_string_pretty(self).expect("text can be written as JSON")
            }
        }
    }

    /// The verdict, then the evidence.
    fn sentences(&self) -> String {
        let Some(reason) = &self.reason else {
            let body = match self.declared.as_str() {
                "" => "yes".to_owned(),
                declared => format!("no ({})", Escaped(declared)),
            };
            return format!(
                "verified: access key {}, signed headers {}, body covered: {body}",
                Escaped(self.access_key.as_deref().unwrap_or_default()),
                Escaped(self.signed_headers.join(";")),
            );
        };
        let mut text = format!("not verified: {reason}");
        let mut add = |pieces: &[&str]| text.extend(pieces.iter().copied());
        if let Some(explanation) = &self.explanation {
            add(&["\nwhat differs: ", explanation]);
        }
        for (expected, signed) in &self.differing {
            add(&["\n  expected  ", expected, "\n  signed    ", signed]);
        }
        if let Some(canonical) = &self.canonical_request {
            add(&["\n\ncanonical request, as it is expected:\n", canonical]);
        }
        if let Some(string_to_sign) = &self.string_to_sign {
            add(&["\n\nstring to sign:\n", string_to_sign]);
        }
        // A decoded path can hold what a terminal obeys.
        EscapedLines(text).to_string()
    }
}

/// True if a declared payload is a hash, and not a word like `UNSIGNED-PAYLOAD`.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A refusal and its remedy.
fn reason(refusal: &Refusal, credentials: &Credentials, window: Duration) -> String {
    let remedy = match refusal {
        Refusal::Authorization => "send it once, as \"apig-proxy sign\" prints it",
        Refusal::Malformed => "correct it, or sign again",
        Refusal::UnknownKey { access_key } => {
            return format!(
                "the request is signed with the access key {access_key}, and the credentials have {}; give the file of its key with --credentials",
                credentials.access_key
            );
        }
        Refusal::MissingHeader(_) => "send it as it was signed, or sign without it",
        Refusal::RepeatedHeader(_) => "send it once, or sign without it",
        Refusal::DateNotSigned => "name it in SignedHeaders, and sign it",
        Refusal::Expired { signed, now } => return expired(signed, now, window),
        // These name their remedy.
        _ => return refusal.to_string(),
    };
    format!("{refusal}; {remedy}")
}

/// The reason for a date outside the window: both times, and whose clock may be wrong.
fn expired(signed: &SigningDate, now: &SigningDate, window: Duration) -> String {
    let apart = signed.unix_seconds().abs_diff(now.unix_seconds());
    let (side, remedy) = if signed > now {
        ("ahead of", "set the clock of the signer or of this machine")
    } else {
        (
            "behind",
            "sign again, set the clock of the signer, or give the time of arrival with --now",
        )
    };
    // Time zones differ from UTC by half hours, and a request arrives within minutes.
    let from_half_hour = (apart + 900) % 1800;
    let is_zone = (2700..15 * 3600).contains(&apart) && from_half_hour.abs_diff(900) < 300;
    let zone = if is_zone {
        ", or sign the time in UTC: the date looks like the local time of a time zone"
    } else {
        ""
    };
    format!(
        "the signature has expired: it was made at {signed}, and it is {now} here; it is {apart} seconds {side} this time, and {} are allowed; {remedy}{zone}",
        window.as_secs()
    )
}
