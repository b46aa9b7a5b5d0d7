//! Requests of web browsers: numbers 4 and 93. Real browsers are in `tests/clients/pages.py`.

use apig_proxy::config::CallerToken;

use crate::support::{Scene, Upstream};

/// A request by this method and `Host`, with these lines, between which `|` stands.
fn request(method: &str, host: &str, lines: &str) -> String {
    let lines = lines.replace('|', "\r\n");
    format!("{method} /page HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n\r\n")
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
            refuses(&scene, &request(method, "localhost", mark));
        }
    }
    // Node's fetch sends this, and no browser sends it alone.
    serves(&scene, &request("GET", "localhost", "Sec-Fetch-Mode: cors"));
}

#[test]
fn fault_04_with_access_browser_navigations_and_own_pages_are_served_and_nothing_else() {
    let scene = scene(true);
    let port = scene.proxy.address.port();
    let host = format!("localhost:{port}");
    let own = format!("Origin: http://{host}");
    for case in [
        "GET Sec-Fetch-Site: none",
        "HEAD Sec-Fetch-Site: none",
        "GET Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate",
        "GET Sec-Fetch-Site: same-origin|Sec-Fetch-Mode: no-cors",
        &format!("POST Sec-Fetch-Site: same-origin|{own}|Content-Length: 0"),
        &format!("DELETE Sec-Fetch-Site: same-origin|{own}"),
    ] {
        let (method, lines) = case.split_once(' ').unwrap();
        serves(&scene, &request(method, &host, lines));
    }
    for case in [
        "POST Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate",
        "GET Sec-Fetch-Site: none|Sec-Fetch-Mode: no-cors",
        "GET Sec-Fetch-Site: none|Sec-Fetch-Site: cross-site",
        "GET Sec-Fetch-Site: same-site",
        "GET Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate",
        &format!("POST Sec-Fetch-Site: cross-site|{own}"),
        "POST Sec-Fetch-Site: same-origin|Origin: null",
        "GET Sec-Fetch-Site: none|Sec-Purpose: prefetch",
        "GET Sec-Fetch-Site: same-origin|Sec-Purpose: prefetch;prerender",
        "GET Purpose: prefetch",
    ] {
        let (method, lines) = case.split_once(' ').unwrap();
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
    let at_loopback = [
        // Speculation rules, and the navigation after a prefetch.
        "Sec-Fetch-Site: none|Sec-Purpose: prefetch",
        "Sec-Fetch-Site: none|Sec-Purpose: prefetch;prerender",
        "Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate",
        // A typed link that redirects.
        "Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate|Sec-Fetch-User: ?1",
        // A link hint, a service worker, and another port.
        "Sec-Fetch-Site: cross-site|Sec-Purpose: prefetch",
        "Sec-Fetch-Site: cross-site|Sec-Fetch-Dest: empty",
        "Sec-Fetch-Site: same-site",
    ];
    // An image, a form, and an own page: by a plain-HTTP name, browsers send no other marks.
    let by_name = [
        "Accept: image/*",
        "Origin: http://evil.example",
        "Origin: http://proxy.internal",
    ];
    let cases = at_loopback.map(|lines| ("localhost", lines)).into_iter();
    for (host, lines) in cases.chain(by_name.map(|lines| ("proxy.internal", lines))) {
        for method in ["GET", "POST"] {
            let request = request(method, host, &format!("{chrome}|{lines}"));
            let answer = scene.refuses(&request, 403, "origin_not_allowed");
            answer.about(request).assert_says("access.browser");
        }
    }
    let requests = scene.upstream.requests();
    assert!(requests.iter().all(|seen| seen.target() == "/next"));
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
    let handshake = format!(
        "Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|Sec-WebSocket-Version: 13|{own}"
    );
    let scene = Scene::before(Upstream::replying(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    }));
    assert_eq!(
        scene.exchange(request("GET", &host, &handshake)).status,
        200
    );
    assert_eq!(scene.arrived().header("upgrade"), "websocket");
}
