//! Which requests go over HTTP/2, and what arrives of them.

use super::{EACH, Scene, get, post, workers};
use crate::support::{ANSWERED, Gateway, Way};

#[test]
fn http2_carries_the_small_requests_of_a_crowd_signed_and_complete() {
    let scene = Scene::busy(Gateway::plan());
    assert_eq!(scene.serves(), Way::Http2);
    let body = |number: usize| vec![b'a' + u8::try_from(number % 26).unwrap(); number * 1500];
    let requests: Vec<Vec<u8>> = (0..40)
        .map(|number| match number % 2 {
            0 => get(&format!("/{number}?b=2&a=1")).into_bytes(),
            _ => post(&format!("/{number}"), &body(number)),
        })
        .collect();
    for answer in scene.all(&requests) {
        answer.assert_text(200, ANSWERED);
    }
    let arrived = scene.gateway.arrived();
    assert_eq!(arrived.len(), workers() + 40);
    for number in 0..40 {
        let query = if number % 2 == 0 { "?b=2&a=1" } else { "" };
        let request = scene.only(&format!("/{number}{query}"));
        assert_eq!(request.way, Way::Http2);
        assert_eq!(
            request.seen.header("host"),
            scene.gateway.address.to_string()
        );
        assert!(request.seen.verified().body_signed);
        let expected = if number % 2 == 0 {
            Vec::new()
        } else {
            body(number)
        };
        assert_eq!(request.seen.body, expected);
    }
    // Each worker has one that all its requests share.
    assert_eq!(scene.gateway.connections(Way::Http2), workers());
    assert_eq!(scene.gateway.connections(Way::Http1), EACH * workers());
}

#[test]
fn http2_carries_headers_byte_for_byte_with_their_names_in_lower_case() {
    let scene = Scene::busy(Gateway::plan());
    let request = b"POST /heads HTTP/1.1\r\nHost: localhost\r\nX-Twice: 2\r\nX-Bytes: caf\xe9 \xff\xc3\xa9\r\n\
        x_under: 1\r\nX-TWICE: 1\r\nX-Empty:\r\nx-twice: 1\r\nConnection: x-gone\r\nX-Gone: 1\r\nTE: trailers\r\n\
        Authorization: mine\r\nX-Tab: a\tb\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nContent-Length: 0\r\n\r\n";
    let answer = scene.proxy.client().send(request).answer();
    assert_eq!(answer.text(), ANSWERED);
    let arrived = scene.only("/heads");
    assert_eq!(arrived.way, Way::Http2);
    let seen = arrived.seen;
    assert_eq!(seen.all("x-twice"), [&b"2"[..], b"1", b"1"]);
    assert_eq!(seen.all("x-bytes"), [b"caf\xe9 \xff\xc3\xa9"]);
    assert_eq!((seen.header("x_under"), seen.header("x-empty")), ("1", ""));
    assert_eq!(seen.header("x-tab"), "a\tb");
    assert_eq!(seen.all("cookie"), [&b"a=1; b=2"[..], b"c=3"]);
    assert_eq!(seen.header("content-length"), "0");
    assert!(seen.header("authorization").starts_with("SDK-HMAC-SHA256 "));
    assert_eq!(seen.header("te"), "trailers");
    for gone in ["x-gone", "connection"] {
        assert!(seen.all(gone).is_empty(), "{gone}");
    }
    seen.verified();
}

#[test]
fn http2_carries_a_head_that_needs_several_frames() {
    let scene = Scene::busy(Gateway::plan());
    let long = "v".repeat(50_000);
    let request = format!("GET /long HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n");
    assert_eq!(scene.proxy.exchange(request).text(), ANSWERED);
    let arrived = scene.only("/long");
    assert_eq!(
        (arrived.way, arrived.seen.header("x-long")),
        (Way::Http2, &*long)
    );
    arrived.seen.verified();
}

