//! Which headers pass the proxy, in both directions.
//!
//! Hop-by-hop headers end here (RFC 9110 §7.6.1): every `Connection` line, the names in it, and those
//! that were hop-by-hop before. From a request the headers that the proxy owns are dropped too, and from
//! an answer those that it sets anew. A `_` in a name counts as `-`, because gateways fold the two.
//!
//! # What can go wrong
//!
//! [`HeaderMap::remove`] moves the last entry into the gap, so heads are built anew and never cut down.

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers that concern one connection only, whether `Connection` names them or not.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Request headers that the proxy sets itself, or that only a proxy may set.
const OWNED: [&str; 17] = [
    "apig-proxy-hop",
    "apikey",
    "authorization",
    "content-length",
    // Answered by the proxy: nothing of it is left for the gateway.
    "expect",
    "forwarded",
    "host",
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

/// Beginnings of further names that the proxy owns.
const OWNED_PREFIXES: [&str; 2] = ["x-forwarded-", OWN_PREFIX];

/// Beginning of the names that only the proxy sets, in both directions.
const OWN_PREFIX: &str = "x-apig-proxy-";

/// Headers of answers that are not passed on. hyper frames the answer anew, and `Alt-Svc` would send the
/// caller to the gateway itself, past the proxy.
const DROPPED: [&str; 2] = ["content-length", "alt-svc"];

/// Whether the proxy owns a request header of this name.
pub(super) fn is_owned(name: &str) -> bool {
    is_one_of(&OWNED, name) || OWNED_PREFIXES.iter().any(|own| has_prefix(name, own))
}

/// Whether an answer's header of this name is passed on.
pub(super) fn is_for_caller(name: &str) -> bool {
    !is_one_of(&DROPPED, name) && !has_prefix(name, OWN_PREFIX)
}

/// Appends to `to` what of a caller's headers goes to the gateway.
pub fn pass_request(from: &HeaderMap, to: &mut HeaderMap) {
    pass(from, to, |name| !is_owned(name));
}

/// Appends to `to` the headers that pass: all values of a name in their order.
pub(super) fn pass(from: &HeaderMap, to: &mut HeaderMap, keep: impl Fn(&str) -> bool) {
    let named = connection_names(from);
    let is_named = |name: &str| {
        let compare = |option: &&[u8]| folded(option).cmp(folded(name.as_bytes()));
        !named.is_empty() && named.binary_search_by(compare).is_ok()
    };
    for (name, value) in from {
        let text = name.as_str();
        if !is_one_of(&HOP_BY_HOP, text) && !is_named(text) && keep(text) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// The names in `Connection` that are not dropped anyway, sorted, because a head may name thousands.
fn connection_names(headers: &HeaderMap) -> Vec<&[u8]> {
    let is_known = |option: &[u8]| {
        option.eq_ignore_ascii_case(b"close")
            || HOP_BY_HOP
                .iter()
                .any(|known| folded(option).eq(known.bytes()))
    };
    let options = elements(headers, &CONNECTION);
    let mut named: Vec<&[u8]> = options.filter(|option| !is_known(option)).collect();
    named.sort_unstable_by(|one, other| folded(one).cmp(folded(other)));
    named
}

/// The value of a name that is there exactly once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The elements of a comma-separated list, over all lines of a name, without blanks.
pub(crate) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether a list has an element, whatever its case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, element: &str) -> bool {
    elements(headers, name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
}

/// Whether a message is gRPC: `application/grpc`, with a `+` suffix or parameters.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    only(headers, &CONTENT_TYPE).is_some_and(|value| is_grpc_type(essence(value)))
}

/// Whether a media type is gRPC's.
pub(super) fn is_grpc_type(essence: &str) -> bool {
    let rest = essence
        .get(..16)
        .filter(|start| start.eq_ignore_ascii_case("application/grpc"));
    rest.is_some() && matches!(essence.as_bytes().get(16), None | Some(b'+'))
}

/// The type and subtype of a media type, without parameters; empty if it is not text.
pub(super) fn essence(value: &HeaderValue) -> &str {
    let text = str::from_utf8(value.as_bytes()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

fn is_one_of(known: &[&str], name: &str) -> bool {
    known.iter().any(|known| is_folded(name, known))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| is_folded(start, prefix))
}

/// Whether a name, which is in lower case, is `known`, with `_` for `-`.
fn is_folded(name: &str, known: &str) -> bool {
    name.len() == known.len() && folded(name.as_bytes()).eq(known.bytes())
}

fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(|byte| match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// What passes, as `name: value`.
    fn passed(lines: &[(&str, &str)]) -> Vec<String> {
        let mut passed = HeaderMap::new();
        pass_request(&headers(lines), &mut passed);
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        passed.iter().map(line).collect()
    }

    #[test]
    fn all_values_of_a_name_pass_in_their_order_with_every_byte() {
        let lines = [
            ("x-a", "2"),
            ("accept", "*/*"),
            ("x-a", "1"),
            ("x_c", "3"),
            ("x-a", ""),
        ];
        let expected = ["x-a: 2", "x-a: 1", "x-a: ", "accept: */*", "x_c: 3"];
        assert_eq!(passed(&lines), expected);
        let mut from = HeaderMap::new();
        from.append("x-b", HeaderValue::from_bytes(b"\xe9\xff").unwrap());
        let mut to = HeaderMap::new();
        pass_request(&from, &mut to);
        assert_eq!(to["x-b"].as_bytes(), b"\xe9\xff");
    }

    #[test]
    fn every_connection_line_and_every_name_in_it_ends_here() {
        let lines = [
            ("connection", "keep-alive, x-a"),
            ("connection", "X-B,, "),
            ("x-a", "1"),
            ("x-b", "1"),
            ("te", "trailers"),
            ("x-c", "1"),
        ];
        assert_eq!(passed(&lines), ["x-c: 1"]);
    }

    #[test]
    fn hop_by_hop_headers_end_here_in_every_spelling() {
        for name in [
            "Transfer_Encoding",
            "proxy_authorization",
            "Proxy-authenticate",
            "KEEP_ALIVE",
            "Proxy_Connection",
            "http2-settings",
        ] {
            assert!(passed(&[(name, "1")]).is_empty(), "{name}");
        }
        let lines = [
            ("connection", "x-a, X_B, x-, close"),
            ("x_a", "1"),
            ("x-b", "1"),
            ("x-aa", "1"),
            ("x", "1"),
        ];
        assert_eq!(passed(&lines), ["x-aa: 1", "x: 1"]);
    }

    #[test]
    fn every_one_of_many_names_in_connection_ends_here() {
        let names: Vec<String> = (0..9000).map(|number| format!("x-{number}")).collect();
        let named = names.join(",");
        let own: Vec<String> = (8950..9040).map(|number| format!("x_{number}")).collect();
        let mut lines = vec![("connection", named.as_str())];
        lines.extend(own.iter().map(|name| (name.as_str(), "1")));
        let expected: Vec<String> = (9000..9040)
            .map(|number| format!("x_{number}: 1"))
            .collect();
        assert_eq!(passed(&lines), expected);
    }

    #[test]
    fn framing_alternatives_and_own_names_are_not_for_the_caller() {
        for name in [
            "content-length",
            "content_length",
            "alt_svc",
            "x-apig_proxy-hint",
        ] {
            assert!(!is_for_caller(name), "{name}");
        }
        assert!(is_for_caller("content-type") && is_for_caller("x-apig-hint"));
    }

    #[test]
    fn headers_that_the_proxy_owns_are_dropped_in_every_spelling() {
        for known in OWNED {
            for name in [
                known.to_owned(),
                known.to_ascii_uppercase(),
                known.replace('-', "_"),
            ] {
                assert!(passed(&[(&name, "1")]).is_empty(), "{name}");
            }
        }
        for name in ["x-forwarded-for", "x_Forwarded_host", "x-apig-proxy-token"] {
            assert!(passed(&[(name, "1")]).is_empty(), "{name}");
        }
        assert_eq!(passed(&[("x-forwarded", "1")]), ["x-forwarded: 1"]);
    }

    #[test]
    fn grpc_is_known_by_its_media_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/GRPC+proto", true),
            ("application/grpc; charset=x", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(
                is_grpc(&headers(&[("content-type", value)])),
                expected,
                "{value}"
            );
        }
    }
}
