//! The admin listener: who may use it, what it answers, and who may stop the proxy.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use apig_proxy::server::DrainOutcome;

use crate::support::{Answer, Client, Scene, Upstream, get};

fn asked(scene: &Scene, request: impl AsRef<[u8]>) -> Answer {
    scene.proxy.admin().send(request).answer()
}

/// A request to the admin listener with these fields.
fn ask(method: &str, path: &str, fields: &str) -> String {
    let fields = fields.replace('|', "\r\n");
    format!("{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n")
}

/// The fields of requests that are refused on every path, with `|` between them, and status and code.
const REFUSED: [(&str, u16, &str); 9] = [
    ("Host: evil.example", 403, "host_not_allowed"),
    ("Host: 0.0.0.0", 403, "host_not_allowed"),
    ("X: no host", 400, "bad_host"),
    ("Host: localhost|Host: localhost", 400, "bad_host"),
    ("Host: localhost|Origin: http://evil.example", 403, FOREIGN),
    ("Host: localhost|Origin: null", 403, FOREIGN),
    ("Host: localhost|Sec-Fetch-Site: cross-site", 403, FOREIGN),
    ("Host: localhost|Sec-Fetch-Site: same-origin", 403, FOREIGN),
    ("Host: localhost|Sec-Purpose: prefetch", 403, FOREIGN),
];
const FOREIGN: &str = "origin_not_allowed";

#[test]
fn a_proxy_that_serves_is_started_alive_and_ready() {
    let scene = Scene::plain();
    for path in ["/livez", "/readyz", "/startupz", "/readyz?verbose"] {
        let answer = scene.proxy.asked(path);
        answer.about(path).assert_text(200, "ok\n");
        answer.assert_header(200, "content-type", "text/plain; charset=utf-8");
        answer.assert_header(200, "cache-control", "no-store");
        answer.assert_header(200, "x-content-type-options", "nosniff");
    }
    let metrics = scene.proxy.asked("/metrics");
    let prometheus = "text/plain; version=0.0.4; charset=utf-8";
    metrics.assert_header(200, "content-type", prometheus);
    assert_eq!(scene.upstream.connections(), 0);
}

#[test]
fn readiness_does_not_depend_on_the_gateway() {
    let scene = Scene::before(Upstream::handling(|_| Ok(())));
    scene.get("/").assert_status(502);
    scene.proxy.asked("/readyz").assert_status(200);
}

#[test]
fn head_is_answered_without_a_body_and_a_connection_ends_with_its_answer() {
    let scene = Scene::plain();
    let mut client = scene.proxy.admin();
    client.send(ask("HEAD", "/readyz", "Host: localhost"));
    let answer = client.head_answer();
    answer.assert_header(200, "content-length", "3");
    answer.assert_header(200, "connection", "close");
    assert!(client.is_closed());
}

#[test]
fn other_paths_are_not_found_and_other_methods_not_allowed() {
    let scene = Scene::plain();
    for path in ["/", "/livez/", "/metricsx", "//livez", "*", "/LIVEZ"] {
        let answer = scene.proxy.asked(path);
        answer.about(path).assert_status(404);
        assert!(answer.text().contains("/livez") && !answer.text().contains("LIVEZ"));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let with_body = ask(method, "/livez", "Host: localhost|Content-Length: 2") + "{}";
        asked(&scene, with_body).assert_header(405, "allow", "GET, HEAD");
    }
    // Only the admin listener has these paths.
    scene.passes(get("/livez"));
    assert_eq!(scene.upstream.only_request().target(), "/livez");
}

#[test]
fn a_request_that_the_guard_refuses_is_refused_on_every_admin_path() {
    let scene = Scene::plain();
    for path in ["/livez", "/metrics", "/nothing", "/quitquitquit"] {
        for (fields, status, code) in REFUSED {
            for method in ["GET", "POST"] {
                let refused = asked(&scene, ask(method, path, fields));
                let refused = refused.about((method, path, fields));
                refused.assert_refused(status, code);
                refused.assert_hides("evil");
                refused.assert_without(&["access-control-allow-origin"]);
            }
        }
    }
    let absolute = ask("GET", "http://evil.example/livez", "Host: localhost");
    asked(&scene, absolute).assert_refused(400, "bad_request");
    // Requests to the admin listener are not counted.
    let counted = scene.proxy.metrics().all("apig_proxy_requests_total");
    assert_eq!(counted, []);
}

#[test]
fn a_browser_may_open_an_admin_page_and_no_navigation_stops_the_proxy() {
    let scene = Scene::plain();
    let opened = "Host: localhost|Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate";
    for path in ["/livez", "/metrics"] {
        asked(&scene, ask("GET", path, opened)).assert_status(200);
    }
    let typed = "Host: localhost|Sec-Fetch-Site: none";
    asked(&scene, ask("POST", "/quitquitquit", typed)).assert_refused(403, FOREIGN);
    scene.proxy.asked("/readyz").assert_status(200);
}

