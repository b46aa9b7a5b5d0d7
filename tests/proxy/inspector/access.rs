//! Who may read the inspector.

use std::net::Ipv4Addr;

use super::{AUTHORIZED, TOKEN, ask, assert_error, inspected, inspected_before, order, read};
use crate::admin::own_address;
use crate::support::{Answer, Client, Scene, Upstream, get, request, rows, wait_until};

/// Each path of the API, with its method.
const PATHS: [(&str, &str); 12] = [
    ("GET", "state"),
    ("GET", "requests"),
    ("GET", "requests/0123456789abcdef0123456789abcdef"),
    ("GET", "requests/0123456789abcdef0123456789abcdef/body/in"),
    ("GET", "requests/0123456789abcdef0123456789abcdef/copy/curl"),
    ("POST", "requests/0123456789abcdef0123456789abcdef/replay"),
    ("POST", "send"),
    ("GET", "feed"),
    ("GET", "har"),
    ("POST", "clear"),
    ("POST", "pause"),
    ("POST", "resume"),
];

fn with(scene: &Scene, line: &str, fields: &str) -> Answer {
    scene.proxy.admin().send(request(line, fields, "")).answer()
}

#[test]
fn without_the_token_nothing_is_read_and_nothing_is_changed() {
    let scene = inspected();
    for (method, path) in PATHS {
        let line = format!("{method} /inspect/v1/{path}");
        for fields in [
            "",
            "X-Apig-Proxy-Token: 0123456789abcdef0123456789abcdef",
            "Authorization: Basic 0123456789abcdef0123456789abcdef",
            &format!("{AUTHORIZED}|{AUTHORIZED}"),
        ] {
            let refused = with(&scene, &line, fields);
            assert_error(refused.about((&line, fields)), 401, "token_required");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
            refused.assert_without(&["access-control-allow-origin"]);
        }
    }
    // A token in the query is not accepted.
    let in_query = format!("GET /inspect/v1/state?token={TOKEN}&t={TOKEN}");
    assert_error(&with(&scene, &in_query, ""), 401, "token_required");
    assert_eq!(read(&scene.proxy, "state")["is_recording"], true);
    assert_eq!(scene.upstream.connections(), 0);
}

#[test]
fn after_ten_wrong_tokens_further_ones_are_limited_and_the_right_one_still_reads() {
    let scene = inspected();
    let wrong = TOKEN.replace("ef", "eF");
    for number in 1..=14 {
        let shown = format!("Authorization: Bearer {wrong}");
        let refused = with(&scene, "GET /inspect/v1/state", &shown);
        let (status, code) = match number {
            ..=10 => (401, "wrong_token"),
            _ => (429, "too_many_attempts"),
        };
        assert_error(refused.about(number), status, code);
        refused.assert_hides(&wrong);
    }
    read(&scene.proxy, "state");
}

