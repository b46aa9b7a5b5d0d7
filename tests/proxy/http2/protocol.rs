//! Which requests use HTTP/2, and what of them arrives.

use super::{EACH, Http2Scene, post, workers};
use crate::support::{ANSWERED, Gateway, Protocol, chunked, get, request};

#[test]
fn http2_carries_small_requests_above_the_threshold_signed_and_complete() {
    let scene = Http2Scene::busy(Gateway::plan());
    assert_eq!(scene.serves(), Protocol::Http2);
    let body = |number: usize| vec![b'a' + u8::try_from(number).unwrap() % 26; number * 1500];
    let mut callers = scene.callers(40);
    for (number, caller) in callers.iter_mut().enumerate() {
        match number % 2 {
            0 => caller.send(get(&format!("/{number}?b=2&a=1"))),
            _ => caller.send(post(&format!("/{number}"), &body(number))),
        };
    }
    super::served(&mut callers);
    assert_eq!(scene.gateway.arrived().len(), workers() + 40);
    for number in 0..40 {
        let is_get = number % 2 == 0;
        let query = if is_get { "?b=2&a=1" } else { "" };
        let request = scene.only(&format!("/{number}{query}"));
        assert_eq!(request.protocol, Protocol::Http2);
        assert_eq!(request.header("host"), scene.gateway.address.to_string());
        assert!(request.verified().body_signed);
        assert_eq!(request.body, if is_get { Vec::new() } else { body(number) });
    }
    // All requests of a worker share one connection.
    assert_eq!(scene.gateway.connections(Protocol::Http2), workers());
    assert_eq!(scene.gateway.connections(Protocol::Http1), EACH * workers());
}

#[test]
fn http2_carries_headers_byte_for_byte_with_their_names_in_lower_case() {
    let scene = Http2Scene::busy(Gateway::plan());
    let request = b"POST /heads HTTP/1.1\r\nHost: localhost\r\nX-Twice: 2\r\nX-Bytes: caf\xe9 \xff\xc3\xa9\r\n\
        x_under: 1\r\nX-TWICE: 1\r\nX-Empty:\r\nx-twice: 1\r\nConnection: x-gone\r\nX-Gone: 1\r\nTE: trailers\r\n\
        Authorization: mine\r\nX-Tab: a\tb\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nContent-Length: 0\r\n";
    // Long enough for CONTINUATION frames.
    let long = "v".repeat(50_000);
    let request = [&request[..], format!("X-Long: {long}\r\n\r\n").as_bytes()].concat();
    scene.proxy.exchange(request).assert_text(200, ANSWERED);
    let arrived = scene.only("/heads");
    assert!(arrived.header("x-long") == long);
    assert_eq!(arrived.protocol, Protocol::Http2);
    assert_eq!(arrived.all("x-twice"), [&b"2"[..], b"1", b"1"]);
    assert_eq!(arrived.all("x-bytes"), [b"caf\xe9 \xff\xc3\xa9"]);
    assert_eq!(arrived.all("cookie"), [&b"a=1; b=2"[..], b"c=3"]);
    for (name, value) in [
        ("x_under", "1"),
        ("x-empty", ""),
        ("x-tab", "a\tb"),
        ("content-length", "0"),
        ("te", "trailers"),
    ] {
        assert_eq!(arrived.header(name), value);
    }
    arrived.assert_without(&["x-gone", "connection"]);
    arrived.verified();
}

#[test]
fn http2_is_not_used_below_the_concurrency_threshold() {
    let scene = Http2Scene::quiet(Gateway::plan(), |_| {});
    let mut client = scene.proxy.client();
    for _ in 0..20 {
        client.get("/").assert_text(200, ANSWERED);
    }
    assert_eq!(scene.gateway.arrived().len(), 20);
    assert_eq!(scene.gateway.connections(Protocol::Http2), 0);
    assert_eq!(scene.gateway.connections(Protocol::Http1), 1);
}

#[test]
fn http2_is_not_used_when_it_is_disabled_or_not_supported_by_the_gateway() {
    let off = Http2Scene::busy_with(Gateway::plan(), |config| config.pool.http2 = false);
    let other = Http2Scene::busy(Gateway::plan().speaking(&["http/1.1"]));
    let none = Http2Scene::busy(Gateway::plan().speaking(&[]));
    for scene in [off, other, none] {
        assert_eq!(scene.serves(), Protocol::Http1);
        assert_eq!(scene.gateway.connections(Protocol::Http2), 0);
    }
}

#[test]
fn http2_is_not_used_for_long_bodies_streamed_bodies_and_websockets() {
    let scene = Http2Scene::busy(Gateway::plan());
    let multipart = "Content-Type: multipart/form-data; boundary=x";
    let streamed = request("POST /streamed", multipart, "--x");
    let websocket = "Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (target, request, status) in [
        ("/long", post("/long", &[b'x'; 64 * 1024 + 1]), 200),
        ("/streamed", streamed, 200),
        ("/v1", chunked("multipart/mixed", &[b"--x"]), 200),
        ("/socket", request("GET /socket", websocket, ""), 101),
    ] {
        scene.proxy.exchange(request).assert_status(status);
        let arrived = scene.only(target);
        assert_eq!(arrived.protocol, Protocol::Http1, "{target}");
        arrived.verified();
    }
    // The longest body that may use HTTP/2.
    let body = [b'x'; 64 * 1024];
    scene.proxy.passes(post("/short", &body));
    let arrived = scene.only("/short");
    assert_eq!(arrived.protocol, Protocol::Http2);
    assert_eq!(&*arrived.body, &body[..]);
}
