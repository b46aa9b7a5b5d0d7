//! The admin listener: who may ask, what is answered, and what it says of a proxy that stops.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use apig_proxy::server::DrainOutcome;
use tokio::time::Instant;

use crate::support::{Answer, Client, Scene, Upstream, answer, get, wait_until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn scene() -> Scene {
    Scene::with(Upstream::start(), |config| {
        config.admin = Some("127.0.0.1:0".parse().unwrap());
    })
}

fn asked(scene: &Scene, request: &str) -> Answer {
    scene.proxy.admin().send(request).answer()
}

#[test]
fn a_proxy_that_serves_is_started_alive_and_ready() {
    let scene = scene();
    for path in ["/livez", "/readyz", "/startupz", "/readyz?verbose"] {
        let answer = scene.proxy.asked(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok\n"),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let metrics = scene.proxy.asked("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(scene.upstream.connections(), 0);
}

#[test]
fn readiness_does_not_depend_on_the_gateway() {
    let upstream = Upstream::handling(|_| Ok(()));
    let scene = Scene::with(upstream, |config| {
        config.admin = Some("127.0.0.1:0".parse().unwrap());
    });
    assert_eq!(scene.proxy.exchange(GET).status, 502);
    assert_eq!(scene.proxy.asked("/readyz").status, 200);
}

#[test]
fn head_is_answered_without_a_body_and_a_connection_ends_with_its_answer() {
    let scene = scene();
    let mut client = scene.proxy.admin();
    client.send(b"HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.head_answer();
    assert_eq!(
        (answer.status, answer.header("content-length").as_str()),
        (200, "3")
    );
    assert_eq!(answer.header("connection"), "close");
    assert!(client.is_closed());
}

#[test]
fn other_paths_are_not_found_and_other_methods_not_allowed() {
    let scene = scene();
    for path in ["/", "/livez/", "/metricsx", "//livez", "*", "/LIVEZ"] {
        let answer = scene.proxy.asked(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("/livez") && !answer.text().contains("LIVEZ"));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let answer = asked(
            &scene,
            &format!(
                "{method} /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
        );
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    // The paths are the admin listener's alone.
    assert_eq!(scene.proxy.exchange(GET).status, 200);
    let livez = get("/livez");
    assert_eq!(scene.proxy.exchange(livez).status, 200);
    assert_eq!(scene.upstream.requests()[1].target(), "/livez");
}

#[test]
fn who_may_not_use_the_proxy_may_not_ask_either() {
    let scene = scene();
    for path in ["/livez", "/metrics", "/nothing"] {
        for (fields, status, code) in [
            ("Host: evil.example\r\n", 403, "host_not_allowed"),
            ("Host: 0.0.0.0\r\n", 403, "host_not_allowed"),
            ("", 400, "bad_host"),
            ("Host: localhost\r\nHost: localhost\r\n", 400, "bad_host"),
            (
                "Host: localhost\r\nOrigin: http://evil.example\r\n",
                403,
                "origin_not_allowed",
            ),
            (
                "Host: localhost\r\nOrigin: null\r\n",
                403,
                "origin_not_allowed",
            ),
            (
                "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
                403,
                "origin_not_allowed",
            ),
        ] {
            for method in ["GET", "POST"] {
                let request = format!("{method} {path} HTTP/1.1\r\n{fields}\r\n");
                let refused = asked(&scene, &request);
                assert_eq!(
                    (refused.status, refused.code().as_str()),
                    (status, code),
                    "{request}"
                );
                assert!(!refused.text().contains("evil"));
                assert!(refused.all("access-control-allow-origin").is_empty());
            }
        }
    }
    let absolute = "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(asked(&scene, absolute).code(), "bad_request");
    // What is refused here is no request of a caller's.
    let counted = scene.proxy.metrics().all("apig_proxy_requests_total");
    assert!(counted.is_empty(), "{counted:?}");
}

#[test]
fn a_person_may_open_a_page_of_it_in_a_browser_and_no_web_page_may_ask() {
    let scene = scene();
    let ask = |method: &str, path: &str, mark: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{mark}\r\n\r\n");
        asked(&scene, &request)
    };
    for path in ["/livez", "/metrics"] {
        let opened = ask(
            "GET",
            path,
            "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate",
        );
        assert_eq!(opened.status, 200, "{path}");
        for mark in [
            "Sec-Fetch-Site: same-origin",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: none\r\nSec-Purpose: prefetch",
        ] {
            let refused = ask("GET", path, mark);
            assert_eq!(refused.code(), "origin_not_allowed", "{path} {mark}");
        }
    }
    for mark in ["Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin"] {
        let refused = ask("POST", "/quitquitquit", mark);
        assert_eq!(refused.code(), "origin_not_allowed", "{mark}");
    }
    assert_eq!(scene.proxy.asked("/readyz").status, 200);
}

#[test]
fn what_cannot_be_read_is_refused_in_the_proxy_s_own_shape() {
    let scene = scene();
    let malformed = "GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n";
    assert_eq!(asked(&scene, malformed).code(), "bad_request");
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    assert_eq!(asked(&scene, &long).code(), "header_too_large");
    assert_eq!(scene.proxy.asked("/livez").status, 200);
}

#[test]
fn a_proxy_that_finishes_its_requests_is_alive_but_not_ready() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::scripted(move |_, out| {
        let _ = told.lock().unwrap().recv();
        out.write_all(answer("200 OK", "", "late").as_bytes())
    });
    let mut scene = Scene::with(upstream, |config| {
        config.admin = Some("127.0.0.1:0".parse().unwrap());
    });
    let mut client = scene.client();
    client.send(GET);
    wait_until("the request arrives", || {
        !scene.upstream.requests().is_empty()
    });
    assert_eq!(scene.proxy.asked("/readyz").status, 200);
    scene.proxy.begin_stopping();
    wait_until("it is not ready", || {
        scene.proxy.asked("/readyz").status == 503
    });
    let not_ready = scene.proxy.asked("/readyz").text();
    assert!(not_ready.starts_with("stopping: "), "{not_ready}");
    for path in ["/livez", "/startupz"] {
        assert_eq!(scene.proxy.asked(path).status, 200, "{path}");
    }
    assert_eq!(scene.proxy.metrics().value("apig_proxy_in_flight", ""), 1.0);
    go_on.send(()).unwrap();
    assert_eq!(client.answer().text(), "late");
    assert_eq!(scene.proxy.ended(), DrainOutcome::Drained);
}

#[test]
fn fault_97_silent_connections_do_not_keep_probes_from_being_answered() {
    let scene = scene();
    for begun in ["", "GET /livez HTTP/1.1\r\n"] {
        let mut silent: Vec<_> = (0..64).map(|_| scene.proxy.admin()).collect();
        for client in &mut silent {
            client.send(begun);
        }
        let asked = Instant::now();
        assert_eq!(scene.proxy.asked("/readyz").status, 200, "{begun:?}");
        // Half a head is waited for, a second at most.
        assert!(asked.elapsed() < Duration::from_secs(2), "{begun:?}");
        assert_eq!(scene.proxy.asked("/livez").status, 200, "{begun:?}");
        // Those that are still open end after two seconds.
        assert!(silent.iter_mut().all(Client::is_closed), "{begun:?}");
    }
}

#[test]
fn a_silent_connection_ends_after_two_seconds() {
    let scene = scene();
    let mut silent = scene.proxy.admin();
    let opened = Instant::now();
    assert!(silent.is_closed());
    let age = opened.elapsed();
    assert!(
        age > Duration::from_secs(1) && age < Duration::from_secs(4),
        "{age:?}"
    );
}
