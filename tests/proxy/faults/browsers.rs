//! Requests of web browsers: numbers 4 and 93. Further combinations are in `guard.rs`, and real browsers
//! in `tests/clients/pages.py`.

use apig_proxy::config::CallerToken;

use crate::support::{Scene, Upstream};

/// A request by this method and `Host`, with these lines, between which `|` stands.
fn request(method: &str, host: &str, lines: &str) -> String {
    let lines = lines.replace('|', "\r\n");
    format!("{method} /page HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n\r\n")
}

/// Checks that a request is refused, with a text that names the key.
fn refuses(scene: &Scene, request: &str) {
    let refused = scene.refuses(request, 403, "origin_not_allowed");
    refused.about(request).assert_says("access.browser");
}

/// Checks that a request is served, and arrives signed.
fn serves(scene: &Scene, request: &str) {
    scene.upstream.forget();
    scene.exchange(request).about(request).assert_status(200);
    scene.upstream.only_request().verified();
}

fn scene(browser: bool) -> Scene {
    Scene::with(Upstream::start(), |config| {
        config.access.hosts = vec!["proxy.internal".to_owned()];
        config.access.browser = browser;
    })
}

const MARKS: [&str; 9] = [
    "Sec-Fetch-Site: none",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: same-site",
    "Sec-Fetch-Site: cross-site",
    "Sec-Purpose: prefetch",
    "Sec-Purpose: prefetch;prerender",
    "Purpose: prefetch",
    "X-Purpose: preview",
    "X-Moz: prefetch",
];

#[test]
fn fault_04_a_request_with_a_mark_of_a_browser_is_refused_on_every_method() {
    let scene = scene(false);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
        for mark in MARKS {
            refuses(&scene, &request(method, "localhost", mark));
        }
    }
    // Node's fetch sends this, and no browser sends it alone.
    serves(&scene, &request("GET", "localhost", "Sec-Fetch-Mode: cors"));
}

#[test]
fn fault_04_with_access_browser_navigations_and_own_pages_are_served_and_nothing_else() {
    let scene = scene(true);
    let host = format!("localhost:{}", scene.proxy.address.port());
    let own = format!("POST Sec-Fetch-Site: same-origin|Origin: http://{host}|Content-Length: 0");
    for (is_served, case) in [
        (true, "GET Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate"),
        (true, "GET Sec-Fetch-Site: same-origin"),
        (true, &*own),
        (false, "POST Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate"),
        (
            false,
            "GET Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate",
        ),
        (false, "POST Sec-Fetch-Site: same-origin|Origin: null"),
        (false, "GET Sec-Fetch-Site: none|Sec-Purpose: prefetch"),
    ] {
        let (method, lines) = case.split_once(' ').unwrap();
        let check = if is_served { serves } else { refuses };
        check(&scene, &request(method, &host, lines));
    }
}

#[test]
fn fault_04_the_right_token_stands_for_the_marks_of_a_browser() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.access.hosts = vec!["proxy.internal".to_owned()];
        config.access.token = Some(CallerToken::new(b"0123456789abcdef"));
    });
    for mark in MARKS.into_iter().chain(["User-Agent: Mozilla/5.0"]) {
        let right = format!("X-Apig-Proxy-Token: 0123456789abcdef|{mark}");
        serves(&scene, &request("GET", "proxy.internal", &right));
        let before = scene.upstream.requests().len();
        let wrong = format!("X-Apig-Proxy-Token: 0123456789abcdeF|{mark}");
        let answer = scene.exchange(request("GET", "proxy.internal", &wrong));
        assert_eq!(answer.code(), "origin_not_allowed", "{mark}");
        assert_eq!(scene.upstream.requests().len(), before, "{mark}");
    }
}

#[test]
fn fault_93_what_a_foreign_page_has_a_browser_fetch_is_refused() {
    let scene = scene(false);
    let chrome = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    for (host, lines) in [
        // The navigation after a prefetch, and a typed link that redirects.
        ("localhost", "Sec-Fetch-Site: none|Sec-Purpose: prefetch"),
        ("localhost", "Sec-Fetch-Site: none|Sec-Fetch-User: ?1"),
        // A service worker, and another port.
        (
            "localhost",
            "Sec-Fetch-Site: cross-site|Sec-Fetch-Dest: empty",
        ),
        ("localhost", "Sec-Fetch-Site: same-site"),
        // An image, a form, and an own page: by a plain-HTTP name, browsers send no other marks.
        ("proxy.internal", "Accept: image/*"),
        ("proxy.internal", "Origin: http://evil.example"),
        ("proxy.internal", "Origin: http://proxy.internal"),
    ] {
        for method in ["GET", "POST"] {
            refuses(&scene, &request(method, host, &format!("{chrome}|{lines}")));
        }
    }
    let program = request("GET", "proxy.internal", "User-Agent: curl/8.14.1");
    serves(&scene, &program);
}

#[test]
fn fault_93_programs_that_send_some_of_what_browsers_send_are_served() {
    let scene = scene(false);
    let host = format!("localhost:{}", scene.proxy.address.port());
    let own = format!("Origin: http://{host}");
    for lines in [
        "User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1",
        "User-Agent: node|Sec-Fetch-Mode: cors|Accept-Language: *",
        "User-Agent: Wget/1.21.3|Accept: */*",
        &own,
    ] {
        serves(&scene, &request("GET", &host, lines));
    }
    // As websocket-client opens one.
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|Sec-WebSocket-Version: 13";
    let handshake = format!("Upgrade: websocket|Connection: Upgrade|{key}|{own}");
    scene.upstream.forget();
    scene.passes(request("GET", &host, &handshake));
    assert_eq!(scene.arrived().header("upgrade"), "websocket");
}
