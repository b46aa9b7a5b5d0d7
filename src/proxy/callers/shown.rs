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
    fn a_capability_is_taken_out_of_the_path_and_the_referer() {
        for (target, expected) in [
            ("/~C/a?b", "/a?b"),
            ("/%7EC/a", "/a"),
            ("//~C/a", "/a"),
            ("/~C", "/"),
            ("/~C?b", "/?b"),
            ("/~C//a", "//a"),
            ("http://h/~C/a", "http://h/a"),
        ] {
            let (shown, left, _) = taken(target, &[]);
            assert_eq!((&*shown, &*left), ("capability", expected), "{target}");
        }
        for (target, expected) in [
            ("/~abc/a", "/~abc/a"),
            ("/", "/"),
            ("/~", "/~"),
            ("/~Cx/a", "/x/a"),
            ("/~C;x/a", "/;x/a"),
            ("/~C%2Fa", "/%2Fa"),
            ("/a/~C/", "/a/"),
            ("/./~C/a", "/./a"),
            ("/a%2f%7EC", "/a"),
        ] {
            let (shown, left, _) = taken(target, &[]);
            assert_eq!((&*shown, &*left), ("nothing", expected), "{target}");
        }
        for (referer, expected) in [
            ("http://h:1/~CAP/a?b", "http://h:1/a?b"),
            ("http://h/a", "http://h/a"),
            ("/~CAP/a", "/a"),
            ("//h:1/~CAP", "//h:1"),
            (
                "http://h/?u=http%3A%2F%2Fh%2F~CAP%2F",
                "http://h/?u=http%3A%2F%2Fh%2F",
            ),
        ] {
            let (_, _, left) = taken("/", &[("referer", "x"), ("referer", referer)]);
            assert_eq!(left[1], format!("referer: {expected}"));
        }
    }

    #[test]
    fn a_capability_that_was_shown_is_taken_out_of_the_whole_head() {
        const OTHER: &str = "/~00000000000000000000000000000000";
        for (target, expected) in [
            ("/~C/~C/a", "/a".to_owned()),
            (
                "/~C/a?u=http://h/~C/b&v=%7EC",
                "/a?u=http://h/b&v=".to_owned(),
            ),
            (&format!("/~C{OTHER}/~C"), OTHER.to_owned()),
        ] {
            let (shown, left, _) = taken(target, &[]);
            assert_eq!((&*shown, left), ("capability", expected), "{target}");
        }
        let headers = [("destination", "http://h/~CAP/b"), ("x-a", OTHER)];
        let (_, _, left) = taken("/~C/a", &headers);
        assert_eq!(left, ["destination: http://h/b", &format!("x-a: {OTHER}")]);
    }

    #[test]
    fn headers_that_identify_a_caller_are_taken_and_others_stay() {
        const SIGNED: &str = "SDK-HMAC-SHA256 Access=APXA, SignedHeaders=x-sdk-date, Signature=0";
        const DERIVED: &str =
            "V11-HMAC-SHA256 Credential=APXA/20261123/r/s, SignedHeaders=a, Signature=0";
        for (headers, shown, left) in [
            (&[("authorization", "Bearer apx_x")][..], "token true", 0),
            (&[("authorization", "bearer  apx_y")], "token false", 0),
            (&[("x-apig-proxy-token", "apx_x")], "token true", 0),
            (&[("authorization", SIGNED)], "signature", 0),
            (&[("authorization", DERIVED)], "signature", 0),
            (
                &[("authorization", "SDK-HMAC-SM3 Access=APX")],
                "signature",
                0,
            ),
            (
                &[("authorization", SIGNED), ("authorization", "Basic x")],
                "several",
                0,
            ),
            (
                &[("authorization", SIGNED), ("x-apig-proxy-token", "apx_x")],
                "several",
                0,
            ),
            (&[("authorization", "Bearer sk-x")], "nothing", 1),
            (&[("authorization", "Bearer")], "nothing", 1),
            (&[("authorization", "Basic apx_x")], "nothing", 1),
            (
                &[("authorization", "SDK-HMAC-SHA256 Access=AK")],
                "nothing",
                1,
            ),
            (&[("x-apig-proxy-token", "x")], "nothing", 1),
        ] {
            let found = taken("/", headers);
            assert_eq!((&*found.0, found.2.len()), (shown, left), "{headers:?}");
        }
        // All are taken, also those that do not count.
        let (shown, _, left) = taken("/~C/", &[("authorization", "Bearer apx_x")]);
        assert_eq!((&*shown, left.len()), ("capability", 0));
    }
}
