//! Who may call: numbers 1 to 7.

use crate::support::{Scene, Upstream, get};

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
            answer.assert_says("access.hosts");
        }
    }
}

#[test]
fn fault_03_a_foreign_or_null_origin_is_refused_without_cors_headers() {
    let scene = with_listed_origin(Upstream::start());
    let origins = "null http://evil.example http://localhost https://localhost:3000 \
            https://localhost:8080 http://127.0.0.1:8080";
    for origin in origins.split_whitespace() {
        let request =
            format!("POST / HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: {origin}\r\n\r\n");
        let answer = scene.refuses(request, 403, "origin_not_allowed");
        assert!(answer.text().contains("access.origins"), "{origin}");
    }
    let two =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\nOrigin: null\r\n\r\n");
    scene.refuses(two, 403, "origin_not_allowed");
}

#[test]
fn fault_03_the_proxy_s_own_origin_is_let_through_and_gets_no_cors_headers() {
    let scene = Scene::plain();
    let port = scene.proxy.address.port();
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
    ] {
        let own = format!(
            "POST /next HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 0\r\n\r\n"
        );
        let before = scene.upstream.requests().len();
        let answer = scene.exchange(&own);
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        assert!(answer.all("access-control-allow-origin").is_empty());
        assert_eq!(scene.upstream.requests().len(), before + 1, "{host}");
        // A page that a browser loaded from the proxy is another matter.
        let page = own.replace("\r\n\r\n", "\r\nSec-Fetch-Site: same-origin\r\n\r\n");
        scene.refuses(page, 403, "origin_not_allowed");
        let other_scheme = own.replace("Origin: http", "Origin: https");
        scene.refuses(other_scheme, 403, "origin_not_allowed");
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
    let answer = client.send(preflight(ORIGIN)).answer();
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
    let answer = client.send(&request).answer();
    answer.assert_text(200, "ok");
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
        let request = get(target);
        scene.refuses_and_closes(request, 400, "bad_request");
    }
    for (target, code) in [
        ("https://localhost/a", "bad_target"),
        ("ftp://localhost/a", "bad_target"),
        ("//localhost", ""),
        ("localhost/a", "bad_request"),
    ] {
        let request = get(target);
        if target == "//localhost" {
            // A path with an empty first segment, and not the name of a host.
            assert_eq!(scene.exchange(request).status, 200);
            assert_eq!(scene.arrived().target(), "//localhost");
        } else {
            scene.refuses_and_closes(request, 400, code);
        }
    }
    let request = "GET HTTP://LOCALHOST:8080/a?b HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
    assert_eq!(scene.exchange(request).status, 200);
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
    for (target, code) in [
        ("localhost:443", "bad_target"),
        ("*", "bad_target"),
        ("a", "bad_target"),
        ("a/b", "bad_request"),
        ("?a=b", "bad_request"),
    ] {
        let request = get(target);
        scene.refuses_and_closes(request, 400, code);
    }
    scene.refuses(
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        "bad_target",
    );
}

/// The expected decision on a request, by its host, its kind of origin and its `Sec-Fetch-Site`.
fn is_served(origin: Page, site: Option<&str>, method: &str, browser: bool) -> bool {
    match (origin, site) {
        (Page::Listed, _) | (Page::Absent | Page::Own, None) => true,
        (Page::Foreign, _) => false,
        (_, Some("same-origin")) => browser,
        (_, Some("none")) => browser && method == "GET",
        (_, Some(_)) => false,
    }
}

#[derive(Clone, Copy)]
enum Page {
    Absent,
    Listed,
    Own,
    Foreign,
}

#[test]
fn every_combination_of_host_origin_and_site_gives_what_the_rules_say() {
    let origins = [
        (None, Page::Absent),
        (Some("http://listed.example"), Page::Listed),
        (Some("null"), Page::Foreign),
        (Some("http://localhost"), Page::Own),
        (Some("http://evil.example"), Page::Foreign),
    ];
    let sites = ["none", "same-origin", "same-site", "cross-site", "anything"];
    let sites = [None].into_iter().chain(sites.map(Some));
    // Each with what it amounts to by itself.
    let hosts = [
        ("Host: localhost\r\n", 0),
        ("Host: localhost:80\r\n", 0),
        ("Host: LOCALHOST\r\n", 0),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: \r\n", 403),
        ("Host: 0.0.0.0\r\n", 403),
        ("Host: [::]\r\n", 403),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost.evil.example\r\n", 403),
        ("Host: localhost..\r\n", 403),
    ];
    for browser in [false, true] {
        let scene = Scene::with(Upstream::start(), |config| {
            config.access.origins = vec!["http://listed.example".to_owned()];
            config.access.browser = browser;
        });
        let mut served = 0;
        for (tried, (host, by_host)) in hosts.into_iter().enumerate() {
            for ((origin, page), site) in origins
                .iter()
                .flat_map(|origin| sites.clone().map(move |site| (*origin, site)))
            {
                let method = ["GET", "POST", "DELETE"][tried % 3];
                let line = |name: &str, value: Option<&str>| {
                    value.map_or_else(String::new, |value| format!("{name}: {value}\r\n"))
                };
                let (origin, fetch) = (line("Origin", origin), line("Sec-Fetch-Site", site));
                let request = format!(
                    "{method} /x HTTP/1.1\r\n{host}{origin}{fetch}Content-Length: 0\r\n\r\n"
                );
                let expected = match by_host {
                    0 if is_served(page, site, method, browser) => 200,
                    0 => 403,
                    refused => refused,
                };
                let answer = scene.exchange(&request);
                assert_eq!(answer.status, expected, "browser {browser}: {request}");
                served += usize::from(answer.status == 200);
                let allows = answer.all("access-control-allow-origin").len();
                let is_listed = answer.status == 200 && matches!(page, Page::Listed);
                assert_eq!(allows, usize::from(is_listed));
            }
        }
        // Of 3 hosts, with the listed origin each of 6 sites; without an origin or with the own one no site, and in
        // browsers same-origin too, and none with the one GET.
        let in_browsers = if browser { 2 * (3 + 1) } else { 0 };
        assert_eq!(served, 3 * (6 + 2) + in_browsers, "browser {browser}");
        assert_eq!(scene.upstream.requests().len(), served);
        scene.serves();
    }
}
