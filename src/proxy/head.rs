//! What of a head goes through, and what does not.
//!
//! Hop-by-hop headers end here (RFC 9110 §7.6.1): those of every `Connection` line, the line itself,
//! and those that were hop-by-hop before. From a request go also the headers that the proxy owns, in
//! every spelling that a server behind might fold into them, so that a caller cannot smuggle in its own.

use crate::http1::{Fields, push_field};

/// Headers that concern one connection only, named in `Connection` or not.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
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
const OWNED_PREFIXES: [&str; 2] = ["x-forwarded-", OWN_PREFIX];

/// Beginning of the names of which the proxy is the only source, in both directions.
const OWN_PREFIX: &str = "x-apig-proxy-";

/// Whether a name is one that the proxy owns. `_` counts as `-`, because gateways fold the two.
pub(super) fn is_owned(name: &str) -> bool {
    OWNED.iter().any(|owned| is_folded(name, owned))
        || OWNED_PREFIXES
            .iter()
            .any(|prefix| begins_with(name, prefix))
}

/// Whether only the proxy says something under this name.
pub(super) fn is_own(name: &str) -> bool {
    begins_with(name, OWN_PREFIX)
}

fn begins_with(name: &str, prefix: &str) -> bool {
    let start = name.get(..prefix.len());
    start.is_some_and(|start| is_folded(start, prefix))
}

/// Whether a name is `known`, whatever its case, and with `_` for `-`.
fn is_folded(name: &str, known: &str) -> bool {
    let fold = |byte: u8| match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    };
    name.len() == known.len() && name.bytes().map(fold).eq(known.bytes())
}

/// Appends to `out` what of `fields` goes through: order, duplicates, spelling and bytes stay.
pub(super) fn pass_through(fields: &Fields, out: &mut Vec<u8>, keeps: impl Fn(&str) -> bool) {
    let named: Vec<&[u8]> = fields.elements("connection").collect();
    for field in fields.iter() {
        let is_named = || {
            let name = field.name.as_bytes();
            named.iter().any(|option| option.eq_ignore_ascii_case(name))
        };
        let is_hop_by_hop = HOP_BY_HOP.iter().any(|name| field.is(name));
        if !is_hop_by_hop && !is_named() && keeps(field.name) {
            push_field(out, field.name, field.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestHead;

    fn passed(fields: &[u8]) -> Vec<u8> {
        let head = [b"GET / HTTP/1.1\r\n", fields, b"\r\n"].concat();
        let head = RequestHead::parse(&head.into()).unwrap();
        let mut out = Vec::new();
        pass_through(&head.fields, &mut out, |name| !is_owned(name));
        out
    }

    #[test]
    fn order_duplicates_spelling_and_bytes_that_are_not_ascii_stay() {
        let fields = b"X-A: 2\r\naccept: */*\r\nX-B: \xe9\xff\r\nx_c: 3\r\nX-A: 1\r\nx-a: \r\n";
        assert_eq!(passed(fields), fields);
    }

    #[test]
    fn every_connection_line_and_every_name_in_it_ends_here() {
        let fields = b"connection: keep-alive, x-a\r\nConnection: X-B,, \r\nX-A: 1\r\nx-b: 1\r\nTE: trailers\r\nx-c: 1\r\n";
        assert_eq!(passed(fields), b"x-c: 1\r\n");
    }

    #[test]
    fn headers_of_the_proxy_s_own_are_dropped_in_every_spelling() {
        for name in [
            "host",
            "Authorization",
            "x-sdk-date",
            "x_sdk_date",
            "X-Sdk-Content-Sha256",
            "x-security_token",
            "x-auth-token",
            "x-apig-appcode",
            "x-stage",
            "X_STAGE",
            "x-project-id",
            "content_length",
            "forwarded",
            "x-forwarded-for",
            "x_Forwarded_host",
            "x-apig-proxy-token",
            "expect",
        ] {
            assert_eq!(passed(format!("{name}: 1\r\n").as_bytes()), b"", "{name}");
        }
        assert_eq!(passed(b"x-forwarded: 1\r\n"), b"x-forwarded: 1\r\n");
    }
}