/// How a request with this target is answered, and as what it arrived.
fn outcome(scene: &Scene, target: &str) -> (u16, Option<String>) {
    let before = scene.gateway.arrived().len();
    let answer = scene.proxy.get(target);
    let arrived = scene.gateway.arrived().split_off(before).pop();
    let arrived = arrived.map(|arrived| {
        arrived.seen.verified();
        arrived.seen.target().to_owned()
    });
    (answer.status, arrived)
}

#[test]
fn http2_makes_no_difference_to_which_targets_arrive_and_as_what() {
    let quiet = Scene::quiet(Gateway::plan(), |_| {});
    let busy = Scene::busy(Gateway::plan());
    let characters = (0x21..0x7f).map(char::from);
    let targets =
        characters.flat_map(|c| [format!("/{c}a"), format!("/a?b{c}=1"), format!("/a?{c}")]);
    for target in targets {
        assert_eq!(
            outcome(&busy, &target),
            outcome(&quiet, &target),
            "{target}"
        );
    }
}

#[test]
fn http2_makes_no_difference_to_which_methods_arrive() {
    let busy = Scene::busy(Gateway::plan());
    for method in ["GET", "DELETE", "OPTIONS", "PATCH", "PURGE", "M-SEARCH"] {
        let request = format!("{method} /m HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let before = busy.gateway.arrived().len();
        let answer = busy.proxy.exchange(request);
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        let arrived = busy.gateway.arrived().split_off(before).remove(0);
        assert_eq!((arrived.seen.method(), arrived.way), (method, Way::Http2));
        arrived.seen.verified();
    }
}

#[test]
fn http2_is_not_spoken_for_a_caller_by_itself() {
    let scene = Scene::quiet(Gateway::plan(), |_| {});
    let mut client = scene.proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), ANSWERED);
    }
    assert_eq!(scene.gateway.arrived().len(), 20);
    assert_eq!(scene.gateway.connections(Way::Http2), 0);
    assert_eq!(scene.gateway.connections(Way::Http1), 1);
}

#[test]
fn http2_is_not_spoken_when_it_is_switched_off() {
    let scene = Scene::busy_with(Gateway::plan(), |config| config.pool.http2 = false);
    assert_eq!(scene.serves(), Way::Http1);
    assert_eq!(scene.gateway.connections(Way::Http2), 0);
}

#[test]
fn http2_is_not_spoken_with_a_gateway_that_does_not_know_it() {
    for protocols in [&["http/1.1"][..], &[]] {
        let scene = Scene::busy(Gateway::plan().speaking(protocols));
        assert_eq!(scene.serves(), Way::Http1);
        assert_eq!(scene.gateway.connections(Way::Http2), 0);
    }
}

#[test]
fn http2_is_not_spoken_for_long_bodies_streamed_bodies_and_websockets() {
    let scene = Scene::busy(Gateway::plan());
    let long = post("/long", &vec![b'x'; 64 * 1024 + 1]);
    let streamed = post("/streamed", b"--x").as_slice().to_vec();
    let streamed = String::from_utf8(streamed).unwrap();
    let streamed = streamed.replace("application/json", "multipart/form-data; boundary=x");
    let chunked = "POST /chunked HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/mixed\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\n--x\r\n0\r\n\r\n";
    let websocket = "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let requests = [
        &long,
        streamed.as_bytes(),
        chunked.as_bytes(),
        websocket.as_bytes(),
    ];
    let statuses = [200, 200, 200, 101];
    for (request, status) in requests.into_iter().zip(statuses) {
        assert_eq!(scene.proxy.exchange(request).status, status);
    }
    for target in ["/long", "/streamed", "/chunked", "/socket"] {
        let arrived = scene.only(target);
        assert_eq!(arrived.way, Way::Http1, "{target}");
        arrived.seen.verified();
    }
    // The longest that is still short.
    let body = vec![b'x'; 64 * 1024];
    assert_eq!(scene.proxy.exchange(post("/short", &body)).status, 200);
    let arrived = scene.only("/short");
    assert_eq!((arrived.way, arrived.seen.body), (Way::Http2, body));
}
