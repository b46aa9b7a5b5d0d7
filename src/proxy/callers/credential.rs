//! The credential of a caller in a request. It is removed before anything is logged or forwarded. A
//! capability is the beginning of the path of a URL, like `/~<32 hex>/a`.
//!
//! # What can go wrong
//!
//! Clients join a base URL twice, resolve no dots, or put their own URL into a query or a header.
//! Only what begins the path identifies a caller, but none of the others may go on either.

use bytes::Bytes;
use http::header::{AUTHORIZATION, Entry, REFERER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, request};
use secrecy::SecretString;

use crate::config::{CallerToken, Surrogate};
use crate::proxy::guard::TOKEN;
use crate::signature::Algorithm;

/// The credential in a request. One in the path takes precedence over one in a header.
#[derive(Debug)]
pub(in crate::proxy) enum CallerCredential {
    None,
    /// The digits of the path, which local addresses in the response get back.
    Capability(CallerToken, SecretString),
    Token(CallerToken),
    /// The value of `Authorization`.
    Signature(HeaderValue),
    /// Several credentials in headers.
    Several,
}

impl CallerCredential {
    /// Removes all credentials of callers from a request.
    pub(in crate::proxy) fn take(head: &mut request::Parts) -> Self {
        let headers = &mut head.headers;
        let authorizations = take_values(headers, &AUTHORIZATION, is_of_caller);
        let tokens = take_values(headers, &TOKEN, is_token);
        if let Entry::Occupied(mut values) = headers.entry(REFERER) {
            values.iter_mut().for_each(|value| strip(value, None));
        }
        if let Some(digits) = take_capability(&mut head.uri) {
            // Addresses of the proxy in other places contain it too.
            strip_target(&mut head.uri, Some(&digits));
            let values = headers.values_mut();
            values.for_each(|value| strip(value, Some(&digits)));
            return Self::Capability(CallerToken::new(digits.as_bytes()), digits.into());
        }
        match (&tokens[..], &authorizations[..]) {
            ([], []) => {
                // A capability in another place is refused, and must not be logged.
                strip_target(&mut head.uri, None);
                Self::None
            }
            ([token], []) => Self::Token(CallerToken::new(token.as_bytes())),
            ([], [value]) => match bearer(value.as_bytes()) {
                Some(token) => Self::Token(CallerToken::new(token)),
                None => Self::Signature(value.clone()),
            },
            _ => Self::Several,
        }
    }
}

/// Removes all values of a header if one of them is a credential of a caller.
fn take_values(
    headers: &mut HeaderMap,
    name: &HeaderName,
    is_taken: impl Fn(&[u8]) -> bool,
) -> Vec<HeaderValue> {
    match headers.entry(name) {
        Entry::Occupied(values) if values.iter().any(|value| is_taken(value.as_bytes())) => {
            values.remove_entry_mult().1.collect()
        }
        _ => Vec::new(),
    }
}

fn is_token(value: &[u8]) -> bool {
    value.starts_with(Surrogate::TOKEN_PREFIX.as_bytes())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && is_token(token)).then_some(token)
}

/// True for an `Authorization` with a token of a caller, or a signature with its access key.
fn is_of_caller(value: &[u8]) -> bool {
    let name = value.split(|byte| matches!(byte, b' ' | b'\t')).next();
    let is_signature = || {
        let key = [b"=", Surrogate::ACCESS_KEY_PREFIX.as_bytes()].concat();
        Algorithm::NAMES
            .iter()
            .any(|known| Some(known.as_bytes()) == name)
            && memchr::memmem::find(value, &key).is_some()
    };
    bearer(value).is_some() || is_signature()
}

