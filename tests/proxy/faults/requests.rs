//! What is not HTTP, or can be read in two ways: numbers 8 to 11, 14, 15, 20, 28.

use crate::support::{Scene, Upstream, answer, get};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: localhost\r\n";

fn refused_with(scene: &Scene, fields: &str, body: &str) {
    let request = format!("{HEAD}{fields}\r\n{body}");
    scene.refuses_and_closes(request, 400, "bad_request");
}

#[test]
fn fault_08_a_body_whose_length_can_be_read_in_two_ways_is_refused() {
    let scene = Scene::plain();
    for fields in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 4\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: -4\r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length: 4 4\r\n",
        "Content-Length: 4;\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        refused_with(&scene, fields, "0\r\n\r\n");
    }
    let old = "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    scene.refuses_and_closes(old, 400, "bad_request");
}

#[test]
fn fault_08_a_length_beside_chunks_and_equal_lengths_are_taken_and_framed_anew() {
    let scene = Scene::plain();
    let after = get("/evil");
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let mut client = scene.client();
        let request = format!("{HEAD}{fields}\r\n3\r\nabc\r\n0\r\n\r\n{after}");
        client.send(&request);
        client.answer().assert_header(200, "connection", "close");
        // Where the next request begins is not certain, so there is none.
        assert!(client.is_closed());
    }
    let equal = format!("{HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(scene.exchange(equal).status, 200);
    let requests = scene.upstream.requests();
    assert_eq!(requests.len(), 3);
    for seen in requests {
        assert_eq!(
            (seen.header("content-length"), &seen.body[..]),
            ("3", &b"abc"[..])
        );
        assert!(seen.all("transfer-encoding").is_empty());
        assert!(seen.verified().body_signed);
    }
    scene.serves();
}

#[test]
fn fault_09_fields_and_chunks_that_servers_read_differently_are_refused() {
    let scene = Scene::plain();
    for fields in [
        "X-A: 1\r\n folded\r\n",
        "X-A: 1\r\n\tfolded\r\n",
        "X-A: a\0b\r\n",
        "X-A: a\rb\r\n",
        "X-A: a\x0bb\r\n",
        "X-A: a\x7fb\r\n",
        "X A: 1\r\n",
        "X-A : 1\r\n",
        " X-A: 1\r\n",
        ": 1\r\n",
        "X-A\r\n",
        "X(A): 1\r\n",
    ] {
        refused_with(&scene, fields, "");
    }
    for chunks in [
        "3\r\nabcd\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
    ] {
        refused_with(&scene, "Transfer-Encoding: chunked\r\n", chunks);
        // Nothing that is streamed arrives as a complete request either.
        let fields = "Content-Type: multipart/x\r\nTransfer-Encoding: chunked\r\n";
        refused_with(&scene, fields, chunks);
    }
}

#[test]
fn fault_10_heads_and_targets_over_the_limits_are_refused() {
    let scene = Scene::plain();
    let long = format!("{HEAD}X-A: {}\r\n\r\n", "a".repeat(64 * 1024));
    scene.refuses_and_closes(long, 431, "header_too_large");
    let endless = format!("{HEAD}X-A: {}", "a".repeat(64 * 1024));
    scene.refuses_and_closes(endless, 431, "header_too_large");
    let fields = |count: usize| format!("{HEAD}{}\r\n", "X-A: 1\r\n".repeat(count - 1));
    scene.refuses_and_closes(fields(101), 431, "header_too_large");
    assert_eq!(scene.exchange(fields(100)).status, 200);
    assert_eq!(scene.arrived().all("x-a").len(), 99);

    let target = |length: usize| {
        let path = "a".repeat(length - 1);
        get(&format!("/{path}"))
    };
    // As nginx counts a request line: `GET`, two blanks, `HTTP/1.1` and the line end belong to it.
    let longest = 32 * 1024 - 15;
    scene.refuses_and_closes(target(longest + 1), 414, "target_too_long");
    let plus = format!("/{}?+", "a".repeat(longest - 4));
    scene.refuses_and_closes(get(&plus), 414, "target_too_long");
    // Longer than a whole head may be.
    scene.refuses_and_closes(target(70 * 1024), 431, "header_too_large");
    assert_eq!(scene.exchange(target(longest)).status, 200);
}

#[test]
fn fault_11_a_target_that_cannot_be_signed_alike_everywhere_is_refused() {
    let scene = Scene::plain();
    for target in [
        "/a%zz",
        "/a%2",
        "/a/../b",
        "/a/%2e%2E/b",
        "/./a",
        "/a/..",
        "/a?=v",
        "/a?b=1&=v",
    ] {
        let request = get(target);
        scene.refuses_and_closes(request, 400, "bad_target");
    }
    let quoted = "GET /a?q={\"b\":1} HTTP/1.1\r\nHost: localhost\r\n\r\n";
    scene
        .refuses_and_closes(quoted, 400, "bad_request")
        .assert_says("percent-encode the target");
}

#[test]
fn fault_14_other_upgrades_are_refused_and_h2c_is_served_as_http_1() {
    let scene = Scene::plain();
    let upgrade = |to: &str| {
        format!(
            "GET /u HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n"
        )
    };
    for to in ["tls/1.0", "h3", "websocket, tls/1.0", "h2c, irc"] {
        scene.refuses(upgrade(to), 501, "upgrade_not_supported");
    }
    let h2c = upgrade("h2c").replace(
        "Upgrade\r\n",
        "Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n",
    );
    assert_eq!(scene.exchange(h2c).status, 200);
    let seen = scene.arrived();
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(seen.all(name).len(), 0, "{name}");
    }
    scene.serves();
}

#[test]
fn fault_15_tls_on_the_plain_port_is_answered_in_plain_words() {
    let scene = Scene::plain();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    scene
        .refuses_and_closes(hello, 400, "bad_request")
        .assert_says("http://");
}

#[test]
fn fault_20_what_follows_a_body_is_the_next_request_and_never_part_of_it() {
    let scene = Scene::plain();
    let mut client = scene.client();
    client.send(format!(
        "{HEAD}Content-Length: 2\r\n\r\n{{}}GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ));
    assert_eq!((client.answer().status, client.answer().status), (200, 200));
    let requests = scene.upstream.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, b"{}");
    assert_eq!(
        (requests[1].target(), requests[1].body.len()),
        ("/second", 0)
    );
    requests
        .iter()
        .for_each(|seen| assert!(seen.verified().body_signed));

    client.send(format!(
        "{HEAD}Content-Length: 2\r\n\r\n{{}} trailing garbage\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    client.answer().assert_refused(400, "bad_request");
    assert!(client.is_closed());
    assert_eq!(scene.upstream.requests().len(), 3);
    scene.serves();
}

#[test]
fn fault_28_pipelined_requests_are_answered_in_order_and_signed_each() {
    let upstream = Upstream::scripted(|seen, out| {
        let body = format!("{} {}", seen.target(), String::from_utf8_lossy(&seen.body));
        out.write_all(answer("200 OK", "", &body).as_bytes())
    });
    let scene = Scene::before(upstream);
    let mut client = scene.client();
    let requests: String = (0..20)
        .map(|n| match n % 3 {
            0 => get(&format!("/{n}")),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nok"),
            _ => format!("POST /{n} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        })
        .collect();
    client.send(&requests);
    for n in 0..20 {
        let expected = format!("/{n} {}", if n % 3 == 0 { "" } else { "ok" });
        assert_eq!(client.answer().text(), expected);
    }
    for seen in scene.upstream.requests() {
        seen.verified();
    }
    scene.serves();
}
