//! Finds what a signer did differently: makes the known mistakes with the canonical request, and names
//! the one that leads to the signature of the request.
//!
//! A match is certain, since no two texts have the same signature. So each mistake is made alone and
//! with each other one; one attempt costs one hash of the canonical request. `verify` explains
//! requests of anybody, and the proxy those of its callers.

mod canonical;
mod catalog;
mod spelling;

use secrecy::{ExposeSecret, SecretString};

pub(crate) use canonical::Canonical;
use canonical::Part;
use catalog::{KEY_HINT, KEY_MISTAKES, MISTAKES, Sent};

use crate::credentials::Credentials;
use crate::signature::{DATE_HEADER, Presented, ReceivedRequest, Signer, SigningDate};

/// The longest canonical request that pairs of mistakes are tried with: there are a thousand of them.
const MAX_FOR_PAIRS: usize = 32 << 10;

/// The explanation of a wrong signature.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The signer's mistake.
    pub(crate) text: String,
    pub(crate) hint: String,
    /// What the signer signed, if that is known.
    pub(crate) signed: Option<Canonical>,
}

/// What a mistake makes of a part of the canonical request.
struct Change {
    part: Part,
    value: String,
    text: String,
    hint: &'static str,
}

/// A key, and the mistake that leads to it; `None` for the right one.
pub(crate) type Key = (Option<&'static str>, Signer);

/// Explains the signature of a request with this body that does not verify, of which `canonical` is
/// expected. The values of headers have the blanks around them.
pub(crate) fn explain(
    request: &ReceivedRequest<'_>,
    body: &[u8],
    canonical: &Canonical,
    credentials: &Credentials,
) -> Option<Explanation> {
    let presented = presented(request)?;
    let signature = presented.signature.to_ascii_lowercase();
    let is_hexadecimal = signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = if signature.len() == 64 && is_hexadecimal {
        let pairs = canonical.text().len() <= MAX_FOR_PAIRS;
        search(request, body, canonical, &keys(credentials), pairs)
    } else {
        Some(suspicion(
            "the signature is not 64 hexadecimal digits",
            "write its 32 bytes in hexadecimal, not in Base64",
        ))
    };
    found.or_else(|| Some(suspicion_of_body(body)))
}

/// The value of `Authorization`.
fn presented<'a>(request: &ReceivedRequest<'a>) -> Option<Presented<'a>> {
    Presented::parse(value(request, "authorization")?).ok()
}

/// The last value of a header, without the blanks around it.
fn value<'a>(request: &ReceivedRequest<'a>, name: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter().rev();
    let found = headers.find(|header| header.0.eq_ignore_ascii_case(name))?;
    str::from_utf8(found.1.trim_ascii()).ok()
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

/// Finds the mistakes that lead from the canonical request to the signature: single ones, and pairs
/// if `pairs` is true.
pub(crate) fn search(
    request: &ReceivedRequest<'_>,
    body: &[u8],
    canonical: &Canonical,
    keys: &[Key],
    pairs: bool,
) -> Option<Explanation> {
    let presented = presented(request)?;
    let signature = presented.signature.to_ascii_lowercase();
    let date = SigningDate::parse(value(request, DATE_HEADER)?).ok()?;
    let sent = Sent {
        request,
        body,
        canonical,
        algorithm: presented.algorithm,
        names: presented.signed_headers,
    };
    let changes = changes(&sent);
    let alone = || std::iter::once(vec![]).chain(changes.iter().map(|change| vec![change]));
    let attempts = keys
        .iter()
        .flat_map(|key| alone().map(move |changes| (key, changes)));
    let pairs = pairs_of(&changes).filter(|_| pairs);
    let mut attempts = attempts.chain(pairs.map(|pair| (&keys[0], pair)));
    attempts.find_map(|((key_mistake, signer), changes)| {
        let mut signed = canonical.clone();
        for change in &changes {
            signed.set(change.part, &change.value);
        }
        signer
            .matches_text(sent.algorithm, &signed.text(), &date, &signature)
            .then(|| explanation(*key_mistake, &changes, signed))
    })
}

/// The explanation for mistakes that lead to the signature.
fn explanation(
    key_mistake: Option<&'static str>,
    changes: &[&Change],
    signed: Canonical,
) -> Explanation {
    let key = key_mistake.map(|text| (text, KEY_HINT));
    let changes = changes
        .iter()
        .map(|change| (change.text.as_str(), change.hint));
    let (mut texts, mut hints): (Vec<_>, Vec<_>) = key.into_iter().chain(changes).unzip();
    if texts.is_empty() {
        texts.push("the signature is written in upper case");
        hints.push("write its hexadecimal digits in lower case");
    }
    Explanation {
        text: texts.join("; and besides, "),
        hint: hints.join("; "),
        signed: Some(signed),
    }
}

/// The pairs of changes of different parts.
fn pairs_of(changes: &[Change]) -> impl Iterator<Item = Vec<&Change>> {
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

/// The right key, and what it becomes by each known mistake.
fn keys(credentials: &Credentials) -> Vec<Key> {
    let (access_key, secret_key) = (&credentials.access_key, &credentials.secret_key);
    let with_mistakes = KEY_MISTAKES.iter().map(|(text, make)| {
        let secret = SecretString::from(make(secret_key.expose_secret()));
        (Some(*text), Signer::new(access_key, &secret))
    });
    let right = (None, Signer::new(access_key, secret_key));
    std::iter::once(right).chain(with_mistakes).collect()
}
