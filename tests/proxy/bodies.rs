//! What of a body reaches the gateway, and when.

use std::time::Duration;

use crate::support::{Proxy, Upstream};

pub(crate) fn post(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn chunked(content_type: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    for piece in pieces {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend([piece, &b"\r\n"[..]].concat());
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

#[test]
fn a_json_body_is_signed_and_arrives_as_it_was_sent() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let body = b"{\"a\": 1,\n \"text\":\"\xc3\xa9\x00\xff\"}";
    assert_eq!(proxy.exchange(post("application/json", body)).status, 200);
    let seen = upstream.only_request();
    assert_eq!(seen.body, body);
    assert_eq!(seen.header("content-length"), body.len().to_string());
    assert_eq!(seen.all("x-sdk-content-sha256").len(), 0);
    assert!(seen.verified().body_signed);
}

#[test]
fn a_chunked_body_is_hashed_and_sent_with_its_length() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    proxy
        .exchange(chunked("text/plain", &[b"one", b"two", b"three"]))
        .assert_status(200);
    let seen = upstream.only_request();
    assert_eq!(seen.body, b"onetwothree");
    assert_eq!(seen.header("content-length"), "11");
    assert!(seen.verified().body_signed);
}

#[test]
fn a_multipart_body_is_streamed_unsigned() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let body = vec![b'x'; 1_000_000];
    proxy
        .exchange(post("multipart/form-data; boundary=x", &body))
        .assert_status(200);
    proxy
        .exchange(chunked("Multipart/Mixed", &[&body, b"end"]))
        .assert_status(200);
    let [declared, unknown] = upstream.requests().try_into().unwrap();
    assert_eq!(
        (declared.body.len(), unknown.body.len()),
        (1_000_000, 1_000_003)
    );
    assert_eq!(declared.header("content-length"), "1000000");
    assert_eq!(unknown.header("transfer-encoding"), "chunked");
    for seen in [declared, unknown] {
        assert_eq!(seen.header("x-sdk-content-sha256"), "UNSIGNED-PAYLOAD");
        let verified = seen.verified();
        assert!(!verified.body_signed);
        assert!(
            verified
                .signed_headers
                .contains(&"x-sdk-content-sha256".to_owned())
        );
    }
}

#[test]
fn a_multipart_body_is_passed_on_before_it_is_complete() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\nContent-Length: 6\r\n\r\nabc",
    );
    wait_until(|| upstream.connections() == 1);
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(client.send(b"def").answer().status, 200);
    assert_eq!(upstream.only_request().body, b"abcdef");
}

#[test]
fn an_empty_body_is_signed_as_such_whatever_its_type() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    assert_eq!(proxy.exchange(post("multipart/form-data", b"")).status, 200);
    proxy
        .exchange(chunked("multipart/form-data", &[]))
        .assert_status(200);
    proxy
        .exchange("PUT /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .assert_status(200);
    for seen in upstream.requests() {
        assert_eq!(seen.header("content-length"), "0");
        assert_eq!(seen.all("x-sdk-content-sha256").len(), 0);
        assert!(seen.verified().body_signed);
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn a_caller_may_ask_for_an_unsigned_body() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(proxy.exchange(request).status, 200);
    let seen = upstream.only_request();
    assert_eq!(
        (seen.header("x-sdk-content-sha256"), seen.body.as_slice()),
        ("UNSIGNED-PAYLOAD", &b"{}"[..])
    );
    assert!(!seen.verified().body_signed);
}

#[test]
fn a_get_keeps_a_streamed_body_of_unknown_length() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let request = chunked("multipart/form-data", &[b"one", b"two"]);
    let request = [b"GET", &request[4..]].concat();
    assert_eq!(proxy.exchange(request).status, 200);
    let seen = upstream.only_request();
    assert_eq!(
        (seen.method(), seen.body.as_slice()),
        ("GET", &b"onetwo"[..])
    );
    seen.verified();
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it did not come about");
}
