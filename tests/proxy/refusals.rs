//! Requests that the proxy answers itself, and how the connection goes on.

use std::time::Duration;

use apig_proxy::config::Methods;
use http::Method;

use crate::support::{Scene, Upstream, get, pause, post};

#[test]
fn methods_outside_the_configuration_are_refused_with_those_inside() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.methods = Methods::Only(vec![Method::GET, Method::POST]);
    });
    for request in [
        "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
    ] {
        let answer = scene.refuses(request, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "GET, POST");
    }
    // A caller that sends its body first reads the refusal all the same.
    let put = [b"PUT", &post("text/plain", &vec![b'a'; 12 << 20])[4..]].concat();
    scene.refuses(put, 405, "method_not_allowed");
}

#[test]
fn a_method_in_small_letters_is_refused_when_any_is_allowed() {
    let scene = Scene::plain();
    let request = |method: &str| format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    scene.refuses(request("get"), 400, "bad_request");
    assert_eq!(scene.exchange(request("M-SEARCH")).status, 200);
    scene.arrived().verified();
}

#[test]
fn the_next_request_over_the_same_connection_is_served_unless_the_guard_refused() {
    let scene = Scene::plain();
    let mut client = scene.client();
    client.send(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n");
    assert_eq!(client.answer().status, 405);
    client.send(get("/served"));
    assert_eq!(client.answer().status, 200);
    client.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    client.answer().assert_header(403, "connection", "close");
    assert!(client.is_closed());
    assert_eq!(scene.arrived().target(), "/served");
}

#[test]
fn bytes_after_the_last_request_do_not_cost_the_caller_its_answer() {
    let scene = Scene::plain();
    for (host, status) in [("localhost", 200), ("evil.example", 403)] {
        for version in ["1.1", "1.0"] {
            let mut client = scene.client();
            let request = format!(
                "POST / HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            client.send(&request);
            // The answer has come, and is read only after more was sent.
            client.wait_for_input();
            for _ in 0..3 {
                client.send(b"\r\n");
                pause(Duration::from_millis(50));
            }
            let answer = client.answer();
            assert_eq!(answer.status, status);
            if version == "1.1" {
                assert_eq!(answer.header("connection"), "close");
            }
            client.ends();
        }
    }
}
