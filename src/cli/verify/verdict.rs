//! What there is to say of a request: whether it verifies, the first reason why not, and the evidence.

use std::time::Duration;

use super::explain;
use super::lines::Lines;
use super::request::Request;
use crate::credentials::Credentials;
use crate::signature::{
    CONTENT_HASH_HEADER, PayloadHash, Presented, ReceivedRequest, Refusal, Signer, SigningDate,
    Verified, string_to_sign, verify,
};

/// What a request is judged by.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) now: SigningDate,
    pub(super) window: Duration,
    /// Names of headers that must be signed.
    pub(super) required: &'a [String],
}

/// What there is to say of a request.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Why the request does not verify; `None` if it does.
    pub(super) reason: Option<String>,
    pub(super) access_key: Option<String>,
    pub(super) signed_headers: Vec<String>,
    /// Whether the signature covers the body, if the request verifies.
    pub(super) body: Option<Coverage>,
    /// What the verifier signs, without secrets, if the signature is another.
    pub(super) canonical: Option<String>,
    pub(super) string_to_sign: Option<String>,
    /// What would make it match.
    pub(super) explanation: Option<String>,
    /// The lines that are others in what was signed: the verifier's, and the signer's.
    pub(super) differing: Vec<(String, String)>,
}

/// What a signature says of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// It is the one that was signed.
    Covered,
    /// Nothing: this was signed in its place.
    Declared(String),
}

impl Verdict {
    pub(super) fn of(request: &Request, terms: &Terms<'_>) -> Self {
        let headers: Vec<(&str, &[u8])> = request
            .headers
            .iter()
            .map(|header| (header.name.as_str(), header.value()))
            .collect();
        let body = PayloadHash::of(&request.body);
        let received = ReceivedRequest {
            method: &request.method,
            target: &request.target,
            headers: &headers,
            body: &body,
        };
        let key = terms.credentials;
        let signer = Signer::new(&key.access_key, &key.secret_key);
        let find = |access_key: &str| (access_key == key.access_key).then_some(&signer);
        let verdict = Self::presented(request);
        match verify(&received, find, &terms.now, terms.window) {
            Ok(verified) => verdict.verified(&verified, request, terms),
            Err(Refusal::Mismatch { canonical }) => verdict.mismatch(&canonical, request, terms),
            Err(refusal @ Refusal::Expired { .. }) => Self {
                reason: Some(reason(&refusal, terms)),
                ..Self::of(
                    request,
                    &Terms {
                        window: Duration::MAX,
                        ..*terms
                    },
                )
                .apart_from_the_date()
            },
            Err(refusal) => verdict.refused(reason(&refusal, terms)),
        }
    }

    pub(super) fn is_verified(&self) -> bool {
        self.reason.is_none()
    }

    /// What the request says of its signature, as far as that can be read.
    fn presented(request: &Request) -> Self {
        let presented = request
            .authorization()
            .and_then(|text| Presented::parse(text).ok());
        let Some(presented) = presented else {
            return Self::default();
        };
        Self {
            access_key: Some(presented.access_key.to_owned()),
            signed_headers: presented
                .signed_headers
                .split(';')
                .map(str::to_owned)
                .collect(),
            ..Self::default()
        }
    }

    fn refused(mut self, reason: String) -> Self {
        self.reason = Some(reason);
        self
    }

    fn verified(mut self, verified: &Verified, request: &Request, terms: &Terms<'_>) -> Self {
        let is_signed = |name: &String| {
            let signed = &verified.signed_headers;
            signed
                .iter()
                .any(|signed| signed.eq_ignore_ascii_case(name))
        };
        if let Some(name) = terms.required.iter().find(|name| !is_signed(name)) {
            return self.refused(format!(
                "the signature is right, but the header {name} is not signed, and --require asks for it; sign it"
            ));
        }
        let declared = request.first(CONTENT_HASH_HEADER).unwrap_or_default();
        // A hash of something else says that the body was changed. An attacker could move the hash
        // of the body that was signed into this header, and send another body.
        if !verified.body_signed && is_hash(&declared) {
            return self.refused(format!(
                "the signature is right, but {CONTENT_HASH_HEADER} is not the hash of this body: the body was changed, or the hash is of another one; send what was signed"
            ));
        }
        self.body = Some(if verified.body_signed {
            Coverage::Covered
        } else {
            Coverage::Declared(declared)
        });
        self
    }

