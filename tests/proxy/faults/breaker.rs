//! What opens the breaker of a key, and what resets it: numbers 95 and 99.

use std::thread;
use std::time::Duration;

use apig_proxy::config::{Auth, AuthMode, CredentialsConfig};

use super::refusals::never_content;
use crate::support::{
    Proxy, Scene, Upstream, answer, config, gateway_error, get, key, ok, pause, route,
    wrong_signature,
};

/// A gateway that refuses the signature of `/wrong`, and gives this answer to everything else.
fn besides(other: String) -> Upstream {
    Upstream::replying(move |seen| match seen.target() {
        "/wrong" => wrong_signature(),
        _ => other.clone(),
    })
}

/// How many refused requests reach a gateway when every third one is answered with something else.
fn refusals(upstream: Upstream, method: &str) -> usize {
    let scene = Scene::before(upstream);
    let other = get("/other").replace("GET", method);
    for _ in 0..5 {
        for request in [&get("/wrong"), &get("/wrong"), &other] {
            let mut client = scene.client();
            let is_head = request.starts_with("HEAD");
            client.send(request).try_answer(is_head).unwrap();
        }
    }
    let seen = scene.upstream.requests();
    seen.iter().filter(|seen| seen.target() == "/wrong").count()
}

#[test]
fn fault_95_an_answer_from_before_the_signature_check_does_not_reset_the_count() {
    let gzipped = "HTTP/1.1 404 X\r\ncontent-encoding: zstd\r\ncontent-length: 2\r\n\r\nxx";
    let endless = format!("{{\"error_msg\":\"{}", "x".repeat(100_000));
    for other in [
        gateway_error("404 Not Found", "APIG.0101", "x"),
        gzipped.to_owned(),
        answer("404 Not Found", "", &endless),
        gateway_error("413 Large", "APIG.0201", "x"),
        gateway_error("429 Too Many", "APIG.0308", "x"),
        gateway_error("502 Bad Gateway", "APIG.0201", "x"),
        gateway_error("504 Timeout", "APIG.0999", "x"),
        answer("401 Unauthorized", "", "who are you"),
        answer("403 Forbidden", "", "no"),
        answer("502 Bad Gateway", "", "<html>"),
        answer("503 Unavailable", "", ""),
    ] {
        assert_eq!(refusals(besides(other.clone()), "GET"), 3, "{other:.80}");
    }
    let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n";
    assert_eq!(refusals(besides(head.to_owned()), "HEAD"), 3);
}

#[test]
fn fault_95_an_answer_that_proves_the_signature_resets_the_count() {
    for other in [
        ok("ok"),
        answer("302 Found", "location: /x\r\n", ""),
        answer("404 Not Found", "", "no such flower"),
        answer("400 Bad Request", "", "{\"detail\":\"no\"}"),
        answer("500 Error", "", "<html>"),
        gateway_error("502 Bad Gateway", "APIG.0202", "x"),
        gateway_error("504 Timeout", "APIG.0203", "x"),
        gateway_error("400 Bad Request", "SHOP.0001", "x"),
    ] {
        assert_eq!(refusals(besides(other.clone()), "GET"), 10, "{other:.80}");
    }
}

#[test]
fn fault_95_refusals_of_head_requests_open_the_breaker() {
    let scene = Scene::before(Upstream::replying(|seen| match seen.target() {
        "/backend" => "HTTP/1.1 401 No\r\ncontent-length: 120\r\nwww-authenticate: Basic\r\n\r\n",
        _ => "HTTP/1.1 401 No\r\ncontent-length: 120\r\n\r\n",
    }));
    let head = |path: &str| {
        let request = get(path).replace("GET", "HEAD");
        scene.client().send(&request).head_answer()
    };
    // A 401 with `WWW-Authenticate` is of a backend.
    for _ in 0..5 {
        assert!(head("/backend").all("x-apig-proxy-hint").is_empty());
    }
    head("/wrong").assert_hints("send it as get");
    let statuses = [head("/wrong"), head("/wrong"), head("/wrong")].map(|answer| answer.status);
    assert_eq!(statuses, [401, 401, 503]);
    assert_eq!(scene.upstream.requests().len(), 8);
}

/// Two gateways, and a proxy with routes to both, of which one names another set with the same key.
fn two_gateways() -> (Upstream, Upstream, Proxy) {
    let refusing = || Upstream::answering(wrong_signature());
    let (one, two) = (refusing(), refusing());
    let mut config = config(&one);
    config.credentials.push(CredentialsConfig {
        name: Some("again".to_owned()),
        ..CredentialsConfig::default()
    });
    let mut again = route("/again", &one, "");
    again.auth = Auth {
        mode: AuthMode::default(),
        credentials: 1,
    };
    config.routes.insert(0, again);
    config.routes.insert(0, route("/two", &two, ""));
    let proxy = Proxy::start(&config);
    (one, two, proxy)
}

#[test]
fn fault_99_one_access_key_under_two_names_and_at_two_gateways_has_one_breaker() {
    let (one, two, proxy) = two_gateways();
    for _ in 0..10 {
        for path in ["/x", "/again/x", "/two/x"] {
            let answer = proxy.get(path);
            assert!([401, 503].contains(&answer.status), "{answer:?}");
        }
    }
    assert_eq!(one.requests().len() + two.requests().len(), 3);
    assert_eq!((one.requests().len(), two.requests().len()), (2, 1));
    assert_eq!(proxy.metrics().value("apig_proxy_key_locked", ""), 1.0);
}

#[test]
fn fault_99_slow_refusals_of_one_access_key_are_five_at_most() {
    let upstream = Upstream::replying(|_| {
        pause(Duration::from_millis(4500));
        wrong_signature()
    });
    let scene = Scene::before(upstream);
    for answer in scene.at_once(20, get("/x")) {
        if answer.status == 503 {
            assert_eq!(answer.code(), "key_locked");
            let after: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&after), "{after}");
        } else {
            answer.assert_status(401);
        }
    }
    let reached = scene.upstream.requests().len();
    assert!((3..=5).contains(&reached), "{reached}");
}

#[test]
fn fault_99_refused_dates_are_refusals_too() {
    let scene = Scene::before(never_content());
    for _ in 0..20 {
        let answer = scene.get("/x");
        assert!([401, 503].contains(&answer.status), "{answer:?}");
    }
    let reached = scene.upstream.requests().len();
    assert!((3..=5).contains(&reached), "{reached}");
    let mut other = key();
    other.access_key = "AKOTHER0000000000000".to_owned();
    let proxy = Proxy::start_with(&config(&scene.upstream), &other);
    proxy.get("/x").assert_status(401);
}

#[test]
fn slow_first_answers_do_not_hold_back_a_good_key() {
    let scene = Scene::before(Upstream::replying(|seen| {
        if seen.target() == "/slow" {
            pause(Duration::from_millis(4500));
        }
        ok("ok")
    }));
    thread::scope(|scope| {
        let slow = scope.spawn(|| scene.at_once(3, get("/slow")));
        scene.upstream.wait_for(3);
        // Nothing is known of the key yet: this one waits, but not for the other three.
        scene.passes(get("/next"));
        assert!(!slow.is_finished());
        for answer in slow.join().unwrap() {
            answer.assert_status(200);
        }
    });
    assert_eq!(scene.upstream.requests().len(), 4);
}
