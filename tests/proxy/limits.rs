//! How much of a body is taken, and for how long it is waited for.

use std::time::Duration;

use apig_proxy::config::Methods;
use http::Method;

use crate::bodies::{chunked, post};
use crate::support::{Proxy, Upstream, config};

const LIMIT: usize = 12 * 1024 * 1024;

#[test]
fn exactly_the_limit_passes_and_one_byte_more_does_not() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let body = vec![b'a'; LIMIT + 1];
    for content_type in ["application/json", "multipart/form-data"] {
        assert_eq!(proxy.exchange(post(content_type, &body[1..])).status, 200);
        assert_eq!(
            proxy.exchange(chunked(content_type, &[&body[1..]])).status,
            200
        );
    }
    let before = upstream.requests();
    assert_eq!(before.len(), 4);
    assert!(before.iter().all(|seen| seen.body.len() == LIMIT));

    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        LIMIT + 1
    );
    let answer = proxy.exchange(head);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    for content_type in ["application/json", "multipart/form-data"] {
        let mut client = proxy.client();
        // The proxy may answer and close before all of it is taken.
        let _ = client.try_send(&chunked(content_type, &[&body]));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (413, "body_too_large"),
            "{content_type}"
        );
    }
    assert_eq!(
        upstream.requests().len(),
        4,
        "a refused body arrived as a complete request"
    );
}

#[test]
fn a_declared_length_over_the_limit_is_refused_before_the_body_is_asked_for() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        LIMIT + 1
    );
    assert_eq!(proxy.exchange(request).status, 413);
    let mut client = proxy.client();
    client.send(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    assert_eq!(client.answer().status, 100);
    assert_eq!(client.send(b"{}").answer().status, 200);
    assert_eq!(upstream.only_request().all("expect").len(), 0);
}

#[test]
fn a_caller_that_sends_first_and_reads_later_gets_the_413() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(&post("application/json", &vec![b'a'; LIMIT + 1_000_000]));
    assert_eq!(client.answer().code(), "body_too_large");
    assert!(client.is_closed());
}

#[test]
fn bodies_over_the_budget_are_answered_503_and_room_comes_back() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.limits.buffered = 1000;
    let proxy = Proxy::start(&config);
    let mut slow = proxy.client();
    slow.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 600\r\n\r\n");
    // The body is asked for once there is room for it.
    assert_eq!(slow.answer().status, 100);
    let body = vec![b'a'; 600];
    assert_eq!(
        proxy.exchange(post("text/plain", &body)).code(),
        "overloaded"
    );
    let answer = proxy.exchange(chunked("text/plain", &[&body]));
    assert_eq!(
        (
            answer.code().as_str(),
            answer.header("retry-after").as_str()
        ),
        ("overloaded", "1")
    );
    assert_eq!(slow.send(&body).answer().status, 200);
    assert_eq!(proxy.exchange(post("text/plain", &body)).status, 200);
}

#[test]
fn a_refusal_of_any_kind_is_read_by_a_caller_that_sends_its_body_first() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.methods = Methods::Only(vec![Method::GET]);
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    client.send(&post("application/json", &vec![b'a'; LIMIT]));
    assert_eq!(client.answer().code(), "method_not_allowed");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_body_that_stops_arriving_is_answered_408() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.timeouts.body_idle = Duration::from_millis(100);
    let proxy = Proxy::start(&config);
    for content_type in ["application/json", "multipart/form-data"] {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: 6\r\n\r\nabc"
        );
        let answer = proxy.exchange(head);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (408, "body_timeout"),
            "{content_type}"
        );
    }
    assert_eq!(upstream.requests().len(), 0);
}