#[test]
fn the_page_and_its_files_need_no_token_and_have_a_strict_policy() {
    let scene = inspected();
    let page = scene.proxy.asked("/inspect/");
    page.assert_header(200, "content-type", "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    for part in "default-src 'none'|script-src 'self'|frame-ancestors 'none'|require-trusted-types-for 'script'|\
        trusted-types 'none'"
        .split('|')
    {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    for [name, value] in rows(
        "referrer-policy | no-referrer
        cross-origin-opener-policy | same-origin
        cross-origin-resource-policy | same-origin
        permissions-policy | camera=(), geolocation=(), microphone=()
        x-content-type-options | nosniff",
    ) {
        page.assert_header(200, name, value);
    }
    let script = scene.proxy.asked("/inspect/a/main.js");
    script.assert_header(200, "content-type", "text/javascript; charset=utf-8");
    let known = format!("If-None-Match: {}", script.header("etag"));
    let again = with(&scene, "GET /inspect/a/main.js", &known);
    assert!(again.status == 304 && again.body.is_empty());
    let moved = scene.proxy.asked("/inspect");
    assert_eq!(moved.header("location"), "/inspect/");
    for path in ["a/none.js", "a/../mod.rs", "v2/state"] {
        let missing = scene.proxy.asked(&format!("/inspect/{path}"));
        assert_error(missing.about(path), 404, "not_found");
    }
    let posted = with(&scene, "POST /inspect/", "");
    assert_error(&posted, 405, "method_not_allowed");
}

#[test]
fn pages_of_other_origins_and_other_host_names_are_refused_even_with_the_token() {
    let scene = inspected_before(Upstream::start(), |config| {
        config.access.browser = true;
        config.access.origins = vec!["http://localhost:3000".to_owned()];
        config.access.hosts = vec!["proxy.internal".to_owned()];
    });
    let port = scene.proxy.admin_port();
    let ask = |path: &str, fields: &str| {
        let fields = fields.replace('|', "\r\n");
        let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\n{AUTHORIZED}\r\n\r\n");
        scene.proxy.admin().send(request).answer()
    };
    for path in ["", "a/main.js", "v1/state", "v1/feed"] {
        let path = &format!("/inspect/{path}");
        for fields in [
            "Host: evil.example",
            "Host: localhost|Origin: http://evil.example",
            "Host: localhost|Origin: null",
            "Host: localhost|Origin: http://localhost:3000",
            "Host: localhost|Sec-Fetch-Site: same-site",
            "Host: localhost|Sec-Fetch-Site: none|Sec-Purpose: prefetch",
            "Host: localhost|Sec-Fetch-Site: none|Sec-Fetch-Mode: no-cors",
        ] {
            let refused = ask(path, fields);
            refused.about((path, fields)).assert_status(403);
            refused.assert_without(&["access-control-allow-origin"]);
        }
        // A name of the proxy that other machines may use.
        ask(path, "Host: proxy.internal").assert_status(404);
    }
    // The inspector's own page sends this.
    let own = format!("Host: localhost:{port}|Origin: http://localhost:{port}");
    let own = ask(
        "/inspect/v1/state",
        &format!("{own}|Sec-Fetch-Site: same-origin"),
    );
    own.assert_status(200);
    let opened = "Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate";
    with(&scene, "GET /inspect/", opened).assert_status(200);
    let linked = format!("{opened}|{AUTHORIZED}");
    with(&scene, "GET /inspect/v1/state", &linked).assert_status(403);
}

#[test]
fn for_other_machines_the_inspector_does_not_exist() {
    let scene = inspected_before(Upstream::start(), |config| {
        config.admin = Some("0.0.0.0:0".parse().unwrap());
    });
    let Some(own) = own_address() else {
        return;
    };
    let port = scene.proxy.admin_port();
    let ask = |peer: Ipv4Addr, host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{AUTHORIZED}\r\n\r\n");
        Client::connect((peer, port).into()).send(request).answer()
    };
    for path in ["/inspect/", "/inspect/v1/state"] {
        for (peer, host, status) in [
            (Ipv4Addr::LOCALHOST, "localhost", 200),
            (Ipv4Addr::LOCALHOST, "127.0.0.1", 200),
            (Ipv4Addr::LOCALHOST, &*own.to_string(), 404),
            (own, "localhost", 404),
            (own, &own.to_string(), 404),
        ] {
            let answer = ask(peer, host, path);
            answer.about((peer, host, path)).assert_status(status);
        }
        let missing = ask(own, "localhost", path);
        assert_eq!(missing.text(), ask(own, "localhost", "/nothing").text());
    }
}

#[test]
fn without_the_setting_there_is_no_inspector() {
    let scene = Scene::plain();
    for path in ["/inspect", "/inspect/", "/inspect/v1/state"] {
        let missing = scene.proxy.asked(path);
        missing.assert_text(404, "expected /livez, /readyz, /startupz or /metrics\n");
    }
    // Only the admin listener has these paths.
    let scene = inspected();
    scene.passes(get("/inspect/v1/state"));
    assert_eq!(scene.upstream.only_request().target(), "/inspect/v1/state");
}

#[test]
fn other_methods_and_long_bodies_are_refused() {
    let scene = inspected();
    for (method, path) in PATHS {
        let swapped = if method == "GET" { "POST" } else { "GET" };
        for other in ["PUT", "DELETE", "OPTIONS", swapped] {
            let refused = ask(&scene.proxy, other, path, "");
            assert_error(refused.about((other, path)), 405, "method_not_allowed");
            assert_eq!(refused.header("allow").contains("GET"), method == "GET");
        }
    }
    let line = request("HEAD /inspect/v1/requests", AUTHORIZED, "");
    let head = scene.proxy.admin().send(line).head_answer();
    assert!(head.status == 200 && head.header("content-length") != "0");
    let long = "x".repeat(128 * 1024 + 1);
    let refused = ask(&scene.proxy, "POST", "send", &long);
    assert_error(&refused, 413, "body_too_large");
    for query in ["after=x", "limit=-1", "filter=statsu:401"] {
        ask(&scene.proxy, "GET", &format!("requests?{query}"), "").assert_status(400);
    }
    order(&scene.proxy, "clear");
}

#[test]
fn slow_readers_of_the_inspector_leave_room_for_health_checks() {
    let scene = inspected();
    // The declared bodies never come.
    let line = "POST /inspect/v1/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n";
    let mut slow: Vec<_> = (0..60).map(|_| scene.proxy.admin()).collect();
    for client in &mut slow {
        client.send(format!("{line}{AUTHORIZED}\r\n\r\n"));
    }
    wait_until("no more readers are let in", || {
        ask(&scene.proxy, "GET", "state", "").status == 503
    });
    assert_error(&ask(&scene.proxy, "GET", "state", ""), 503, "busy");
    let ready = request("GET /readyz", "", "");
    scene.proxy.admin().send(ready).answer().assert_status(200);
    drop(slow);
    wait_until("there is room again", || {
        ask(&scene.proxy, "GET", "state", "").status == 200
    });
}
