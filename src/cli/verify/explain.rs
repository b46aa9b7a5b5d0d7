//! Finds what a signer did differently: makes the known mistakes with the canonical request, and names
//! the one that leads to the signature of the request.
//!
//! A match is certain, since no two texts have the same signature. So each mistake is made alone and
//! with each other one; one attempt costs one hash of the canonical request.

use secrecy::{ExposeSecret, SecretString};

use super::canonical::{CanonicalParts, Part};
use super::mistakes::{KEY_MISTAKES, MISTAKES};
use super::request::ParsedRequest;
use super::sent::Sent;
use crate::credentials::Credentials;
use crate::signature::{Presented, Signer, SigningDate};

/// The longest canonical request that pairs of mistakes are tried with: there are a thousand of them.
const MAX_FOR_PAIRS: usize = 32 << 10;

/// The explanation if only the spelling of the signature is wrong.
const CAPITALS: &str = "the signature is written in capital letters; write it in small ones";

/// The explanation of a wrong signature.
#[derive(Debug)]
pub(super) struct Explanation {
    /// The signer's mistake, and how to correct it.
    pub(super) text: String,
    /// What the signer signed, if that is known.
    pub(super) signed: Option<CanonicalParts>,
}

/// Explains the signature of a request that does not verify, of which `canonical` is expected.
pub(super) fn explain(
    request: &ParsedRequest,
    canonical: &CanonicalParts,
    credentials: &Credentials,
) -> Option<Explanation> {
    let authorization = request.values("authorization").pop()?;
    let presented = Presented::parse(&authorization).ok()?;
    let signature = presented.signature.to_ascii_lowercase();
    let without_evidence = |text: &str| Explanation {
        text: text.to_owned(),
        signed: None,
    };
    if signature.len() != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(without_evidence(
            "the signature is not 64 hexadecimal digits; write all 32 bytes of it like that, and not in Base64",
        ));
    }
    let sent = Sent {
        request,
        canonical,
        names: presented.signed_headers,
    };
    search(&sent, credentials, &request.date()?, &signature)
        .or_else(|| Some(without_evidence(suspicion(&request.body))))
}

/// What the body suggests if no known mistake leads to the signature.
fn suspicion(body: &[u8]) -> &'static str {
    if str::from_utf8(body).is_err() {
        "the body is not UTF-8 (perhaps GBK or ISO-8859-1): if it is text, it was probably re-encoded after it was signed; sign and send the same bytes"
    } else if memchr::memmem::find(body, b"??").is_some() {
        "the body has \"??\" in it: an encoding like ISO-8859-1 probably replaced characters after the body was signed; sign and send UTF-8"
    } else {
        "no known mistake gives this signature; compare the canonical request with the signer's, line by line: if they are the same, the signer has another secret key than these credentials"
    }
}

/// What a mistake makes of a part of the canonical request.
struct Change {
    part: Part,
    value: String,
    description: String,
}

/// Finds the mistakes that lead from the canonical request to the signature.
fn search(
    sent: &Sent<'_>,
    credentials: &Credentials,
    date: &SigningDate,
    signature: &str,
) -> Option<Explanation> {
    let changes = changes(sent);
    let signers = signers(credentials);
    let alone = || std::iter::once(vec![]).chain(changes.iter().map(|change| vec![change]));
    let attempts = signers
        .iter()
        .flat_map(|signer| alone().map(move |changes| (signer, changes)));
    let is_short = sent.canonical.text().len() <= MAX_FOR_PAIRS;
    let pairs = pairs(&changes).filter(|_| is_short);
    let mut attempts = attempts.chain(pairs.map(|pair| (&signers[0], pair)));
    attempts.find_map(|((key_mistake, signer), changes)| {
        let mut signed = sent.canonical.clone();
        for change in &changes {
            signed.set(change.part, &change.value);
        }
        let is_match = signer.matches_text(&signed.text(), date, signature);
        is_match.then(|| {
            let changes = changes.iter().map(|change| change.description.as_str());
            let mistakes: Vec<&str> = key_mistake.iter().copied().chain(changes).collect();
            Explanation {
                text: match mistakes.as_slice() {
                    [] => CAPITALS.to_owned(),
                    mistakes => mistakes.join("; and besides, "),
                },
                signed: Some(signed),
            }
        })
    })
}

/// The pairs of changes of different parts.
fn pairs(changes: &[Change]) -> impl Iterator<Item = Vec<&Change>> {
    changes.iter().enumerate().flat_map(|(at, first)| {
        let seconds = changes[at + 1..].iter();
        let seconds = seconds.filter(|second| second.part != first.part);
        seconds.map(move |second| vec![first, second])
    })
}

/// What each known mistake makes of the canonical request.
fn changes(sent: &Sent<'_>) -> Vec<Change> {
    let changes = MISTAKES.iter().flat_map(|of_part| {
        let (part, subject, remedy) = (of_part.part, of_part.subject, of_part.remedy);
        of_part.mistakes.iter().map(move |(text, make)| Change {
            part,
            value: make(sent),
            description: format!("{subject} {text}; {remedy}"),
        })
    });
    changes
        .filter(|change| change.value != sent.canonical.get(change.part))
        .collect()
}

/// Signers with the right key, and with what it becomes by each known mistake.
fn signers(credentials: &Credentials) -> Vec<(Option<&'static str>, Signer)> {
    let (access_key, secret_key) = (&credentials.access_key, &credentials.secret_key);
    let with_mistakes = KEY_MISTAKES.iter().map(|(text, make)| {
        let secret = SecretString::from(make(secret_key.expose_secret()));
        (Some(*text), Signer::new(access_key, &secret))
    });
    let right = (None, Signer::new(access_key, secret_key));
    std::iter::once(right).chain(with_mistakes).collect()
}
