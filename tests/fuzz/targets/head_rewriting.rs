//! Of a caller's headers, none that frames, authenticates or routes a request reaches the gateway, in no
//! spelling that something on the way might fold into one; and all others do, all values of a name in their order.
//!
//! The input is lines of a head, each with its end.

use apig_proxy::proxy::pass_request;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Names that only the proxy sets, or that concern one connection only. Said again here, so that one
/// that is lost in the program is missed.
const FORBIDDEN: [&str; 27] = [
    "apig-proxy-hop",
    "apikey",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-apig-appcode",
    "x-auth-token",
    "x-hw-appkey",
    "x-hw-id",
    "x-project-id",
    "x-sdk-content-sha256",
    "x-sdk-content-sm3",
    "x-sdk-date",
    "x-security-token",
    "x-stage",
];

const FORBIDDEN_PREFIXES: [&str; 2] = ["x-apig-proxy-", "x-forwarded-"];

pub(crate) fn target(data: &[u8]) {
    let headers = parsed(data);
    let mut passed = HeaderMap::new();
    pass_request(&headers, &mut passed);

    let connection = headers.get_all("connection").into_iter();
    // `close` is an option and names no header (RFC 9110, section 7.6.1).
    let named: Vec<Vec<u8>> = connection
        .flat_map(|value| listed(value.as_bytes()))
        .filter(|option| option != b"close")
        .collect();
    let is_forbidden = |name: &HeaderName| {
        let folded = name.as_str().replace('_', "-");
        FORBIDDEN.contains(&folded.as_str())
            || FORBIDDEN_PREFIXES
                .iter()
                .any(|prefix| folded.starts_with(prefix))
            || named.contains(&folded.into_bytes())
    };
    let expected = headers.iter().filter(|(name, _)| !is_forbidden(name));
    assert!(passed.iter().eq(expected), "{passed:?} of {headers:?}");
}

/// The lines that are headers.
fn parsed(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// The elements of a list, as names are compared.
fn listed(value: &[u8]) -> Vec<Vec<u8>> {
    let elements = value.split(|byte| *byte == b',');
    elements
        .map(|element| {
            let mut element = element.trim_ascii().to_ascii_lowercase();
            element
                .iter_mut()
                .filter(|byte| **byte == b'_')
                .for_each(|byte| *byte = b'-');
            element
        })
        .collect()
}
