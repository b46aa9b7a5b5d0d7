//! What of a head goes through, and what does not.
//!
//! Hop-by-hop headers end here (RFC 9110 §7.6.1): those of every `Connection` line, the line itself,
//! and those that were hop-by-hop before. From a request go also the headers that the proxy owns, in
//! every spelling that a server behind might fold into them, so that a caller cannot smuggle in its own.

use http::header::{
    CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// Headers that concern one connection only, named in `Connection` or not.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that the proxy sets itself, or that only a proxy may set.
const OWNED: [&str; 12] = [
    "host",
    "authorization",
    "content-length",
    // Answered here: nothing of it is left for the gateway.
    "expect",
    "forwarded",
    "x-sdk-date",
    "x-sdk-content-sha256",
    "x-security-token",
    "x-auth-token",
    "x-apig-appcode",
    "x-stage",
    "x-project-id",
];

/// Beginnings of further names that the proxy owns.
const OWNED_PREFIXES: [&str; 2] = ["x-forwarded-", "x-apig-proxy-"];

/// The elements of a comma-separated header, over all its lines, trimmed.
pub(super) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Whether a name is one that the proxy owns. `_` counts as `-`, because gateways fold the two.
pub(super) fn is_owned(name: &HeaderName) -> bool {
    let name = name.as_str();
    let folded;
    let name = if name.contains('_') {
        folded = name.replace('_', "-");
        &folded
    } else {
        name
    };
    OWNED.contains(&name) || OWNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Appends to `out` what of `headers` goes through: order within a name, duplicates and bytes stay.
pub(super) fn pass_through(
    headers: HeaderMap,
    out: &mut HeaderMap,
    keeps: impl Fn(&HeaderName) -> bool,
) {
    let named: Vec<HeaderName> = elements(&headers, &CONNECTION)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    let mut current: Option<HeaderName> = None;
    for (name, value) in headers {
        // A name comes with its first value only; the values after it are of the same name.
        if let Some(name) = name {
            let passes = !HOP_BY_HOP.contains(&name) && !named.contains(&name) && keeps(&name);
            current = passes.then_some(name);
        }
        if let Some(name) = &current {
            append(out, name, value);
        }
    }
}

fn append(out: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    out.append(name.clone(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(headers: &[(&'static str, &'static [u8])]) -> Vec<(String, Vec<u8>)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let mut out = HeaderMap::new();
        pass_through(map, &mut out, |name| !is_owned(name));
        out.iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn duplicates_and_bytes_that_are_not_ascii_go_through_in_order() {
        let headers: [(&str, &[u8]); 4] = [
            ("x-a", b"1"),
            ("accept", b"*/*"),
            ("x-b", b"\xe9\xff"),
            ("x_c", b"3"),
        ];
        let expected: Vec<_> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.to_vec()))
            .collect();
        assert_eq!(passed(&headers), expected);
        let twice = passed(&[("x-a", b"2"), ("x-b", b"x"), ("x-a", b"1")]);
        assert_eq!(twice[0].1, b"2");
        assert_eq!(twice[1].1, b"1");
    }

    #[test]
    fn every_connection_line_and_every_name_in_it_ends_here() {
        let headers: [(&str, &[u8]); 6] = [
            ("connection", b"keep-alive, x-a"),
            ("connection", b"X-B"),
            ("x-a", b"1"),
            ("x-b", b"1"),
            ("te", b"trailers"),
            ("x-c", b"1"),
        ];
        assert_eq!(passed(&headers), [("x-c".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn headers_of_the_proxy_s_own_are_dropped_in_every_spelling() {
        for name in [
            "host",
            "authorization",
            "x-sdk-date",
            "x_sdk_date",
            "X-Sdk-Content-Sha256",
            "x-security_token",
            "x-auth-token",
            "x-apig-appcode",
            "x-stage",
            "x_stage",
            "x-project-id",
            "content-length",
            "content_length",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_host",
            "x-apig-proxy-token",
            "expect",
        ] {
            let mut map = HeaderMap::new();
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static("1"),
            );
            let mut out = HeaderMap::new();
            pass_through(map, &mut out, |name| !is_owned(name));
            assert!(out.is_empty(), "{name}");
        }
    }
}
