//! What of a head goes through, and what does not.
//!
//! Hop-by-hop headers end here (RFC 9110 §7.6.1): those of every `Connection` line, the line itself,
//! and those that were hop-by-hop before. From a request go also the headers that the proxy owns, from an
//! answer those that it sets anew. All of them go in every spelling that a server or a caller might fold
//! into them, so that nobody can smuggle in its own.

use super::loop_detection::HOP_HEADER;
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
const OWNED: [&str; 13] = [
    HOP_HEADER,
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

/// Headers of the gateway's that are not for the caller. The length is said anew, and Alt-Svc would send
/// the caller to the gateway itself, past the proxy.
const DROPPED: [&str; 2] = ["content-length", "alt-svc"];

/// Whether a name is one that the proxy owns. `_` counts as `-`, because gateways fold the two.
pub(super) fn is_owned(name: &[u8]) -> bool {
    is_one_of(&OWNED, name)
        || OWNED_PREFIXES
            .iter()
            .any(|prefix| begins_with(name, prefix))
}

/// Whether the caller gets the gateway's header of this name. Under the proxy's own names, only the proxy
/// says something.
pub(super) fn is_for_caller(name: &[u8]) -> bool {
    !is_one_of(&DROPPED, name) && !begins_with(name, OWN_PREFIX)
}

fn is_one_of(known: &[&str], name: &[u8]) -> bool {
    known.iter().any(|known| is_folded(name, known))
}

fn begins_with(name: &[u8], prefix: &str) -> bool {
    let start = name.get(..prefix.len());
    start.is_some_and(|start| is_folded(start, prefix))
}

/// Whether a name is `known`, whatever its case, and with `_` for `-`.
fn is_folded(name: &[u8], known: &str) -> bool {
    name.len() == known.len() && folded(name).eq(known.bytes())
}

fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(|byte| match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    })
}

/// Appends to `out` what of `fields` goes on: nothing that concerns one connection only, and nothing
/// that the proxy owns.
pub fn pass_unowned(fields: &Fields, out: &mut Vec<u8>) {
    pass_through(fields, out, |name| !is_owned(name));
}

/// Appends to `out` what of `fields` goes through: order, duplicates, spelling and bytes stay.
pub(super) fn pass_through(fields: &Fields, out: &mut Vec<u8>, keeps: impl Fn(&[u8]) -> bool) {
    let named = named(fields);
    let is_named = |name: &[u8]| {
        let of = |option: &&[u8]| folded(option).cmp(folded(name));
        named.binary_search_by(of).is_ok()
    };
    for field in fields.iter() {
        if !is_one_of(&HOP_BY_HOP, field.name) && !is_named(field.name) && keeps(field.name) {
            push_field(out, field.name, field.value);
        }
    }
}

/// The names in `Connection` that are not dropped anyway. They are in order, because a head may name
/// thousands.
fn named(fields: &Fields) -> Vec<&[u8]> {
    let is_known =
        |option: &[u8]| option.eq_ignore_ascii_case(b"close") || is_one_of(&HOP_BY_HOP, option);
    let options = fields.elements("connection");
    let mut named: Vec<&[u8]> = options.filter(|option| !is_known(option)).collect();
    named.sort_unstable_by(|one, other| folded(one).cmp(folded(other)));
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::RequestHead;

    fn passed(fields: &[u8]) -> Vec<u8> {
        let head = [b"GET / HTTP/1.1\r\n", fields, b"\r\n"].concat();
        let head = RequestHead::parse(&head.into()).unwrap();
        let mut out = Vec::new();
        pass_unowned(&head.fields, &mut out);
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
    fn what_ends_here_does_so_in_every_spelling() {
        for name in [
            "Transfer_Encoding",
            "proxy_authorization",
            "Proxy-authenticate",
            "KEEP_ALIVE",
            "Proxy_Connection",
        ] {
            assert_eq!(passed(format!("{name}: 1\r\n").as_bytes()), b"", "{name}");
        }
        let fields = b"Connection: x-a, X_B, x-, close\r\nx_A: 1\r\nx-b: 1\r\nx-aa: 1\r\nx: 1\r\n";
        assert_eq!(passed(fields), b"x-aa: 1\r\nx: 1\r\n");
    }

    #[test]
    fn every_one_of_many_names_ends_here() {
        let names = (0..9000).map(|number| format!("x-{number}"));
        let names: Vec<String> = names.collect();
        let fields: String = (8950..9040).map(|n| format!("X_{n}: 1\r\n")).collect();
        let fields = format!("Connection: {}\r\n{fields}", names.join(","));
        let expected: String = (9000..9040).map(|n| format!("X_{n}: 1\r\n")).collect();
        assert_eq!(passed(fields.as_bytes()), expected.as_bytes());
    }

    #[test]
    fn length_alternatives_and_own_names_are_not_for_the_caller() {
        for name in [
            "Content-Length",
            "content_length",
            "Alt_Svc",
            "x-apig_proxy-hint",
        ] {
            assert!(!is_for_caller(name.as_bytes()), "{name}");
        }
        assert!(is_for_caller(b"content-type") && is_for_caller(b"x-apig-hint"));
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
            "apig-proxy-hop",
            "Apig_Proxy-Hop",
        ] {
            assert_eq!(passed(format!("{name}: 1\r\n").as_bytes()), b"", "{name}");
        }
        assert_eq!(passed(b"x-forwarded: 1\r\n"), b"x-forwarded: 1\r\n");
    }
}
