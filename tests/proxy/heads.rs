//! What of a head reaches the gateway.

use crate::support::{Proxy, Scene, Upstream, config, key};

#[test]
fn a_get_arrives_signed_with_exactly_one_of_each_header_of_ours() {
    let scene = Scene::plain();
    let request = "GET /v1/infers/a?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    scene.exchange(request).assert_text(200, "{\"ok\":true}");
    let seen = scene.upstream.only_request();
    assert_eq!(seen.line, "GET /v1/infers/a?x=1 HTTP/1.1");
    assert_eq!(seen.header("host"), scene.upstream.address.to_string());
    assert_eq!(seen.header("x-stage"), "RELEASE");
    assert_eq!(seen.header("accept"), "*/*");
    let names = "host x-stage apig-proxy-hop x-sdk-date authorization accept";
    assert_eq!(seen.names().join(" "), names);
    let verified = seen.verified();
    assert_eq!(verified.signed_headers, ["host", "x-sdk-date", "x-stage"]);
    assert!(verified.body_signed);
}

#[test]
fn repeated_headers_and_bytes_that_are_not_ascii_arrive_as_they_came() {
    let scene = Scene::plain();
    let fields = b"Host: localhost\r\nX-A: 2\r\nX-B: \xe9\xff\r\nX-A: 1\r\nX-A: \r\n\r\n";
    let request = [b"GET / HTTP/1.1\r\n", &fields[..]].concat();
    scene.exchange(request).assert_status(200);
    let seen = scene.upstream.only_request();
    assert_eq!(seen.all("x-a"), [&b"2"[..], b"1", b""]);
    assert_eq!(seen.all("x-b"), [b"\xe9\xff"]);
    seen.verified();
}

#[test]
fn temporary_keys_and_projects_are_sent_and_signed() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.credentials[0].project_id = Some(http::HeaderValue::from_static("0605768a33"));
    let mut credentials = key();
    credentials.security_token = Some("TOKEN+/==".to_owned().into());
    let proxy = Proxy::start_with(&config, &credentials);
    proxy.get("/").assert_status(200);
    let seen = upstream.only_request();
    assert_eq!(seen.header("x-security-token"), "TOKEN+/==");
    assert_eq!(seen.header("x-project-id"), "0605768a33");
    let signed = "host x-project-id x-sdk-date x-security-token x-stage";
    assert_eq!(seen.verified().signed_headers.join(" "), signed);
}
