//! Who may call: numbers 1 to 7.

use crate::support::{Scene, Upstream};

const ORIGIN: &str = "http://localhost:3000";

/// A scene in which web pages of [`ORIGIN`] may call.
fn with_listed_origin(upstream: Upstream) -> Scene {
    Scene::with(upstream, |config| {
        config.access.origins = vec![ORIGIN.to_owned()];
    })
}

#[test]
fn fault_01_a_host_that_is_missing_doubled_or_malformed_is_refused() {
    let scene = Scene::plain();
    for hosts in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: evil.example\r\n",
        "Host: localhost:x\r\n",
        "Host: user@localhost\r\n",
        "Host: local host\r\n",
        "Host: localhost, localhost\r\n",
        "Host: [::1\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\n{hosts}\r\n");
        scene.refuses_and_closes(request, 400, "bad_host");
    }
}

#[test]
fn fault_02_a_host_that_is_not_the_proxy_s_is_refused_and_not_echoed() {
    let scene = Scene::plain();
    for host in [
        "marker.example",
        "0.0.0.0",
        "0.0.0.0:8080",
        "[::]",
        "",
        "localhost.marker.example",
    ] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let answer = scene.refuses(request, 403, "host_not_allowed");
            assert!(!format!("{answer:?}{}", answer.text()).contains("marker"));
            assert!(answer.text().contains("access.hosts"));
        }
    }
}

#[test]
fn fault_03_a_foreign_or_null_origin_is_refused_without_cors_headers() {
    let scene = with_listed_origin(Upstream::start());
    for origin in [
        "null",
        "http://evil.example",
        "http://localhost",
        "https://localhost:3000",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n");
        scene.refuses(request, 403, "origin_not_allowed");
    }
    let two =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\nOrigin: null\r\n\r\n");
    scene.refuses(two, 403, "origin_not_allowed");
}

#[test]
fn fault_04_a_cross_site_request_is_refused_on_every_method() {
    let scene = Scene::plain();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        for site in ["cross-site", "same-site"] {
            let request =
                format!("{method} / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\n\r\n");
            if method == "HEAD" {
                assert_eq!(
                    scene.client().send(request.as_bytes()).head_answer().status,
                    403
                );
            } else {
                scene.refuses(request, 403, "origin_not_allowed");
            }
        }
    }
    for site in ["same-origin", "none"] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\n\r\n");
        assert_eq!(scene.proxy.exchange(request).status, 200);
    }
}

#[test]
fn fault_05_a_preflight_is_refused_or_answered_here_for_a_listed_origin() {
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /v1 HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nSec-Fetch-Site: cross-site\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,x-a\r\n\r\n"
        )
    };
    let scene = Scene::plain();
    scene.refuses(preflight(ORIGIN), 403, "origin_not_allowed");

    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://elsewhere\r\ncontent-length: 2\r\n\r\nok",
    );
    let scene = with_listed_origin(upstream);
    scene.refuses(preflight("http://evil.example"), 403, "origin_not_allowed");
    let before = scene.upstream.requests().len();
    let mut client = scene.client();
    let answer = client.send(preflight(ORIGIN).as_bytes()).answer();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "content-type,x-a"
    );
    assert_eq!(answer.header("vary"), "origin");
    assert_eq!(scene.upstream.requests().len(), before);
    // The request proper follows, and the page may see its answer.
    let request = format!(
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let answer = client.send(request.as_bytes()).answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    scene.arrived().verified();
}

#[test]
fn fault_06_an_absolute_target_is_taken_only_when_it_names_the_host() {
    let scene = Scene::plain();
    for target in [
        "http://evil.example/a",
        "http://localhost:1/a",
        "http://user@localhost/a",
        "http:///a",
        "http://localhost\\@evil.example/a",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        scene.refuses_and_closes(request, 400, "bad_request");
    }
    for target in [
        "https://localhost/a",
        "ftp://localhost/a",
        "//localhost",
        "localhost/a",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if target == "//localhost" {
            // A path with an empty first segment, and not the name of a host.
            assert_eq!(scene.proxy.exchange(request).status, 200);
            assert_eq!(scene.arrived().target(), "//localhost");
        } else {
            scene.refuses_and_closes(request, 400, "bad_target");
        }
    }
    let request = "GET HTTP://LOCALHOST:8080/a?b HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
    assert_eq!(scene.proxy.exchange(request).status, 200);
    let seen = scene.upstream.requests().pop().unwrap();
    assert_eq!(seen.target(), "/a?b");
    assert_eq!(seen.header("host"), scene.upstream.address.to_string());
    scene.serves();
}

#[test]
fn fault_07_connect_is_not_allowed_and_other_forms_of_target_are_bad() {
    let scene = Scene::plain();
    let connect = "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n";
    let answer = scene.refuses(connect, 405, "method_not_allowed");
    assert!(answer.header("allow").contains("GET"));
    for target in ["localhost:443", "*", "a", "?a=b"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        scene.refuses_and_closes(request, 400, "bad_target");
    }
    scene.refuses(
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        "bad_target",
    );
}

#[test]
fn every_combination_of_host_origin_and_site_gives_what_the_rules_say() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.access.hosts = vec!["proxy.internal".to_owned()];
        config.access.origins = vec!["http://listed.example".to_owned()];
    });
    // Each with what it amounts to by itself.
    let hosts = [
        ("Host: localhost\r\n", 0),
        ("Host: LOCALHOST.:99\r\n", 0),
        ("Host: [::1]\r\n", 0),
        ("Host: proxy.internal\r\n", 0),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: \r\n", 403),
        ("Host: 0.0.0.0\r\n", 403),
        ("Host: [::]\r\n", 403),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost.evil.example\r\n", 403),
    ];
    let origins = [
        ("", 0, false),
        ("Origin: http://listed.example\r\n", 0, true),
        ("Origin: null\r\n", 403, false),
        ("Origin: http://localhost\r\n", 403, false),
        ("Origin: http://evil.example\r\n", 403, false),
    ];
    let sites = [
        ("", true),
        ("Sec-Fetch-Site: none\r\n", true),
        ("Sec-Fetch-Site: same-origin\r\n", true),
        ("Sec-Fetch-Site: same-site\r\n", false),
        ("Sec-Fetch-Site: cross-site\r\n", false),
        ("Sec-Fetch-Site: anything\r\n", false),
    ];
    let mut served = 0;
    for (host, by_host) in hosts {
        for (origin, by_origin, is_listed) in origins {
            for (site, is_own) in sites {
                let method = ["GET", "POST", "DELETE"][served % 3];
                let request = format!(
                    "{method} /x HTTP/1.1\r\n{host}{origin}{site}Content-Length: 0\r\n\r\n"
                );
                let expected = match (by_host, by_origin) {
                    (0, 0) if is_own || is_listed => 200,
                    (0, _) => 403,
                    (refused, _) => refused,
                };
                let answer = scene.proxy.exchange(&request);
                assert_eq!(answer.status, expected, "{request}");
                served += usize::from(answer.status == 200);
                let allows = answer.all("access-control-allow-origin").len();
                assert_eq!(allows, usize::from(answer.status == 200 && is_listed));
            }
        }
    }
    // 4 hosts: without an origin 3 sites, with the listed one all 6.
    assert_eq!(served, 4 * (3 + 6));
    assert_eq!(scene.upstream.requests().len(), served);
    scene.serves();
}
