//! Finds what a signer did differently: makes the known mistakes with the canonical request, and names
//! the one that leads to the signature of the request.
//!
//! A match is certain, since no two texts have the same signature. So each mistake is made alone and
//! with each other one; one attempt costs one hash of the canonical request.

use secrecy::{ExposeSecret, SecretString};

use super::canonical::{Canonical, Part};
use super::mistakes::{KEY_HINT, KEY_MISTAKES, MISTAKES, Sent};
use super::request::ParsedRequest;
use crate::credentials::Credentials;
use crate::signature::{Presented, Signer};

/// The longest canonical request that pairs of mistakes are tried with: there are a thousand of them.
const MAX_FOR_PAIRS: usize = 32 << 10;

/// The explanation of a wrong signature.
#[derive(Debug)]
pub(super) struct Explanation {
    /// The signer's mistake.
    pub(super) text: String,
    pub(super) hint: String,
    /// What the signer signed, if that is known.
    pub(super) signed: Option<Canonical>,
}

/// What a mistake makes of a part of the canonical request.
struct Change {
    part: Part,
    value: String,
    text: String,
    hint: &'static str,
}

/// Explains the signature of a request that does not verify, of which `canonical` is expected.
pub(super) fn explain(
    request: &ParsedRequest,
    canonical: &Canonical,
    credentials: &Credentials,
) -> Option<Explanation> {
    let authorization = request.values("authorization").pop()?;
    let presented = Presented::parse(&authorization).ok()?;
    let signature = presented.signature.to_ascii_lowercase();
    let is_hexadecimal = signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (algorithm, names) = (presented.algorithm, presented.signed_headers);
    let sent = Sent {
        request,
        canonical,
        algorithm,
        names,
    };
    let found = if signature.len() == 64 && is_hexadecimal {
        search(&sent, credentials, &signature)
    } else {
        Some(suspicion(
            "the signature is not 64 hexadecimal digits",
            "write its 32 bytes in hexadecimal, not in Base64",
        ))
    };
    found.or_else(|| Some(suspicion_of_body(&request.body)))
}

/// What the body suggests if no known mistake leads to the signature.
fn suspicion_of_body(body: &[u8]) -> Explanation {
    if str::from_utf8(body).is_err() {
        suspicion(
            "the body is not UTF-8 (perhaps GBK), and was probably re-encoded after it was signed",
            "sign and send the same bytes",
        )
    } else if memchr::memmem::find(body, b"??").is_some() {
        suspicion(
            "the body has `??` in it, which an encoding like ISO-8859-1 probably put in place of other characters after the body was signed",
            "sign and send UTF-8",
        )
    } else {
        suspicion(
            "no known mistake gives this signature",
            "compare the canonical request with the signer's, line by line: if they are the same, the signer has another secret key than these credentials",
        )
    }
}

fn suspicion(text: &str, hint: &str) -> Explanation {
    Explanation {
        text: text.to_owned(),
        hint: hint.to_owned(),
        signed: None,
    }
}

/// Finds the mistakes that lead from the canonical request to the signature.
fn search(sent: &Sent<'_>, credentials: &Credentials, signature: &str) -> Option<Explanation> {
    let date = sent.request.date()?;
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
        let is_match = signer.matches_text(sent.algorithm, &signed.text(), &date, signature);
        let key = key_mistake.map(|text| (text, KEY_HINT));
        let changes = changes
            .iter()
            .map(|change| (change.text.as_str(), change.hint));
        let (mut texts, mut hints): (Vec<_>, Vec<_>) = key.into_iter().chain(changes).unzip();
        if texts.is_empty() {
            texts.push("the signature is written in upper case");
            hints.push("write its hexadecimal digits in lower case");
        }
        is_match.then(|| Explanation {
            text: texts.join("; and besides, "),
            hint: hints.join("; "),
            signed: Some(signed),
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
    let mut changes = Vec::new();
    for of_part in &MISTAKES {
        let made = (of_part.make)(sent);
        for (text, value) in made.as_object().into_iter().flatten() {
            changes.push(Change {
                part: of_part.part,
                value: value.as_str().unwrap_or_default().to_owned(),
                text: format!("{} {text}", of_part.subject),
                hint: of_part.hint,
            });
        }
    }
    changes.retain(|change| change.value != sent.canonical.get(change.part));
    changes
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
