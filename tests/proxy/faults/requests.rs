//! Where a request ends, and whether the connection stays open: numbers 7, 8, 14, 15 and 28. The corpus has what is
//! refused.

use apig_proxy::config::Methods;
use http::Method;

use crate::support::{Scene, Upstream, get, ok, post, request};

#[test]
fn fault_07_methods_that_are_not_allowed_are_refused_with_those_that_are() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.methods = Methods::Only(vec![Method::GET, Method::POST]);
    });
    let connect = "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n";
    for request in [request("DELETE /", "", ""), connect.into()] {
        let answer = scene.refuses(request, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "GET, POST");
    }
    // A caller that sends its whole body first still reads the refusal.
    let put = [b"PUT", &post("text/plain", &vec![b'a'; 12 << 20])[4..]].concat();
    scene.refuses(put, 405, "method_not_allowed");
}

#[test]
fn fault_08_a_length_beside_chunks_and_equal_lengths_are_accepted_and_framed_anew() {
    let scene = Scene::plain();
    for fields in [
        "Content-Length: 4|Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked|Content-Length: 4",
    ] {
        let mut client = scene.client();
        client.send(request("POST /", fields, ""));
        client.send("3\r\nabc\r\n0\r\n\r\n");
        client.answer().assert_header(200, "connection", "close");
        // The end of the request is ambiguous, so the connection is closed.
        assert!(client.is_closed());
    }
    let equal = request("POST /", "Content-Length: 3", "abc");
    scene.passes(equal);
    let requests = scene.upstream.requests();
    assert_eq!(requests.len(), 3);
    for seen in requests {
        assert_eq!(seen.header("content-length"), "3");
        assert_eq!(seen.body, b"abc");
        seen.assert_without(&["transfer-encoding"]);
        assert!(seen.verified().body_signed);
    }
}

#[test]
fn fault_14_h2c_is_served_as_http_1() {
    let scene = Scene::plain();
    let h2c = "Upgrade: h2c|Connection: Upgrade, HTTP2-Settings|HTTP2-Settings: AAA";
    scene.passes(request("GET /u", h2c, ""));
    scene
        .arrived()
        .assert_without(&["upgrade", "connection", "http2-settings"]);
    scene.serves();
}

#[test]
fn fault_15_what_is_not_http_is_refused_with_advice_and_a_close() {
    let scene = Scene::plain();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let tls = scene.refuses_and_closes(hello, 400, "bad_request");
    tls.assert_says("http://");
    let quoted = scene.refuses_and_closes(get("/a?q={\"b\":1}"), 400, "bad_request");
    quoted.assert_says("percent-encode the target");
}

#[test]
fn fault_28_pipelined_requests_are_answered_in_order_and_signed_each() {
    let scene = Scene::before(Upstream::replying(|seen| {
        let body = String::from_utf8_lossy(&seen.body);
        ok(&format!("{} {body}", seen.target()))
    }));
    let mut client = scene.client();
    let streamed = "Content-Type: multipart/x|Transfer-Encoding: chunked";
    for n in 0..20 {
        match n % 3 {
            0 => client.send(get(&format!("/{n}"))),
            1 => client.send(request(&format!("POST /{n}"), "", "ok")),
            _ => {
                client.send(request(&format!("POST /{n}"), streamed, ""));
                client.send("2\r\nok\r\n0\r\n\r\n")
            }
        };
    }
    for n in 0..20 {
        let expected = format!("/{n} {}", if n % 3 == 0 { "" } else { "ok" });
        client.answer().assert_text(200, &expected);
    }
    client.send(request("POST /last", "", "ok"));
    client.send(" trailing garbage\r\n\r\n");
    client.answer().assert_text(200, "/last ok");
    client.answer().assert_refused(400, "bad_request");
    assert!(client.is_closed());
    let requests = scene.upstream.requests();
    assert_eq!(requests.len(), 21);
    requests.iter().for_each(|seen| drop(seen.verified()));
    scene.serves();
}
