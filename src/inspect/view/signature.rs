//! What was signed: the canonical request and the string to sign, made again from the head that was
//! sent. Hidden values stay hidden, so the hash of a request that has some cannot be shown.

use super::super::entry::{Attempt, Entry};
use super::super::head::{Head, replace_hidden, request_line};
use crate::gateway::{Difference, difference};
use crate::signature::{
    CanonicalRequest, DATE_HEADER, Payload, PayloadHash, Presented, SigningDate, Target,
};

const HIDDEN_HASH: &str = "‹the hash of the canonical request, which has hidden values›";

/// The canonical request and the string to sign of an attempt; `None` if it has no signature, or if
/// parts of it are not kept.
pub(super) fn signed_texts(entry: &Entry, attempt: &Attempt) -> Option<(String, String)> {
    let sent = attempt.sent.as_ref()?;
    let head = Head::parse(&sent.head)?;
    let authorization = head.get("authorization")?;
    let presented = Presented::parse(&authorization).ok()?;
    let date = SigningDate::parse(&head.get(DATE_HEADER)?).ok()?;
    let (method, target) = request_line(head.line);
    let mut mask = Mask::default();
    let target = mask.hide(sent.signed_target.as_deref().unwrap_or(&target));
    let declared = head.get(presented.algorithm.content_hash_header());
    let added = [DATE_HEADER, presented.algorithm.content_hash_header()];
    let names = presented.signed_headers.split(';');
    let headers = names.filter(|name| !added.contains(name));
    let headers = headers.map(|name| Some((name, mask.hide(&head.get(name)?))));
    let headers = headers.collect::<Option<Vec<_>>>()?;
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers: Vec<_> = headers.collect();
    let hash = PayloadHash::from_hex(&entry.routed.as_ref()?.body_hash);
    let payload = match &declared {
        Some(declared) => Payload::Declared(declared),
        None => Payload::Hash(hash.as_ref()?),
    };
    let target = Target::received(&target).ok()?;
    let algorithm = presented.algorithm;
    let request = CanonicalRequest::new(algorithm, &method, target, &headers, &date, payload);
    let request = request.ok()?;
    let mut string_to_sign = request.string_to_sign();
    if !mask.0.is_empty() {
        let hash = string_to_sign.rfind('\n').map_or(0, |at| at + 1);
        string_to_sign.replace_range(hash.., HIDDEN_HASH);
    }
    Some((mask.show(request.to_string()), string_to_sign))
}

/// The first line in which the canonical request that was signed and the one that the gateway echoes
/// differ.
pub(super) fn first_difference(ours: &str, attempt: &Attempt) -> Option<Difference> {
    let echo = echo(attempt)?;
    let found = difference(&unnamed(ours), &unnamed(echo))?;
    let line = |text: &str| {
        let line = text.split(['\n', '|']).nth(found.line - 1);
        line.unwrap_or_default().to_owned()
    };
    Some(Difference {
        ours: line(ours),
        gateway: line(echo),
        ..found
    })
}

/// A text with the hidden values by their hash alone. The same value has another name where it was
/// found by what it is, and not by the name of its header.
fn unnamed(text: &str) -> String {
    replace_hidden(text, |value| {
        let hash = value.split_once(", ").map_or(value, |(_, hash)| hash);
        hash.to_owned()
    })
}

/// The canonical request that the gateway echoes, a line of it in each line.
pub(super) fn echo(attempt: &Attempt) -> Option<&str> {
    let (_, response) = attempt.response.as_ref()?;
    Some(response.echo.as_str()).filter(|echo| !echo.is_empty())
}

/// Puts plain text in the place of hidden values, which cannot stand in a canonical request.
#[derive(Debug, Default)]
struct Mask(Vec<String>);

impl Mask {
    fn hide(&mut self, text: &str) -> String {
        replace_hidden(text, |value| {
            self.0.push(value.to_owned());
            Self::name(self.0.len() - 1)
        })
    }

    fn show(&self, text: String) -> String {
        let values = self.0.iter().enumerate();
        values.fold(text, |text, (number, value)| {
            text.replace(&Self::name(number), value)
        })
    }

    fn name(number: usize) -> String {
        format!("-hidden-by-apig-proxy-{number}-")
    }
}
