//! The capability in the path of a URL, like `/~<32 hex>/a`: it is taken out of everything that is
//! logged or forwarded.
//!
//! # What can go wrong
//!
//! Clients join a base URL twice, resolve no dots, or put their own URL into a query or a header.
//! Only what begins the path identifies a caller, but none of the others may go on either.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use crate::config::Surrogate;

/// Removes the capability from the beginning of a target; returns its digits.
pub(super) fn take(uri: &mut Uri) -> Option<String> {
    // A base URL that ends with a slash makes two. Some clients encode the tilde.
    let path = uri.path_and_query()?.as_str().strip_prefix('/')?;
    let path = path.trim_start_matches('/');
    let mut tildes = ["~", "%7E", "%7e"].iter();
    let path = tildes.find_map(|tilde| path.strip_prefix(tilde))?;
    let (digits, rest) = path.split_at_checked(Surrogate::CAPABILITY_DIGITS)?;
    let is_capability = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_capability || !(rest.is_empty() || rest.starts_with(['/', '?', '#'])) {
        return None;
    }
    let (digits, rest) = (digits.to_owned(), rest.to_owned());
    replace_target(uri, &rest);
    Some(digits)
}

/// Replaces path and query, never with the old ones: they must not get into the log.
fn replace_target(uri: &mut Uri, target: &str) {
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("{slash}{target}")).ok();
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// Removes each capability, or only this one, from a target.
pub(super) fn strip_target(uri: &mut Uri, digits: Option<&str>) {
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if let Some(stripped) = without_capability(target.as_bytes(), digits) {
        replace_target(uri, &String::from_utf8_lossy(&stripped));
    }
}

/// Removes each capability, or only this one, from the value of a header.
pub(super) fn strip(value: &mut HeaderValue, digits: Option<&str>) {
    let stripped = without_capability(value.as_bytes(), digits);
    if let Some(stripped) = stripped.and_then(|value| HeaderValue::from_maybe_shared(value).ok()) {
        *value = stripped;
    }
}

/// A text without each `/~<digits>`; `None` if it has none.
fn without_capability(text: &[u8], digits: Option<&str>) -> Option<Bytes> {
    let (mut kept, mut end) = (Vec::new(), 0);
    for at in memchr::memchr2_iter(b'~', b'%', text) {
        let is = |at: usize, name: &[u8]| {
            let part = text.get(at..at + name.len());
            part.is_some_and(|part| part.eq_ignore_ascii_case(name))
        };
        let first = at + if is(at, b"~") { 1 } else { 3 };
        let last = first + Surrogate::CAPABILITY_DIGITS;
        let found = text.get(first..last).is_some_and(|found| {
            found.iter().all(u8::is_ascii_hexdigit)
                && digits.is_none_or(|digits| found == digits.as_bytes())
        });
        if at >= end && found && (is(at, b"~") || is(at, b"%7E")) {
            let slashes: [&[u8]; 2] = [b"/", b"%2F"];
            let before = |name: &&[u8]| at.checked_sub(name.len()).filter(|at| is(*at, name));
            let start = slashes.iter().find_map(before).unwrap_or(at);
            kept.extend_from_slice(&text[end..start.max(end)]);
            end = last;
        }
    }
    kept.extend_from_slice(&text[end..]);
    (end > 0).then(|| kept.into())
}
