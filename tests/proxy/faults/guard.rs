//! Who may call: numbers 2, 3, 5 and 6. The corpus has further refusals.

use crate::support::{Scene, Upstream, get, request};

const ORIGIN: &str = "http://localhost:3000";

/// A scene in which web pages of [`ORIGIN`] may call.
fn with_listed_origin(upstream: Upstream) -> Scene {
    Scene::with(upstream, |config| {
        config.access.origins = vec![ORIGIN.to_owned()]
    })
}

#[test]
fn fault_02_a_refused_host_is_told_the_key_and_its_connection_closed() {
    let request = "GET / HTTP/1.1\r\nHost: marker.example\r\n\r\n";
    let answer = Scene::plain().refuses_and_closes(request, 403, "host_not_allowed");
    answer.assert_hides("marker");
    answer.assert_says("access.hosts");
}

#[test]
fn fault_03_a_foreign_origin_beside_a_listed_one_is_refused() {
    let scene = with_listed_origin(Upstream::start());
    for origin in [
        "null",
        "http://evil.example",
        "https://localhost:3000",
        "http://localhost",
    ] {
        let fields = format!("Origin: {origin}|Sec-Fetch-Site: cross-site");
        let answer = scene.refuses(request("POST /", &fields, ""), 403, "origin_not_allowed");
        answer.about(origin).assert_says("access.origins");
    }
}

#[test]
fn fault_03_the_proxy_s_own_origin_is_let_through_and_gets_no_cors_headers() {
    let scene = Scene::plain();
    let port = scene.proxy.address.port();
    for host in [
        "localhost",
        "localhost:PORT",
        "127.0.0.1:PORT",
        "[::1]:PORT",
    ] {
        let host = host.replace("PORT", &port.to_string());
        let own = format!(
            "POST /next HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = scene.exchange(&own);
        answer.about(&host).assert_status(200);
        answer.assert_without(&["access-control-allow-origin"]);
        // A page that a browser has loaded from the proxy sends `Sec-Fetch-Site`.
        let page = own.replace("\r\n\r\n", "\r\nSec-Fetch-Site: same-origin\r\n\r\n");
        scene.refuses(page, 403, "origin_not_allowed");
        let other_scheme = own.replace("Origin: http", "Origin: https");
        scene.refuses(other_scheme, 403, "origin_not_allowed");
    }
}

#[test]
fn fault_05_a_preflight_is_refused_or_answered_here_for_a_listed_origin() {
    let preflight = |origin: &str| {
        let asks =
            "Access-Control-Request-Method: POST|Access-Control-Request-Headers: content-type,x-a";
        let fields = format!("Origin: {origin}|Sec-Fetch-Site: cross-site|{asks}");
        request("OPTIONS /v1", &fields, "")
    };
    Scene::plain().refuses(preflight(ORIGIN), 403, "origin_not_allowed");
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://elsewhere\r\ncontent-length: 2\r\n\r\nok",
    );
    let scene = with_listed_origin(upstream);
    scene.refuses(preflight("http://evil.example"), 403, "origin_not_allowed");
    let before = scene.upstream.requests().len();
    let mut client = scene.client();
    let answer = client.send(preflight(ORIGIN)).answer();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    answer.assert_header(204, "access-control-allow-origin", ORIGIN);
    answer.assert_header(204, "access-control-allow-headers", "content-type,x-a");
    answer.assert_header(204, "vary", "origin");
    let methods = answer.header("access-control-allow-methods");
    assert!(methods.contains("POST"), "{methods}");
    assert_eq!(scene.upstream.requests().len(), before);
    // The page may read the answer to the request itself.
    let request = request("POST /v1", &format!("Origin: {ORIGIN}"), "{}");
    let answer = client.send(&request).answer();
    answer.assert_text(200, "ok");
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    scene.arrived().verified();
}

#[test]
fn fault_06_of_an_absolute_target_the_path_arrives() {
    let scene = Scene::plain();
    scene.passes(get("//localhost"));
    let absolute = "GET HTTP://LOCALHOST:8080/a?b HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
    scene.passes(absolute);
    let [segment, absolute] = scene.upstream.requests().try_into().unwrap();
    assert_eq!(
        (segment.target(), absolute.target()),
        ("//localhost", "/a?b")
    );
    assert_eq!(absolute.header("host"), scene.upstream.address.to_string());
    scene.serves();
}

#[test]
fn every_combination_of_origin_site_and_method_follows_the_rules() {
    const LISTED: &str = "http://listed.example";
    let origins = [
        "",
        LISTED,
        "null",
        "http://localhost",
        "http://evil.example",
    ];
    let sites = [
        "",
        "none",
        "same-origin",
        "same-site",
        "cross-site",
        "anything",
    ];
    let requests = ["GET", "POST", "DELETE"]
        .map(|method| origins.map(|origin| sites.map(|site| (method, origin, site))));
    for browser in [false, true] {
        let scene = Scene::with(Upstream::start(), |config| {
            config.access.origins = vec![LISTED.to_owned()];
            config.access.browser = browser;
        });
        let mut served = 0;
        for &(method, origin, site) in requests.as_flattened().as_flattened() {
            let is_served = match (origin, site) {
                (LISTED, _) | ("" | "http://localhost", "") => true,
                ("" | "http://localhost", "same-origin") => browser,
                ("" | "http://localhost", "none") => browser && method == "GET",
                _ => false,
            };
            let lines = [("Origin", origin), ("Sec-Fetch-Site", site)];
            let lines = lines.iter().filter(|(_, value)| !value.is_empty());
            let fields: String = lines
                .map(|(name, value)| format!("{name}: {value}|"))
                .collect();
            let answer = scene.exchange(request(&format!("{method} /x"), &fields, ""));
            let answer = answer.about((browser, method, fields));
            answer.assert_status(if is_served { 200 } else { 403 });
            let allowed = answer.all("access-control-allow-origin").len();
            assert_eq!(allowed, usize::from(origin == LISTED));
            served += usize::from(is_served);
        }
        assert_eq!(scene.upstream.requests().len(), served);
    }
}
