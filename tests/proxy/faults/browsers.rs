//! Requests of web browsers: numbers 4 and 93. Real browsers are in `tests/clients/pages.py`.

use apig_proxy::config::CallerToken;

use crate::support::{Scene, Upstream};

/// A request by this method and `Host`, with these lines.
fn request(method: &str, host: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} /page HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")
}

/// Checks that a request is refused, with a text that names the key.
fn refuses(scene: &Scene, request: &str) {
    if request.starts_with("HEAD") {
        let before = scene.upstream.requests().len();
        let answer = scene.client().send(request).head_answer();
        assert_eq!(answer.status, 403, "{request}");
        assert_eq!(scene.upstream.requests().len(), before, "{request}");
        return;
    }
    scene
        .refuses(request, 403, "origin_not_allowed")
        .assert_says("access.browser");
}

/// Checks that a request is served, and arrives signed.
fn serves(scene: &Scene, request: &str) {
    let before = scene.upstream.requests().len();
    let mut client = scene.client();
    client.send(request);
    let answer = if request.starts_with("HEAD") {
        client.head_answer()
    } else {
        client.answer()
    };
    assert_eq!(answer.status, 200, "{request}");
    let seen = scene.upstream.requests();
    assert_eq!(seen.len(), before + 1, "{request}");
    seen[before].verified();
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
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        for mark in MARKS {
            refuses(&scene, &request(method, "localhost", &[mark]));
        }
    }
    // Node's fetch sends this, and no browser sends it alone.
    serves(
        &scene,
        &request("GET", "localhost", &["Sec-Fetch-Mode: cors"]),
    );
}

#[test]
fn fault_04_with_access_browser_navigations_and_own_pages_are_served_and_nothing_else() {
    let scene = scene(true);
    let port = scene.proxy.address.port();
    let host = format!("localhost:{port}");
    let own = format!("Origin: http://{host}");
    let same_origin = "Sec-Fetch-Site: same-origin";
    for (method, lines) in [
        ("GET", &["Sec-Fetch-Site: none"][..]),
        ("HEAD", &["Sec-Fetch-Site: none"]),
        ("GET", &["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"]),
        ("GET", &[same_origin, "Sec-Fetch-Mode: no-cors"]),
        ("POST", &[same_origin, &own, "Content-Length: 0"]),
        ("DELETE", &[same_origin, &own]),
    ] {
        serves(&scene, &request(method, &host, lines));
    }
    for (method, lines) in [
        (
            "POST",
            &["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"][..],
        ),
        ("GET", &["Sec-Fetch-Site: none", "Sec-Fetch-Mode: no-cors"]),
        (
            "GET",
            &["Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"],
        ),
        ("GET", &["Sec-Fetch-Site: same-site"]),
        (
            "GET",
            &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"],
        ),
        ("POST", &["Sec-Fetch-Site: cross-site", &own]),
        ("POST", &["Sec-Fetch-Site: same-origin", "Origin: null"]),
        ("GET", &["Sec-Fetch-Site: none", "Sec-Purpose: prefetch"]),
        ("GET", &[same_origin, "Sec-Purpose: prefetch;prerender"]),
        ("GET", &["Purpose: prefetch"]),
    ] {
        refuses(&scene, &request(method, &host, lines));
    }
}

#[test]
fn fault_04_the_right_token_stands_for_the_marks_of_a_browser() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.access.hosts = vec!["proxy.internal".to_owned()];
        config.access.token = Some(CallerToken::new(b"0123456789abcdef"));
    });
    for mark in MARKS.into_iter().chain(["User-Agent: Mozilla/5.0"]) {
        let right = ["X-Apig-Proxy-Token: 0123456789abcdef", mark];
        serves(&scene, &request("GET", "proxy.internal", &right));
        let before = scene.upstream.requests().len();
        let wrong = ["X-Apig-Proxy-Token: 0123456789abcdeF", mark];
        let answer = scene.exchange(request("GET", "proxy.internal", &wrong));
        assert_eq!(answer.code(), "origin_not_allowed", "{mark}");
        assert_eq!(scene.upstream.requests().len(), before, "{mark}");
    }
}

#[test]
fn fault_93_what_a_foreign_page_has_a_browser_fetch_is_refused() {
    let scene = scene(false);
    let chrome = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    let none = "Sec-Fetch-Site: none";
    for (what, host, lines) in [
        (
            "speculation rules: prefetch",
            "localhost",
            &[chrome, none, "Sec-Purpose: prefetch"][..],
        ),
        (
            "speculation rules: prerender",
            "localhost",
            &[chrome, none, "Sec-Purpose: prefetch;prerender"],
        ),
        (
            "the navigation after a prefetch",
            "localhost",
            &[chrome, none, "Sec-Fetch-Mode: navigate"],
        ),
        (
            "a typed link that redirects",
            "localhost",
            &[
                chrome,
                none,
                "Sec-Fetch-Mode: navigate",
                "Sec-Fetch-User: ?1",
            ],
        ),
        (
            "a link hint",
            "localhost",
            &[
                chrome,
                "Sec-Fetch-Site: cross-site",
                "Sec-Purpose: prefetch",
            ],
        ),
        (
            "a service worker",
            "localhost",
            &[
                chrome,
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Dest: empty",
            ],
        ),
        (
            "another port",
            "localhost",
            &[chrome, "Sec-Fetch-Site: same-site"],
        ),
        ("an image by a plain-HTTP name", "proxy.internal", &[chrome]),
        (
            "a form by a plain-HTTP name",
            "proxy.internal",
            &[chrome, "Origin: http://evil.example"],
        ),
        (
            "an own page by a plain-HTTP name",
            "proxy.internal",
            &[chrome, "Origin: http://proxy.internal"],
        ),
    ] {
        for method in ["GET", "POST"] {
            let request = request(method, host, lines);
            let answer = scene.refuses(&request, 403, "origin_not_allowed");
            assert!(answer.text().contains("access.browser"), "{what}");
        }
    }
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|seen| seen.target() == "/next")
    );
    let program = request("GET", "proxy.internal", &["User-Agent: curl/8.14.1"]);
    serves(&scene, &program);
}

#[test]
fn fault_93_programs_that_send_some_of_what_browsers_send_are_served() {
    let scene = scene(false);
    let host = format!("localhost:{}", scene.proxy.address.port());
    let own = format!("Origin: http://{host}");
    for lines in [
        &["User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1"][..],
        &[
            "User-Agent: node",
            "Sec-Fetch-Mode: cors",
            "Accept-Language: *",
        ],
        &["User-Agent: Wget/1.21.3", "Accept: */*"],
        &[&own],
    ] {
        serves(&scene, &request("GET", &host, lines));
    }
    // As websocket-client opens one.
    let handshake = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        &own,
    ];
    let scene = Scene::before(Upstream::scripted(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    }));
    assert_eq!(
        scene.exchange(request("GET", &host, &handshake)).status,
        200
    );
    assert_eq!(scene.arrived().header("upgrade"), "websocket");
}
