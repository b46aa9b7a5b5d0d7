//! What the proxy has changed, and why.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// Name, kind and reason of each change.
fn texts(changes: &Value) -> Vec<String> {
    let list = changes.as_array().unwrap().iter();
    list.map(|one| {
        let [name, kind, reason] = ["name", "kind", "reason"].map(|key| one[key].as_str().unwrap());
        format!("{name} {kind}: {reason}")
    })
    .collect()
}

#[test]
fn each_field_is_kept_dropped_replaced_or_set_by_a_rule() {
    let received = "POST /flowers/a HTTP/1.1
        host: 127.0.0.1:8080
        connection: keep-alive, X-Hop
        x-hop: 1
        x_hop: 2
        transfer_encoding: chunked
        expect: 100-continue
        x_stage: TEST
        x-auth-token: ‹x-auth-token, 9 bytes, sha256 00000000›
        x-forwarded-for: 10.0.0.7
        content-length: 2
        accept: */*
        x-a: 1
        x-a: 2
        x-tenant: red
        origin: http://127.0.0.1:8080
        x-project-id: p";
    let sent = "POST /v1/x/a HTTP/1.1
        host: gw.example
        content-length: 2
        x-stage: RELEASE
        apig-proxy-hop: 1;1a
        x-project-id: p
        x-sdk-date: 20261123T080000Z
        authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=‹x›
        x-tenant: blue
        accept: */*
        x-a: 1
        x-a: 2
        origin: https://gw.example";
    let expected = [
        "host rewritten: upstream",
        "connection dropped: hop-by-hop",
        "x-hop dropped: named by Connection",
        "x_hop dropped: named by Connection",
        "transfer_encoding dropped: hop-by-hop",
        "expect dropped: expectation",
        "x_stage dropped: owned by the proxy",
        "x-auth-token dropped: owned by the proxy",
        "x-forwarded-for dropped: owned by the proxy",
        "content-length kept: passed on",
        "accept kept: passed on",
        "x-a kept: passed on",
        "x-a kept: passed on",
        "x-tenant rewritten: set by the route",
        "origin rewritten: page origin",
        "x-project-id kept: passed on",
        "x-stage set: stage",
        "apig-proxy-hop set: loop detection",
        "x-sdk-date set: signature",
        "authorization set: signature",
    ];
    let detail = detail_of(vec![beginning(received), routed(""), attempt(sent)]);
    assert_eq!(texts(&detail["changes"])[1..], expected);
}

#[test]
fn the_request_line_is_respelt_and_its_prefix_replaced() {
    for [received, sent, kind, reason] in rows(
        "/flowers/a | /v1/x/a | rewritten | route
        /flowers/a?q=x+y | /v1/x/a?q=x%20y | rewritten | encoding, route
        /a?b;c | /a?b%3Bc | rewritten | encoding
        /a?token=‹token, 5 bytes, sha256 00›&b+ | /a?token=‹token, 5 bytes, sha256 00›&b%20 | rewritten | encoding
        http://h/a | /a | rewritten | absolute form
        /a?b | /a?b | kept | passed on",
    ) {
        let lines = [received, sent].map(|target| format!("GET {target} HTTP/1.1"));
        let detail = detail_of(vec![beginning(&lines[0]), routed(""), attempt(&lines[1])]);
        let line = format!(":line {kind}: {reason}");
        assert_eq!(texts(&detail["changes"])[0], line, "{received}");
    }
}

#[test]
fn the_response_is_compared_too() {
    let from = "HTTP/1.1 302 Found
        location: https://gw.example/v1/x/b
        set-cookie: a=‹a, 1 bytes, sha256 00000000›; Domain=gw.example
        alt-svc: h3
        connection: close
        content-length: 2
        x-apig-proxy-hint: forged
        x-a: 1";
    let to = "HTTP/1.1 302 Found
        location: /flowers/b
        set-cookie: a=‹a, 1 bytes, sha256 00000000›
        x-a: 1
        date: now
        access-control-allow-origin: http://localhost:3000";
    let detail = detail_of(vec![
        beginning("GET /flowers/a HTTP/1.1"),
        attempt("GET /v1/x/a HTTP/1.1"),
        response(from, ""),
        relayed(302, to, ""),
    ]);
    let expected = [
        "location rewritten: local address",
        "set-cookie rewritten: local cookie",
        "alt-svc dropped: alternative",
        "connection dropped: hop-by-hop",
        "content-length dropped: framing",
        "x-apig-proxy-hint dropped: owned by the proxy",
        "x-a kept: passed on",
        "date set: date",
        "access-control-allow-origin set: listed page",
    ];
    assert_eq!(texts(&detail["answer"]["changes"]), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the proxy's own filter does is explained.
    #[test]
    fn every_change_of_the_filter_has_a_rule_and_no_field_is_lost(fields in prop::collection::vec((0..16usize, 0..5usize), 0..14)) {
        let names = [
            "connection", "x-a", "x_b", "te", "host", "expect", "authorization", "x-stage", "accept", "cookie",
            "x-forwarded-for", "content-length", "origin", "keep_alive", "x-apig-proxy-x", "apikey",
        ];
        let values = ["1", "2", "x-a, close", "X_B,", "accept"];
        let (mut map, mut passed) = (HeaderMap::new(), HeaderMap::new());
        let mut received = "GET / HTTP/1.1".to_owned();
        for (name, value) in &fields {
            let (name, value) = (names[*name], values[*value]);
            received += &format!("\n{name}: {value}");
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        crate::proxy::pass_request(&map, &mut passed);
        let own = ["host: gw", "x-stage: R", "authorization: A"].map(str::to_owned).into_iter();
        let others = passed.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut sent: Vec<String> = own.chain(others).collect();
        let detail = detail_of(vec![beginning(&received), attempt(&format!("GET / HTTP/1.1\n{}", sent.join("\n")))]);
        let changes = &detail["changes"].as_array().unwrap()[1..];
        let shown = changes.iter().filter_map(|one| Some(format!("{}: {}", one["name"].as_str()?, one["after"].as_str()?)));
        let mut shown: Vec<String> = shown.collect();
        shown.sort_unstable();
        sent.sort_unstable();
        prop_assert_eq!(shown, sent);
        let before = changes.iter().filter(|one| one["before"].is_string());
        prop_assert_eq!(before.count(), fields.len());
        for change in changes {
            prop_assert!(change["reason"] != "not passed on", "{}", change);
        }
    }
}
