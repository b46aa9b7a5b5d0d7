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
    use secrecy::ExposeSecret;

    use super::*;

    const CAPABILITY: &str = "0123456789abcdef0123456789ABCDEF";

    /// What a request shows, and its target and headers without that.
    fn taken(target: &str, headers: &[(&str, &str)]) -> (String, String, Vec<String>) {
        let mut request = Request::builder().uri(target.replace('C', CAPABILITY));
        for (name, value) in headers {
            request = request.header(*name, value.replace("CAP", CAPABILITY));
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let shown = match Shown::take(&mut head) {
            Shown::Capability(token, digits) => {
                assert!(token.is(CAPABILITY.as_bytes()));
                assert_eq!(digits.expose_secret(), CAPABILITY);
                "capability".to_owned()
            }
            Shown::Token(token) => format!("token {}", token.is(b"apx_x")),
            Shown::Signature(_) => "signature".to_owned(),
            Shown::Several => "several".to_owned(),
            Shown::Nothing => "nothing".to_owned(),
        };
        let left = head.headers.iter();
        let left = left.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        (shown, head.uri.to_string(), left.collect())
    }

    #[test]
    fn a_capability_is_taken_out_of_the_whole_head() {
        const OTHER: &str = "/~00000000000000000000000000000000";
        for (target, expected) in [
            ("/~C/a?b", "capability /a?b"),
            ("/%7EC/a", "capability /a"),
            ("//~C/a", "capability /a"),
            ("/~C?b", "capability /?b"),
            ("http://h/~C//a", "capability http://h//a"),
            (
                "/~C/~C/a?u=http://h/~C/b&v=%7EC",
                "capability /a?u=http://h/b&v=",
            ),
            (&format!("/~C{OTHER}/~C"), &format!("capability {OTHER}")),
            ("/~abc/a", "nothing /~abc/a"),
            ("/~", "nothing /~"),
            ("/~Cx/a", "nothing /x/a"),
            ("/~C;x/a", "nothing /;x/a"),
            ("/~C%2Fa", "nothing /%2Fa"),
            ("/./~C/a", "nothing /./a"),
            ("/a%2f%7EC", "nothing /a"),
        ] {
            let (shown, left, _) = taken(target, &[]);
            assert_eq!(format!("{shown} {left}"), expected, "{target}");
        }
        for (target, name, value, expected) in [
            ("/", "referer", "http://h:1/~CAP/a?b", "http://h:1/a?b"),
            ("/", "referer", "//h:1/~CAP", "//h:1"),
            (
                "/",
                "referer",
                "http://h/?u=%2Fh%2F~CAP%2F",
                "http://h/?u=%2Fh%2F",
            ),
            ("/", "x-a", "/~CAP", &format!("/~{CAPABILITY}")),
            ("/~C/a", "destination", "http://h/~CAP/b", "http://h/b"),
            ("/~C/a", "x-a", OTHER, OTHER),
        ] {
            let (_, _, left) = taken(target, &[(name, "x"), (name, value)]);
            assert_eq!(left[1], format!("{name}: {expected}"));
        }
    }

    #[test]
    fn headers_that_identify_a_caller_are_taken_and_others_stay() {
        const SIGNED: &str = "SDK-HMAC-SHA256 Access=APXA, SignedHeaders=x-sdk-date, Signature=0";
        const DERIVED: &str = "V11-HMAC-SHA256 Credential=APXA/20261123/r/s, SignedHeaders=a";
        const TOKEN: &str = "x-apig-proxy-token";
        const NAME: &str = "authorization";
        for (headers, shown, left) in [
            (&[(NAME, "Bearer apx_x")][..], "token true", 0),
            (&[(NAME, "bearer  apx_y")], "token false", 0),
            (&[(TOKEN, "apx_x")], "token true", 0),
            (&[(NAME, SIGNED)], "signature", 0),
            (&[(NAME, DERIVED)], "signature", 0),
            (&[(NAME, "SDK-HMAC-SM3 Access=APX")], "signature", 0),
            (&[(NAME, SIGNED), (NAME, "Basic x")], "several", 0),
            (&[(NAME, SIGNED), (TOKEN, "apx_x")], "several", 0),
            (&[(NAME, "Bearer sk-x")], "nothing", 1),
            (&[(NAME, "Bearer")], "nothing", 1),
            (&[(NAME, "Basic apx_x")], "nothing", 1),
            (&[(NAME, "SDK-HMAC-SHA256 Access=AK")], "nothing", 1),
            (&[(TOKEN, "x")], "nothing", 1),
        ] {
            let found = taken("/", headers);
            assert_eq!((&*found.0, found.2.len()), (shown, left), "{headers:?}");
        }
        // All are taken, also those that do not count.
        let (shown, _, left) = taken("/~C/", &[(NAME, "Bearer apx_x")]);
        assert_eq!((&*shown, left.len()), ("capability", 0));
    }
}