#[test]
fn a_malformed_request_is_refused_with_an_error_of_the_proxy() {
    let scene = Scene::plain();
    let malformed = asked(&scene, ask("GET", "/livez", "Host : localhost"));
    assert_eq!(malformed.code(), "bad_request");
    let long = format!("Host: localhost|X: {}", "x".repeat(70_000));
    let long = asked(&scene, ask("GET", "/livez", &long));
    assert_eq!(long.code(), "header_too_large");
    scene.proxy.asked("/livez").assert_status(200);
}

#[test]
fn fault_97_silent_connections_do_not_keep_probes_from_being_answered() {
    let scene = Scene::plain();
    for begun in ["", "GET /livez HTTP/1.1\r\n"] {
        let mut silent: Vec<_> = (0..64).map(|_| scene.proxy.admin()).collect();
        for client in &mut silent {
            client.send(begun);
        }
        // Half a head is waited for, a second at most.
        scene.proxy.asked("/readyz").assert_status(200);
        scene.proxy.asked("/livez").assert_status(200);
        // Those that are still open end after two seconds.
        assert!(silent.iter_mut().all(Client::is_closed), "{begun:?}");
    }
}

#[test]
fn fault_96_by_default_no_request_stops_the_proxy() {
    let scene = Scene::plain();
    for method in ["POST", "GET", "PUT", "OPTIONS"] {
        let answer = asked(&scene, ask(method, "/quitquitquit", "Host: localhost"));
        answer.about(method).assert_status(404);
        answer.assert_says("set admin_quit = true");
    }
    scene.proxy.asked("/readyz").assert_status(200);
    scene.serves();
}

#[test]
fn a_quit_request_drains_the_proxy_and_lets_running_requests_finish() {
    let (upstream, hold) = Upstream::holding();
    let scene = Scene::with(upstream, |config| config.admin_quit = true);
    let mut client = scene.client();
    client.send(get("/"));
    scene.upstream.wait_for(1);
    for method in ["GET", "PUT", "OPTIONS"] {
        let request = ask(method, "/quitquitquit", "Host: localhost");
        asked(&scene, request).assert_header(405, "allow", "POST");
    }
    let by_address = ("Host: 10.0.0.7", 403, "host_not_allowed");
    for (fields, status, code) in REFUSED.into_iter().chain([by_address]) {
        let refused = asked(&scene, ask("POST", "/quitquitquit", fields));
        refused.about(fields).assert_refused(status, code);
        refused.assert_without(&["access-control-allow-origin"]);
    }
    scene.proxy.asked("/readyz").assert_status(200);
    for _ in 0..2 {
        asked(&scene, ask("POST", "/quitquitquit", "Host: localhost")).assert_text(200, "ok\n");
    }
    scene.proxy.wait_until_not_ready();
    hold.send(()).unwrap();
    client.answer().assert_text(200, "late");
    // The test itself does not stop it.
    assert_eq!(scene.proxy.ended_by_itself(), DrainOutcome::Drained);
}

#[test]
fn other_machines_may_read_the_admin_listener_by_any_address_but_only_this_one_may_stop_the_proxy()
{
    let scene = Scene::with(Upstream::start(), |config| {
        config.admin = Some("0.0.0.0:0".parse().unwrap());
        config.admin_quit = true;
    });
    let port = scene.proxy.admin_port();
    let Some(own) = own_address() else {
        return;
    };
    let by_address = format!("{own}:{port}");
    for peer in [Ipv4Addr::LOCALHOST, own] {
        let ask = |method: &str, path: &str, host: &str| {
            let request = ask(method, path, &format!("Host: {host}"));
            Client::connect((peer, port).into()).send(request).answer()
        };
        let hosts = [
            (&*by_address, 200),
            ("localhost", 200),
            ("evil.example", 403),
        ];
        for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
            for (host, status) in hosts {
                let answer = ask("GET", path, host);
                answer.about((path, host)).assert_status(status);
            }
        }
        // With an address for a host, the request could be of a page of that address.
        ask("POST", "/quitquitquit", &by_address).assert_status(403);
    }
    let quit = ask("POST", "/quitquitquit", "Host: localhost");
    let refused = Client::connect((own, port).into()).send(quit).answer();
    refused.assert_status(403);
    refused.assert_says("SIGTERM");
    scene.proxy.asked("/readyz").assert_status(200);
}

/// An address of this machine that is not loopback, found without sending anything. Without one, tests of callers from
/// other machines are skipped.
#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "who runs the test should know"
)]
pub(crate) fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let connected = socket.connect("192.0.2.1:9");
    let local = connected.and_then(|()| socket.local_addr());
    match local.map(|local| local.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => {
            println!("this machine has no address but loopback, so there is no other caller");
            assert!(std::env::var_os("REQUIRE_ALL_TESTS").is_none());
            None
        }
    }
}
