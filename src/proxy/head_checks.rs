//! Checks of the head of a request that need no route.

use std::borrow::Cow;

use http::header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version, request};

use super::headers;
use crate::config::Methods;
use crate::config::owned_headers::is_one_of;
use crate::error::Error;

/// The most fields of an HTTP/2 head. hyper has the same limit for HTTP/1.1.
const MAX_FIELDS: usize = 100;

const METHOD_HEADERS: [&str; 3] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// hyper takes any transfer codings that end in `chunked` but decodes `chunked` only, so the body
/// would still be encoded.
pub(super) fn check_framing(head: &request::Parts) -> Result<(), Error> {
    if head.version == Version::HTTP_2 && head.headers.len() > MAX_FIELDS {
        return Err(Error::HeaderTooLarge);
    }
    let codings = head.headers.get_all(TRANSFER_ENCODING);
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.iter().count() > 1 || !codings.iter().all(is_chunked) {
        let error = "the only supported Transfer-Encoding is one `chunked`";
        return Err(Error::BadRequest(error));
    }
    Ok(())
}

/// Path and query; `None` if the target has another form, or another scheme than the connection.
pub(super) fn target(head: &request::Parts, is_tls: bool) -> Option<Cow<'_, str>> {
    let uri = &head.uri;
    let is_other_scheme = match uri.scheme_str() {
        // Over HTTP/2 every target is absolute, and the scheme need not be that of the connection.
        _ if head.version == Version::HTTP_2 => false,
        Some(scheme) => scheme != if is_tls { "https" } else { "http" },
        None => uri.authority().is_some(),
    };
    let target = uri.path_and_query()?.as_str();
    match target.as_bytes().first() {
        _ if is_other_scheme => None,
        Some(b'/') => Some(target.into()),
        // The path of an absolute URL may be empty.
        Some(b'?') => Some(format!("/{target}").into()),
        _ => None,
    }
}

/// True if a header names a method. Some backends follow it instead of the method.
pub(super) fn names_method(headers: &HeaderMap) -> bool {
    let mut names = headers.keys();
    names.any(|name| is_one_of(&METHOD_HEADERS, name.as_str().as_bytes()))
}

/// Checks that a method is one of these.
pub(super) fn check_method(methods: &Methods, method: &Method) -> Result<(), Error> {
    let is_allowed = match methods {
        Methods::Only(methods) => methods.contains(method),
        // A tunnel would let the caller choose the destination.
        Methods::Any => *method != Method::CONNECT,
    };
    if !is_allowed {
        let allow = methods.names();
        return Err(Error::MethodNotAllowed { allow });
    }
    // SDKs differ in whether they sign other methods in capitals or as they are.
    let mut letters = method.as_str().bytes();
    if letters.any(|byte| byte.is_ascii_lowercase()) {
        let error = "the method is not one word in capital letters";
        return Err(Error::BadRequest(error));
    }
    Ok(())
}

/// Returns true for the handshake of a WebSocket. Other protocols are refused, except that `h2c` is
/// ignored, as a server may (RFC 9110 §7.8).
pub(super) fn check_upgrade(head: &request::Parts, declared: Option<u64>) -> Result<bool, Error> {
    let is_h2c = |protocol: &[u8]| protocol.eq_ignore_ascii_case(b"h2c");
    let mut protocols = headers::elements(&head.headers, &UPGRADE).filter(|p| !is_h2c(p));
    let Some(protocol) = protocols.next() else {
        return Ok(false);
    };
    let is_asked = headers::lists(&head.headers, &CONNECTION, "upgrade");
    if !is_asked || head.version != Version::HTTP_11 {
        return Ok(false);
    }
    if !protocol.eq_ignore_ascii_case(b"websocket") || protocols.next().is_some() {
        return Err(Error::UpgradeNotSupported);
    }
    if head.method != Method::GET || declared != Some(0) {
        let error = "a WebSocket begins with a GET without a body";
        return Err(Error::BadRequest(error));
    }
    Ok(true)
}

/// Checks that nothing but `100-continue` is expected.
pub(super) fn check_expectations(headers: &HeaderMap) -> Result<(), Error> {
    let is_known = |expected: &[u8]| expected.eq_ignore_ascii_case(b"100-continue");
    match headers::elements(headers, &EXPECT).all(is_known) {
        true => Ok(()),
        false => Err(Error::ExpectationFailed),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn only_paths_and_absolute_targets_of_the_right_scheme_have_a_path() {
        for (uri, version, is_tls, expected) in [
            ("//a/b", Version::HTTP_11, false, Some("//a/b")),
            ("HTTP://h", Version::HTTP_11, false, Some("/")),
            ("http://h?b", Version::HTTP_11, false, Some("/?b")),
            ("https://h/a", Version::HTTP_11, false, None),
            ("h:443", Version::HTTP_11, false, None),
            ("https://h/a", Version::HTTP_11, true, Some("/a")),
            ("http://h/a", Version::HTTP_11, true, None),
            ("https://h/a", Version::HTTP_2, false, Some("/a")),
        ] {
            let request = Request::builder().uri(uri).version(version).body(());
            let (head, ()) = request.unwrap().into_parts();
            let found = target(&head, is_tls);
            assert_eq!(found.as_deref(), expected, "{uri} {version:?}");
        }
    }
}
