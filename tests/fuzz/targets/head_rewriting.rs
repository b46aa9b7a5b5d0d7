//! Of a caller's headers, none that frames, authenticates or routes a request reaches the gateway, in no
//! spelling that something on the way might fold into one; and all others do, as they came.
//!
//! The input is lines of a head, each with its end.

use apig_proxy::http1::RequestHead;
use apig_proxy::proxy::pass_unowned;

/// Names that only the proxy sets, or that concern one connection only. Said again here, so that one
/// that is lost in the program is missed.
const FORBIDDEN: [&str; 22] = [
    "apig-proxy-hop",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
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
    "x-project-id",
    "x-sdk-content-sha256",
    "x-sdk-date",
    "x-security-token",
    "x-stage",
];

const FORBIDDEN_PREFIXES: [&str; 2] = ["x-apig-proxy-", "x-forwarded-"];

pub(crate) fn target(data: &[u8]) {
    let Some(head) = parsed(data) else { return };
    let mut passed = Vec::new();
    pass_unowned(&head.fields, &mut passed);
    let out = parsed(&passed).expect("what goes through can be read");

    let named: Vec<Vec<u8>> = head.fields.all("connection").flat_map(listed).collect();
    let is_forbidden = |name: &[u8]| {
        let folded = String::from_utf8_lossy(name)
            .to_ascii_lowercase()
            .replace('_', "-");
        FORBIDDEN.contains(&folded.as_str())
            || FORBIDDEN_PREFIXES
                .iter()
                .any(|prefix| folded.starts_with(prefix))
            || named.contains(&folded.into_bytes())
    };
    for field in out.fields.iter() {
        assert!(!is_forbidden(field.name), "{field:?}");
    }
    let expected = head.fields.iter().filter(|field| !is_forbidden(field.name));
    assert!(out.fields.iter().eq(expected), "{}", passed.escape_ascii());
}

fn parsed(fields: &[u8]) -> Option<RequestHead> {
    let head = [b"POST / HTTP/1.1\r\n", fields, b"\r\n"].concat();
    RequestHead::parse(&head.into()).ok()
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
