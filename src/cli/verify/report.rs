//! The report on a request: whether it verifies, the first reason why not, and the evidence.

use std::time::Duration;

use serde::Serialize;

use super::Format;
use super::request::ParsedRequest;
use crate::credentials::Credentials;
use crate::escape::{Escaped, EscapedLines};
use crate::mistakes::{Canonical, explain};
use crate::signature::{
    PayloadHash, PayloadHasher, Presented, ReceivedRequest, Refusal, Signer, SigningDate, verify,
};

/// The report on a request, with the fields of `--format json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) verified: bool,
    /// Why the request does not verify.
    reason: Option<String>,
    /// The signer's mistake.
    explanation: Option<String>,
    /// What to do.
    hint: Option<String>,
    access_key: Option<String>,
    signed_headers: Vec<String>,
    /// True if the signature covers the body; `None` if the request does not verify.
    body_signed: Option<bool>,
    /// The expected canonical request, without secrets, if the signature does not match.
    canonical_request: Option<String>,
    string_to_sign: Option<String>,
    /// What is signed in place of the body, if that is not covered.
    #[serde(skip)]
    declared: Option<String>,
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
        let mut hasher = PayloadHasher::new(request.algorithm());
        hasher.update(&request.body);
        let received = ReceivedRequest {
            method: &request.method,
            target: &request.target,
            headers: &headers,
            body: &hasher.finish(),
        };
        let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
        let find = |access_key: &str| (access_key == credentials.access_key).then_some(&signer);
        let mut report = Self::presented(request);
        match verify(&received, find, &now, window) {
            Ok(verified) => report.accept(verified.body_signed, request),
            Err(Refusal::Mismatch { canonical }) => {
                report.explain(&canonical, request, credentials);
                report.refuse("the signature does not match", None);
            }
            Err(Refusal::Expired { signed, now }) => {
                report = Self::new(request, credentials, now, Duration::MAX);
                let explanation = report.explanation.take();
                report.explanation = Some(match (&report.reason, explanation) {
                    (None, _) => "apart from its date, the request verifies".to_owned(),
                    (Some(reason), None) => format!("apart from its date: {reason}"),
                    (Some(reason), Some(text)) => format!("apart from its date: {reason}: {text}"),
                });
                let (reason, hint) = expired(&signed, &now, window);
                report.refuse(&reason, Some(&hint));
            }
            Err(refusal) => {
                let (reason, hint) = reason(&refusal, credentials);
                report.refuse(&reason, Some(&hint));
            }
        }
        report
    }

    /// A report with what the authorization says of the signature.
    fn presented(request: &ParsedRequest) -> Self {
        let authorization = request.values("authorization");
        let authorization = authorization.first();
        let presented = authorization.and_then(|text| Presented::parse(text).ok());
        presented.map_or_else(Self::default, |presented| Self {
            access_key: Some(presented.access_key.to_owned()),
            signed_headers: presented
                .signed_headers
                .split(';')
                .map(str::to_owned)
                .collect(),
            ..Self::default()
        })
    }

    /// Refuses a request in which one of these headers is not signed.
    pub(super) fn require(&mut self, names: &[String]) {
        let is_signed = |name: &&String| {
            let mut signed = self.signed_headers.iter();
            signed.any(|signed| signed.eq_ignore_ascii_case(name))
        };
        if self.verified
            && let Some(name) = names.iter().find(|name| !is_signed(name))
        {
            let reason = format!("the signature is right, but the header {name} is not signed");
            self.refuse(&reason, Some("sign each header that --require names"));
        }
    }

    /// Accepts a request whose signature is right, unless its body was changed.
    fn accept(&mut self, body_signed: bool, request: &ParsedRequest) {
        let name = request.algorithm().content_hash_header();
        let mut declared = request.values(name);
        self.declared = declared.pop().filter(|_| !body_signed);
        // A hash of something else says that the body was changed. An attacker could move the hash
        // of the body that was signed into this header, and send another body.
        if self.declared.as_deref().is_some_and(is_hash) {
            return self.refuse(
                &format!("the signature is right, but {name} is not the hash of this body"),
                Some("send the body that was signed, with its own hash"),
            );
        }
        self.verified = true;
        self.body_signed = Some(body_signed);
    }

    /// Refuses the request. The hint comes before one that is there already.
    fn refuse(&mut self, reason: &str, hint: Option<&str>) {
        self.verified = false;
        self.body_signed = None;
        self.reason = Some(reason.to_owned());
        let hints = hint.into_iter().chain(self.hint.as_deref());
        self.hint = Some(hints.collect::<Vec<_>>().join("; "));
    }

    /// Adds the evidence for a wrong signature.
    fn explain(&mut self, canonical: &str, request: &ParsedRequest, credentials: &Credentials) {
        let expected = Canonical::new(canonical);
        self.canonical_request = Some(expected.redacted());
        self.string_to_sign = request.string_to_sign(canonical);
        let headers = request.headers.iter();
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let received = ReceivedRequest {
            method: &request.method,
            target: &request.target,
            headers: &headers,
            body: &PayloadHash::EMPTY,
        };
        if let Some(found) = explain(&received, &request.body, &expected, credentials) {
            let signed = found.signed.as_ref();
            self.differing = signed.map_or_else(Vec::new, |signed| expected.differing(signed));
            self.explanation = Some(found.text);
            self.hint = Some(found.hint);
        }
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
            let body = match &self.declared {
                None => "yes".to_owned(),
                Some(declared) => format!("no ({})", Escaped(declared)),
            };
            return format!(
                "verified: access key {}, signed headers {}, body covered: {body}",
                Escaped(self.access_key.as_deref().unwrap_or_default()),
                Escaped(self.signed_headers.join(";")),
            );
        };
        let mut text = format!("not verified: {reason}");
        let mut add = |label: &str, value: Option<&String>| {
            text.extend(value.into_iter().flat_map(|value| [label, value]));
        };
        add("\nwhat differs: ", self.explanation.as_ref());
        for (expected, signed) in &self.differing {
            add("\n  expected  ", Some(expected));
            add("\n  signed    ", Some(signed));
        }
        add("\nhint: ", self.hint.as_ref());
        let canonical = self.canonical_request.as_ref();
        add("\n\ncanonical request, as it is expected:\n", canonical);
        add("\n\nstring to sign:\n", self.string_to_sign.as_ref());
        // A decoded path can hold what a terminal obeys.
        EscapedLines(text).to_string()
    }
}