    fn mismatch(mut self, canonical: &str, request: &Request, terms: &Terms<'_>) -> Self {
        let lines = Lines::of(canonical);
        let redacted = lines.redacted();
        self.canonical = Some(redacted.text());
        self.string_to_sign = lines.date().map(|date| string_to_sign(canonical, &date));
        let found = explain::explain(request, &lines, terms.credentials);
        self.explanation = Some(match &found {
            Some(found) => found.says.clone(),
            None => "no known mistake gives this signature; compare the canonical request with the signer's, line by line: if they are the same, the signer has another secret key than these credentials".to_owned(),
        });
        self.differing = found.map_or_else(Vec::new, |found| lines.differing(&found.signed));
        self.refused("the signature does not match".to_owned())
    }

    /// Of a request whose date was left aside: says that, and not that it verifies.
    fn apart_from_the_date(mut self) -> Self {
        self.explanation = Some(match (self.reason.take(), self.explanation.take()) {
            (None, _) => "apart from its date, the request verifies".to_owned(),
            (Some(reason), None) => format!("apart from its date: {reason}"),
            (Some(reason), Some(explanation)) => {
                format!("apart from its date: {reason}: {explanation}")
            }
        });
        self.body = None;
        self
    }
}

impl Request {
    /// The value of `Authorization`, if there is one that is text.
    pub(super) fn authorization(&self) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case("authorization"))?;
        str::from_utf8(header.value()).ok()
    }

    fn first(&self, name: &str) -> Option<String> {
        let mut headers = self.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value()).into_owned())
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A refusal, and what to do about it.
fn reason(refusal: &Refusal, terms: &Terms<'_>) -> String {
    match refusal {
        Refusal::Authorization => {
            format!("{refusal}; send it once, as \"apig-proxy sign\" prints it")
        }
        Refusal::Malformed => format!("{refusal}; correct it, or sign anew"),
        Refusal::UnknownKey { access_key } => format!(
            "the request is signed with the access key {}, and the credentials have {}; give the file of its key with --credentials",
            access_key.escape_debug(),
            terms.credentials.access_key.escape_debug()
        ),
        Refusal::MissingHeader(name) => format!(
            "a signed header is missing: {}; send it as it was signed, or sign without it",
            name.escape_debug()
        ),
        Refusal::RepeatedHeader(name) => format!(
            "a signed header is there more than once: {}; send it once, or sign without it",
            name.escape_debug()
        ),
        Refusal::DateNotSigned => format!("{refusal}; name it in SignedHeaders, and sign it"),
        Refusal::Expired { signed, now } => expired(signed, now, terms.window),
        // These say themselves what to do.
        Refusal::LegacyForm | Refusal::NotCanonical(_) | Refusal::Mismatch { .. } => {
            refusal.to_string()
        }
    }
}

fn expired(signed: &SigningDate, now: &SigningDate, window: Duration) -> String {
    let apart = signed.unix_seconds().abs_diff(now.unix_seconds());
    let (side, remedy) = if signed > now {
        ("ahead of", "set the clock of the signer or of this machine")
    } else {
        (
            "behind",
            "sign anew, set the clock of the signer, or give the time of arrival with --now",
        )
    };
    format!(
        "the signature has expired: it was made at {signed}, and it is {now} here; it is {apart} seconds {side} this time, and {} are allowed; {remedy}",
        window.as_secs()
    )
}
