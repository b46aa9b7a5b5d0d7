//! Requests of web browsers: numbers 4 and 93. Further combinations are in `guard.rs`, and real browsers
//! in `tests/clients/pages.py`.

use apig_proxy::config::CallerToken;

use crate::support::{Scene, Upstream, rows};

/// A request with this method and `Host`, and lines that are separated by `|`.
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
fn fault_04_a_request_marked_by_a_browser_is_refused_on_every_method() {
    let scene = scene(false);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
        for mark in MARKS {
            refuses(&scene, &request(method, "localhost", mark));
        }
    }
}

#[test]
fn fault_04_the_right_token_outweighs_the_marks_of_a_browser() {
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

/// Whether `access.browser` is set, methods, host, headers, and whether the request is served. OWN is the address of the
/// proxy.
const REQUESTS: &str = "
    # The navigation after a prefetch, and a typed link that redirects.
    off | GET POST | localhost | CHROME|Sec-Fetch-Site: none|Sec-Purpose: prefetch | refused
    off | GET POST | localhost | CHROME|Sec-Fetch-Site: none|Sec-Fetch-User: ?1 | refused
    # A service worker, and another port.
    off | GET POST | localhost | CHROME|Sec-Fetch-Site: cross-site|Sec-Fetch-Dest: empty | refused
    off | GET POST | localhost | CHROME|Sec-Fetch-Site: same-site | refused
    # An image, a form, and an own page: to a plain-HTTP name, browsers send no other marks.
    off | GET POST | proxy.internal | CHROME|Accept: image/* | refused
    off | GET POST | proxy.internal | CHROME|Origin: http://evil.example | refused
    off | GET POST | proxy.internal | CHROME|Origin: http://proxy.internal | refused
    # Programs that send some of what browsers send. The last one is Node's fetch.
    off | GET | proxy.internal | User-Agent: curl/8.14.1 | served
    off | GET | OWN | User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1 | served
    off | GET | OWN | User-Agent: Wget/1.21.3|Accept: */* | served
    off | GET | OWN | Origin: http://OWN | served
    off | GET | localhost | Sec-Fetch-Mode: cors | served
    off | GET | OWN | User-Agent: node|Sec-Fetch-Mode: cors|Accept-Language: * | served
    # Navigations and own pages.
    on | GET | OWN | Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate | served
    on | GET | OWN | Sec-Fetch-Site: same-origin | served
    on | POST | OWN | Sec-Fetch-Site: same-origin|Origin: http://OWN|Content-Length: 0 | served
    on | POST | OWN | Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate | refused
    on | GET | OWN | Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate | refused
    on | POST | OWN | Sec-Fetch-Site: same-origin|Origin: null | refused
    on | GET | OWN | Sec-Fetch-Site: none|Sec-Purpose: prefetch | refused";

#[test]
fn fault_93_what_a_page_makes_a_browser_fetch_is_refused_and_what_programs_send_is_served() {
    const CHROME: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    let [off, on] = [false, true].map(scene);
    for [browser, methods, host, lines, outcome] in rows(REQUESTS) {
        let scene = if browser == "on" { &on } else { &off };
        let own = format!("localhost:{}", scene.proxy.address.port());
        let [host, lines] = [host, lines].map(|text| text.replace("OWN", &own));
        for method in methods.split(' ') {
            let request = request(method, &host, &lines.replace("CHROME", CHROME));
            match outcome {
                "served" => serves(scene, &request),
                _ => refuses(scene, &request),
            }
        }
    }
    // As websocket-client opens one.
    let own = format!("localhost:{}", off.proxy.address.port());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|Sec-WebSocket-Version: 13";
    let lines = format!("Upgrade: websocket|Connection: Upgrade|{key}|Origin: http://{own}");
    serves(&off, &request("GET", &own, &lines));
    assert_eq!(off.arrived().header("upgrade"), "websocket");
}