/// Removes the capability from the beginning of a target; returns its digits.
fn take_capability(uri: &mut Uri) -> Option<String> {
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
fn strip_target(uri: &mut Uri, digits: Option<&str>) {
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if let Some(stripped) = without_capability(target.as_bytes(), digits) {
        replace_target(uri, &String::from_utf8_lossy(&stripped));
    }
}

/// Removes each capability, or only this one, from the value of a header.
fn strip(value: &mut HeaderValue, digits: Option<&str>) {
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

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// Requests, what they show, and what is left of them. C is a capability, and O another one.
    const REQUESTS: &str = "
        /~C/a?b => capability /a?b
        /%7EC/a => capability /a
        //~C/a => capability /a
        /~C?b => capability /?b
        http://h/~C//a => capability http://h//a
        /~C/~C/a?u=http://h/~C/b&v=%7EC => capability /a?u=http://h/b&v=
        /~C/~O/~C => capability /~O
        /~C/a destination: http://h/~C/b => capability /a destination: http://h/b
        /~C/a x-a: /~O => capability /a x-a: /~O
        /~C/a authorization: Bearer apx_x => capability /a
        /~abc/a => nothing /~abc/a
        /~Cx/a => nothing /x/a
        /~C;x/a => nothing /;x/a
        /~C%2Fa => nothing /%2Fa
        /./~C/a => nothing /./a
        /a%2f%7EC => nothing /a
        / referer: http://h:1/~C/a?b => nothing / referer: http://h:1/a?b
        / referer: http://h/?u=%2Fh%2F~C%2F => nothing / referer: http://h/?u=%2Fh%2F
        / x-a: /~C => nothing / x-a: /~C
        / authorization: Bearer apx_x => token /
        / authorization: bearer  apx_x => token /
        / x-apig-proxy-token: apx_x => token /
        / authorization: SDK-HMAC-SHA256 Access=APXA, SignedHeaders=a, Signature=0 => signature /
        / authorization: V11-HMAC-SHA256 Credential=APXA/20261123/r/s => signature /
        / authorization: SDK-HMAC-SM3 Access=APX => signature /
        / authorization: SDK-HMAC-SM3 Access=APX|authorization: Basic x => several /
        / authorization: SDK-HMAC-SM3 Access=APX|x-apig-proxy-token: apx_x => several /
        / authorization: Bearer sk-x => nothing / authorization: Bearer sk-x
        / authorization: Basic apx_x => nothing / authorization: Basic apx_x
        / authorization: SDK-HMAC-SM3 Access=AK => nothing / authorization: SDK-HMAC-SM3 Access=AK
        / x-apig-proxy-token: x => nothing / x-apig-proxy-token: x
    ";

    #[test]
    fn what_identifies_a_caller_is_taken_off_and_the_rest_stays() {
        const DIGITS: [&str; 2] = [
            "~0123456789abcdef0123456789ABCDEF",
            "~00000000000000000000000000000000",
        ];
        for row in REQUESTS.trim().lines() {
            let row = row.replace("7EC", &format!("7E{}", &DIGITS[0][1..]));
            let row = row.replace("~C", DIGITS[0]).replace("~O", DIGITS[1]);
            let (request, expected) = row.trim().split_once(" => ").unwrap();
            let (target, lines) = request.split_once(' ').unwrap_or((request, ""));
            let mut request = Request::builder().uri(target);
            for line in lines.split('|').filter(|line| !line.is_empty()) {
                let (name, value) = line.split_once(": ").unwrap();
                request = request.header(name, value);
            }
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            let shown = match CallerCredential::take(&mut head) {
                CallerCredential::Capability(token, _) if token.is(&DIGITS[0].as_bytes()[1..]) => {
                    "capability"
                }
                CallerCredential::Token(token) if token.is(b"apx_x") => "token",
                CallerCredential::Signature(_) => "signature",
                CallerCredential::Several => "several",
                CallerCredential::None => "nothing",
                other => panic!("{other:?}"),
            };
            let mut left = format!("{shown} {}", head.uri);
            for (name, value) in &head.headers {
                left += &format!(" {name}: {}", value.to_str().unwrap());
            }
            assert_eq!(left, expected, "{row}");
        }
    }
}
