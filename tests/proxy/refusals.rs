//! Requests that the proxy answers itself: nothing of them reaches the gateway.

use http::Method;

use apig_proxy::config::Methods;

use crate::support::{Answer, Proxy, Upstream, config};

fn refused(proxy: &Proxy, request: &str, status: u16, code: &str) -> Answer {
    let answer = proxy.exchange(request);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (status, code),
        "{request}"
    );
    assert!(answer.all("access-control-allow-origin").is_empty());
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    let policy = answer.header("content-security-policy");
    assert_eq!(policy, "default-src 'none'; sandbox");
    answer
}

#[test]
fn foreign_hosts_and_origins_are_refused_on_every_method() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    for method in ["GET", "POST", "OPTIONS", "DELETE"] {
        for (headers, code) in [
            ("Host: evil.example\r\n", "host_not_allowed"),
            ("Host: 0.0.0.0:8080\r\n", "host_not_allowed"),
            ("Host: localhost\r\nOrigin: null\r\n", "origin_not_allowed"),
            (
                "Host: localhost:8080\r\nOrigin: http://localhost\r\n",
                "origin_not_allowed",
            ),
            (
                "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
                "origin_not_allowed",
            ),
        ] {
            refused(
                &proxy,
                &format!("{method} / HTTP/1.1\r\n{headers}\r\n"),
                403,
                code,
            );
        }
    }
    refused(&proxy, "GET / HTTP/1.1\r\n\r\n", 400, "bad_host");
    refused(
        &proxy,
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        400,
        "bad_host",
    );
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_caller_s_value_is_not_echoed() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let answer = refused(
        &proxy,
        "GET /MARKER HTTP/1.1\r\nHost: MARKER.example\r\n\r\n",
        403,
        "host_not_allowed",
    );
    assert!(!format!("{answer:?}{}", answer.text()).contains("MARKER"));
    assert!(answer.text().contains("access.hosts"));
}

#[test]
fn methods_outside_the_configuration_are_refused_with_those_inside() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.methods = Methods::Only(vec![Method::GET, Method::POST]);
    let proxy = Proxy::start(&config);
    let answer = refused(
        &proxy,
        "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        405,
        "method_not_allowed",
    );
    assert_eq!(answer.header("allow"), "GET, POST");
    refused(
        &proxy,
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
        405,
        "method_not_allowed",
    );
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn connect_is_refused_when_any_method_is_allowed() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    refused(
        &proxy,
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
        405,
        "method_not_allowed",
    );
    refused(
        &proxy,
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        "bad_target",
    );
}

#[test]
fn a_method_in_small_letters_is_refused_when_any_is_allowed() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    refused(
        &proxy,
        "get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        "bad_request",
    );
    assert_eq!(
        proxy
            .exchange("M-SEARCH / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .status,
        200
    );
    upstream.only_request().verified();
}

#[test]
fn upgrades_are_refused_and_h2c_is_passed_over() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let upgrade = |to: &str| {
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n")
    };
    refused(&proxy, &upgrade("tls/1.0"), 501, "upgrade_not_supported");
    assert_eq!(proxy.exchange(upgrade("h2c")).status, 200);
    assert_eq!(upstream.only_request().all("upgrade").len(), 0);
}

#[test]
fn the_next_request_over_the_same_connection_is_served_unless_the_guard_refused() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n");
    assert_eq!(client.answer().status, 405);
    client.send(b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let refused = client.answer();
    assert_eq!(
        (refused.status, refused.header("connection").as_str()),
        (403, "close")
    );
    assert!(client.is_closed());
    assert_eq!(upstream.only_request().target(), "/next");
}