/// True if a declared payload is a hash, and not a word like `UNSIGNED-PAYLOAD`.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A refusal and its remedy.
fn reason(refusal: &Refusal, credentials: &Credentials) -> (String, String) {
    let text = match refusal {
        Refusal::UnknownKey { access_key } => format!(
            "the request is signed with the access key {access_key}, and the credentials have {}\n\
             hint: give the file of its key with --credentials",
            credentials.access_key
        ),
        refusal => refusal.to_string(),
    };
    let (reason, hint) = text
        .split_once("\nhint: ")
        .or_else(|| text.split_once("; "))
        .unwrap_or((&text, "correct it, and sign again"));
    (reason.to_owned(), hint.to_owned())
}

/// The reason for a date outside the window, and whose clock may be wrong.
fn expired(signed: &SigningDate, now: &SigningDate, window: Duration) -> (String, String) {
    let apart = signed.unix_seconds().abs_diff(now.unix_seconds());
    let (what, side, hint) = if signed > now {
        let hint = "set the clock of the signer or of this machine";
        ("is in the future", "ahead of", hint)
    } else {
        let hint =
            "sign again, set the clock of the signer, or give the time of arrival with --now";
        ("has expired", "behind", hint)
    };
    // Time zones differ from UTC by half hours, and a request arrives within minutes.
    let from_half_hour = (apart + 900) % 1800;
    let is_zone = (2700..15 * 3600).contains(&apart) && from_half_hour.abs_diff(900) < 300;
    let zone = if is_zone {
        "sign the time in UTC, since the date looks like the local time of a time zone; or "
    } else {
        ""
    };
    let reason = format!(
        "the signature {what}: it was made at {signed}, {apart} seconds {side} this time, {now}, and {} are allowed",
        window.as_secs()
    );
    (reason, format!("{zone}{hint}"))
}
