//! Filters headers, in both directions.
//!
//! Hop-by-hop headers are dropped (RFC 9110 §7.6.1): `Connection`, every name in it, and a fixed
//! list. The headers that the proxy sets itself are dropped too. A `_` in a name counts as `-`,
//! because gateways fold the two.
//!
//! # What can go wrong
//!
//! [`HeaderMap::remove`] moves the last entry into the gap, so a head is always copied into a new map.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Route;
pub(super) use crate::config::owned_headers::is_owned;
use crate::config::owned_headers::{OWN_PREFIX, folded, has_prefix, is_hop_by_hop, is_one_of};

/// Response headers that are dropped: hyper frames the body itself, and `Alt-Svc` would send the
/// caller to the gateway itself, past the proxy.
const DROPPED: [&str; 2] = ["content-length", "alt-svc"];

/// True if a response header of this name is passed to the caller.
pub(crate) fn is_for_caller(name: &str) -> bool {
    !is_one_of(&DROPPED, name.as_bytes()) && !has_prefix(name, OWN_PREFIX)
}

/// Appends the headers of a request that go to any gateway.
pub fn pass_request(from: &HeaderMap, to: &mut HeaderMap) {
    pass(from, to, |name| !is_owned(name));
}

/// Appends the headers of a request that go to the gateway of a route, after those that the route
/// sets itself: a gateway may read the first hundred only. Their values may be secrets, so HTTP/2
/// keeps them in no table.
pub(super) fn pass_to(route: &Route, from: &HeaderMap, to: &mut HeaderMap) {
    let mut set = |name: &HeaderName, value: &HeaderValue| {
        let mut value = value.clone();
        value.set_sensitive(true);
        to.append(name, value);
    };
    for (name, value) in &route.headers {
        set(name, value);
    }
    if let Some(name) = &route.forward_authorization_as {
        for authorization in from.get_all(AUTHORIZATION) {
            set(name, authorization);
        }
    }
    let set: Vec<&str> = route.set_headers().map(HeaderName::as_str).collect();
    pass_unset(&set, from, to);
}

/// Appends the headers of a request, or its trailers, that go to the gateway of a route which sets
/// these.
pub(super) fn pass_unset(set: &[&str], from: &HeaderMap, to: &mut HeaderMap) {
    pass(from, to, |name| {
        !is_owned(name) && !is_one_of(set, name.as_bytes())
    });
}

/// Appends the end-to-end headers that `keep` accepts, all values of a name in their order.
pub(super) fn pass(from: &HeaderMap, to: &mut HeaderMap, keep: impl Fn(&str) -> bool) {
    let options = elements(from, &CONNECTION);
    // Sorted, because a head may name thousands.
    let mut named: Vec<&[u8]> = options
        .filter(|option| !is_hop_by_hop(option) && !option.eq_ignore_ascii_case(b"close"))
        .collect();
    named.sort_unstable_by(|one, other| folded(one).cmp(folded(other)));
    for (name, value) in from {
        let bytes = name.as_str().as_bytes();
        let compare = |option: &&[u8]| folded(option).cmp(folded(bytes));
        let is_dropped = is_hop_by_hop(bytes) || named.binary_search_by(compare).is_ok();
        if !is_dropped && keep(name.as_str()) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// The value of a header that occurs exactly once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The trimmed elements of a comma-separated list, over all lines of a header.
pub(crate) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// True if a list has an element, in any case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, element: &str) -> bool {
    elements(headers, name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
}

/// True if a message is gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    only(headers, &CONTENT_TYPE).is_some_and(|value| is_grpc_type(essence(value)))
}

/// True for `application/grpc`, also with a `+` suffix.
pub(super) fn is_grpc_type(essence: &str) -> bool {
    let (start, rest) = essence.split_at_checked(16).unwrap_or_default();
    start.eq_ignore_ascii_case("application/grpc") && (rest.is_empty() || rest.starts_with('+'))
}

/// The type and subtype of a media type, without parameters; empty if it is not text.
pub(super) fn essence(value: &HeaderValue) -> &str {
    let text = str::from_utf8(value.as_bytes()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_upstream;

    /// The headers of a request, and those that are passed on.
    const PASSED: &str = "
        x-a: 2; accept: */*; x-a: é; x_c: 3 => x-a: 2; x-a: é; accept: */*; x_c: 3
        connection: keep-alive, x-a; connection: X-B,, ; x-a: 1; x-b: 1; te: trailers; x-c: 1 => x-c: 1
        connection: x-a, X_B, x-, close; x_a: 1; x-b: 1; x-aa: 1; x: 1 => x-aa: 1; x: 1
        Transfer_Encoding: 1; Keep_Alive: 1; http2-settings: 1; x-forwarded: 1 => x-forwarded: 1
        x-forwarded-for: 1; x_Forwarded_host: 1; x-apig-proxy-token: 1; a: 1 => a: 1
    ";

    fn headers(lines: &str) -> HeaderMap {
        let pairs = lines.split("; ").map(|line| line.split_once(": ").unwrap());
        let pair = |(name, value): (&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        pairs.map(pair).collect()
    }

    fn text(headers: &HeaderMap) -> String {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            let mark = if value.is_sensitive() { "secret " } else { "" };
            format!(
                "{name}: {mark}{}",
                str::from_utf8(value.as_bytes()).unwrap()
            )
        };
        headers.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn end_to_end_headers_pass_with_all_values_in_their_order() {
        let passed = |lines: &str| {
            let mut passed = HeaderMap::new();
            pass_request(&headers(lines), &mut passed);
            text(&passed)
        };
        for row in PASSED.trim().lines() {
            let (lines, expected) = row.trim().split_once(" => ").unwrap();
            assert_eq!(passed(lines), expected, "{lines}");
        }
    }

    #[test]
    fn a_route_sets_its_headers_and_moves_authorization_whatever_the_caller_sends() {
        let config = with_upstream("https://gateway.example");
        let mut route = config.unwrap().routes.remove(0);
        let name = HeaderName::from_static;
        route.headers = vec![(name("x-tenant"), HeaderValue::from_static("blue"))];
        route.forward_authorization_as = Some(name("x-original"));
        let received = "authorization: own; x-tenant: red; x_original: forged; accept: */*";
        let mut passed = HeaderMap::new();
        pass_to(&route, &headers(received), &mut passed);
        let expected = "x-tenant: secret blue; x-original: secret own; accept: */*";
        assert_eq!(text(&passed), expected);
    }

    #[test]
    fn names_and_media_types_are_known_in_each_spelling() {
        for name in "content-length content_length alt_svc x-apig_proxy-hint".split(' ') {
            assert!(!is_for_caller(name), "{name}");
        }
        assert!(is_for_caller("content-type") && is_for_caller("x-apig-hint"));
        for (value, expected) in [
            ("Application/GRPC+proto", true),
            ("application/grpc; a=b", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
        ] {
            let value = HeaderValue::from_static(value);
            assert_eq!(is_grpc_type(essence(&value)), expected, "{value:?}");
        }
    }
}
