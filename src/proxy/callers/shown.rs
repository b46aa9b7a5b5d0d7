//! What a request shows of its caller. It is taken off before anything is logged or forwarded.

use http::header::{AUTHORIZATION, Entry, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue, request};
use secrecy::SecretString;

use super::capability::{self, strip, strip_target};
use crate::config::{CallerToken, Surrogate};
use crate::proxy::guard::TOKEN;
use crate::signature::Algorithm;

/// The credential that a request shows. One in the path comes before one in a header.
#[derive(Debug)]
pub(in crate::proxy) enum Shown {
    Nothing,
    /// The digits of the path, which local addresses in the response get back.
    Capability(CallerToken, SecretString),
    Token(CallerToken),
    /// The value of `Authorization`.
    Signature(HeaderValue),
    /// Several values of one header.
    Several,
}

impl Shown {
    /// Takes all credentials of callers off a request.
    pub(in crate::proxy) fn take(head: &mut request::Parts) -> Self {
        let headers = &mut head.headers;
        let authorizations = take_values(headers, &AUTHORIZATION, is_of_caller);
        let tokens = take_values(headers, &TOKEN, is_token);
        if let Entry::Occupied(mut values) = headers.entry(REFERER) {
            values.iter_mut().for_each(|value| strip(value, None));
        }
        if let Some(digits) = capability::take(&mut head.uri) {
            // Addresses of the proxy in other places have it too.
            strip_target(&mut head.uri, Some(&digits));
            let values = headers.values_mut();
            values.for_each(|value| strip(value, Some(&digits)));
            return Self::Capability(CallerToken::new(digits.as_bytes()), digits.into());
        }
        match (&tokens[..], &authorizations[..]) {
            ([], []) => {
                // One that is spelled wrong is refused, and would be logged.
                strip_target(&mut head.uri, None);
                Self::Nothing
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

/// The token of `Authorization: Bearer`.
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
            let shown = match Shown::take(&mut head) {
                Shown::Capability(token, _) if token.is(&DIGITS[0].as_bytes()[1..]) => "capability",
                Shown::Token(token) if token.is(b"apx_x") => "token",
                Shown::Signature(_) => "signature",
                Shown::Several => "several",
                Shown::Nothing => "nothing",
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
