//! Finds the mistake of a signer: applies each known mistake to the canonical request, and names the
//! one that produces the signature of the request. A match is certain, since no two texts have the same
//! signature. Each try costs one hash of the canonical request.
//!
//! Used by `verify`, by the embedded gateway, and by the proxy for requests that its callers sign.

mod catalog;

use secrecy::{ExposeSecret, SecretString};

use catalog::{KEY_HINT, KEY_MISTAKES, MISTAKES, Sent};

use crate::credentials::Credentials;
use crate::inspect::rules::is_secret_name;
use crate::signature::{DATE_HEADER, Presented, ReceivedRequest, Signer, SigningDate};

#[derive(Debug)]
pub(crate) struct Explanation {
    /// The signer's mistake.
    pub(crate) text: String,
    pub(crate) hint: &'static str,
    /// The canonical request that was signed, if that is known.
    pub(crate) signed: Option<String>,
}

impl Explanation {
    fn suspicion(text: &str, hint: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            hint,
            signed: None,
        }
    }
}

/// Explains the signature of a request with this body that does not verify, of which `canonical` is
/// expected.
pub(crate) fn explain(
    request: &ReceivedRequest<'_>,
    body: &[u8],
    canonical: &str,
    credentials: &Credentials,
) -> Explanation {
    let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
    search(request, body, canonical, &signer)
        .or_else(|| mistake_with_key(request, canonical, credentials))
        .unwrap_or_else(|| suspicion(request, body))
}

/// Finds the mistake that leads from the canonical request to the signature.
pub(crate) fn search(
    request: &ReceivedRequest<'_>,
    body: &[u8],
    canonical: &str,
    signer: &Signer,
) -> Option<Explanation> {
    let (presented, date) = signature(request)?;
    let sent = Sent {
        request,
        body,
        parts: parts(canonical),
        presented,
    };
    for mistakes in &MISTAKES {
        let made = (mistakes.make)(&sent);
        for (text, value) in made.as_object().into_iter().flatten() {
            let mut parts = sent.parts;
            parts[mistakes.part as usize] = value.as_str().unwrap_or_default();
            let signed = parts.join("\n");
            if signer.matches_text(presented.algorithm, &signed, &date, presented.signature) {
                return Some(Explanation {
                    text: format!("{} {text}", mistakes.subject),
                    hint: mistakes.hint,
                    signed: Some(signed),
                });
            }
        }
    }
    None
}

/// Finds the change of the secret key that leads to the signature.
fn mistake_with_key(
    request: &ReceivedRequest<'_>,
    canonical: &str,
    credentials: &Credentials,
) -> Option<Explanation> {
    let (presented, date) = signature(request)?;
    let is_right = |added: &str| {
        let secret = format!("{}{added}", credentials.secret_key.expose_secret());
        let signer = Signer::new(&credentials.access_key, &SecretString::from(secret));
        signer.matches_text(presented.algorithm, canonical, &date, presented.signature)
    };
    let (_, text) = KEY_MISTAKES.iter().find(|(added, _)| is_right(added))?;
    Some(Explanation::suspicion(text, KEY_HINT))
}

/// What the request suggests if no known mistake leads to its signature.
fn suspicion(request: &ReceivedRequest<'_>, body: &[u8]) -> Explanation {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_signature = |text: &str| text.len() == 64 && text.bytes().all(is_digit);
    let (text, hint) = if signature(request).is_some_and(|(sent, _)| !is_signature(sent.signature))
    {
        (
            "the signature is not 64 hexadecimal digits in lower case",
            "write its 32 bytes in hexadecimal, not in Base64",
        )
    } else if str::from_utf8(body).is_err() {
        (
            "the body is not UTF-8 (perhaps GBK), and was probably re-encoded after it was signed",
            "sign and send the same bytes",
        )
    } else if memchr::memmem::find(body, b"??").is_some() {
        (
            "the body has `??` in it, which an encoding like ISO-8859-1 probably put in place of other characters after the body was signed",
            "sign and send UTF-8",
        )
    } else {
        (
            "no known mistake gives this signature",
            "compare the canonical request with the signer's, line by line: if they are the same, the signer has another secret key than these credentials",
        )
    };
    Explanation::suspicion(text, hint)
}

/// The value of `Authorization`, and the date.
fn signature<'a>(request: &ReceivedRequest<'a>) -> Option<(Presented<'a>, SigningDate)> {
    let value = |name: &str| Some(str::from_utf8(header(request, name)?).ok()?.trim());
    let presented = Presented::parse(value("authorization")?).ok()?;
    Some((presented, SigningDate::parse(value(DATE_HEADER)?).ok()?))
}

/// The first value of a header.
fn header<'a>(request: &ReceivedRequest<'a>, name: &str) -> Option<&'a [u8]> {
    let mut headers = request.headers.iter();
    let header = headers.find(|header| header.0.eq_ignore_ascii_case(name))?;
    Some(header.1)
}

/// Splits a canonical request into its method, path, query, headers with their names, and payload. Only the
/// headers have line feeds of their own.
fn parts(canonical: &str) -> [&str; 5] {
    let mut lines = canonical.splitn(4, '\n');
    let [method, path, query, rest] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let (headers, payload) = rest.rsplit_once('\n').unwrap_or_default();
    [method, path, query, headers, payload]
}

/// A canonical request without the values of secret headers.
pub(crate) fn redacted(canonical: &str) -> String {
    let line = |line: &str| match line.split_once(':') {
        Some((name, _)) if is_secret_name(name.as_bytes()) => {
            format!("{name}:[redacted]")
        }
        _ => line.to_owned(),
    };
    let lines: Vec<String> = canonical.split('\n').map(line).collect();
    lines.join("\n")
}
