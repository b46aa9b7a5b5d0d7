//! Refusals with a `Content-Encoding`: numbers 58 and 94, and what is left alone.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::support::{Answer, Proxy, Scene, Upstream, config, key};

const GET: &str =
    "GET /next HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: zstd, br;q=0.9\r\n\r\n";
const TOKEN: &str = "TOKEN-MARKER/0123456789";
const WRONG: &str = "{\"error_msg\":\"Incorrect IAM authentication information: verify aksk signature fail\",\"error_code\":\"APIG.0301\",\"request_id\":\"1\"}";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Brotli without compression: one block (RFC 7932 §9.2), and an empty last one.
fn brotli(text: &[u8]) -> Vec<u8> {
    let header = ((text.len() - 1) << 4) | (1 << 20);
    let mut body = header.to_le_bytes()[..3].to_vec();
    body.extend_from_slice(text);
    body.push(3);
    body
}

type Encode = fn(&[u8]) -> Vec<u8>;

/// What is sent as `Content-Encoding`, and how it is made.
const CODINGS: [(&str, Encode); 6] = [
    ("gzip", gzip),
    ("X-Gzip", gzip),
    ("deflate", zlib),
    ("deflate", deflate),
    ("br", brotli),
    ("deflate, identity, gzip", |text| gzip(&zlib(text))),
];

fn respond(out: &mut dyn Write, status: u16, coding: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
    )?;
    out.write_all(body)
}

fn answering(status: u16, coding: &'static str, body: Vec<u8>) -> Upstream {
    Upstream::scripted(move |_, out| respond(out, status, coding, &body))
}

/// A proxy with a temporary key before an upstream.
fn with_token(upstream: &Upstream) -> Proxy {
    let mut credentials = key();
    credentials.security_token = Some(TOKEN.into());
    Proxy::start_with(&config(upstream), &credentials)
}

/// How many of so many requests reach the upstream; the others are answered by the breaker.
fn reach(scene: &Scene, requests: usize) -> usize {
    for _ in 0..requests {
        let answer = scene.exchange(GET);
        match answer.status {
            503 => assert_eq!(answer.code(), "key_locked"),
            status => assert_eq!(status, 401),
        }
    }
    scene.upstream.requests().len()
}

#[test]
fn fault_58_refusals_that_are_not_of_the_signature_are_explained_in_any_coding_and_open_nothing() {
    const DENIED: &str = "{\"error_code\":\"ModelArts.4116\",\"error_msg\":\"arrears\"}";
    const NO_TOKEN: &str = "{\"error_code\":\"APIG.0301\",\"error_msg\":\"decrypt token fail\"}";
    for (coding, encode) in CODINGS {
        for (status, text, fragment) in [(403, DENIED, "account"), (401, NO_TOKEN, "IAM")] {
            let scene = Scene::before(answering(status, coding, encode(text.as_bytes())));
            for _ in 0..6 {
                let answer = scene.exchange(GET);
                assert_eq!(answer.status, status, "{coding}");
                let hint = answer.header("x-apig-proxy-hint");
                assert!(hint.contains(fragment), "{coding}: {hint}");
            }
            // Each was sent once, and none was taken for a refused signature.
            assert_eq!(scene.upstream.requests().len(), 6, "{coding}");
        }
    }
}

#[test]
fn fault_94_refusals_in_any_coding_open_the_breaker_and_are_explained() {
    for (coding, encode) in CODINGS {
        let body = encode(WRONG.as_bytes());
        let scene = Scene::before(answering(401, coding, body.clone()));
        let answer = scene.exchange(GET);
        assert_eq!(answer.status, 401);
        answer.assert_hints("secret key");
        // There was nothing to redact, so it is what the gateway sent.
        assert_eq!(answer.header("content-encoding"), coding);
        assert_eq!(answer.body, body, "{coding}");
        assert_eq!(reach(&scene, 29), 3, "{coding}");
        let seen = &scene.upstream.requests()[0];
        assert_eq!(seen.header("accept-encoding"), "zstd, br;q=0.9");
    }
}

#[test]
fn fault_94_what_is_echoed_in_any_coding_is_redacted_and_then_not_encoded() {
    for (coding, encode) in CODINGS {
        for status in [400, 401, 403, 500] {
            let upstream = Upstream::scripted(move |seen, out| {
                let token = seen.header("x-security-token");
                let text = WRONG.replace("fail", &format!("fail {token}|"));
                respond(out, status, coding, &encode(text.as_bytes()))
            });
            let proxy = with_token(&upstream);
            let mut client = proxy.client();
            let answer = client.send(GET).answer();
            assert_eq!(answer.status, status, "{coding}");
            answer.assert_without(&["content-encoding"]);
            let stars = "*".repeat(TOKEN.len());
            let expected = WRONG.replace("fail", &format!("fail {stars}|"));
            assert_eq!(answer.text(), expected, "{coding}");
            assert!(!answer.header("x-apig-proxy-hint").is_empty());
            // The connections serve the next request.
            assert_eq!(client.send(GET).answer().status, status);
            assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
        }
    }
}

#[test]
fn fault_94_refusals_that_cannot_be_read_count_and_are_passed_without_their_body() {
    let long = WRONG.replace("fail", &"x".repeat(70_000));
    let cut = gzip(WRONG.as_bytes());
    for (coding, body) in [
        ("zstd", b"\x28\xb5\x2f\xfdTOKEN".to_vec()),
        ("gzip, zstd", gzip(WRONG.as_bytes())),
        ("gzip", WRONG.as_bytes().to_vec()),
        ("gzip", cut[..cut.len() - 12].to_vec()),
        ("gzip", gzip(long.as_bytes())),
        ("br", WRONG.as_bytes().to_vec()),
        ("gzip, gzip, gzip, gzip, gzip", gzip(WRONG.as_bytes())),
    ] {
        let scene = Scene::before(answering(401, coding, body));
        let answer = scene.exchange(GET);
        assert_eq!((answer.status, answer.body.len()), (401, 0), "{coding}");
        assert_eq!(answer.header("content-length"), "0");
        answer.assert_without(&["content-encoding"]);
        let hint = answer.header("x-apig-proxy-hint");
        assert!(hint.contains("without Accept-Encoding"), "{coding}: {hint}");
        assert_eq!(reach(&scene, 29), 3, "{coding}");
    }
}

#[test]
fn fault_94_an_encoded_error_that_repeats_the_token_and_is_too_long_has_no_body() {
    let upstream = Upstream::scripted(|seen, out| {
        let token = seen.header("x-security-token");
        let page = format!("<html>{token}{}", " x".repeat(100_000));
        respond(out, 500, "gzip", &gzip(page.as_bytes()))
    });
    let answer = with_token(&upstream).exchange(GET);
    assert_eq!((answer.status, answer.body.len()), (500, 0));
    answer.assert_hints("redacted");
}

/// The gateway lets the request through, and the service behind it fails in its own way.
fn passes_unchanged(proxy: &Proxy, status: u16, coding: &str, body: &[u8]) -> Answer {
    let answer = proxy.exchange(GET);
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("content-encoding"), coding);
    assert!(answer.body == body, "{coding}: {} bytes", answer.body.len());
    answer.assert_without(&["x-apig-proxy-hint"]);
    answer
}

#[test]
fn fault_94_encoded_errors_of_a_backend_pass_unchanged() {
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(300_000)
        .collect();
    let page = [b"<html>".as_slice(), &noise].concat();
    for (status, coding, body) in [
        (500, "gzip", gzip(&page)),
        (404, "deflate", zlib(&page)),
        (422, "gzip", gzip(b"{\"detail\":\"no\"}")),
        (500, "zstd", b"\x28\xb5\x2f\xfd".to_vec()),
        (
            403,
            "gzip",
            gzip(&[b"{\"a\":\"".as_slice(), &noise].concat()),
        ),
        (401, "gzip", gzip(b"<html>who are you")),
    ] {
        for has_token in [false, true] {
            let upstream = answering(status, coding, body.clone());
            let proxy = if has_token {
                with_token(&upstream)
            } else {
                Proxy::before(&upstream)
            };
            passes_unchanged(&proxy, status, coding, &body);
        }
    }
}

#[test]
fn fault_94_an_error_of_a_backend_is_streamed_in_its_encoding() {
    let first = gzip(b"<html>first");
    let head = "HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [format!("{:x}\r\n", first.len()).as_bytes(), &first, b"\r\n"].concat();
    let bytes = [head.as_bytes(), &chunk].concat();
    let (upstream, go_on) = Upstream::halting(bytes, "4\r\nrest\r\n0\r\n\r\n");
    let scene = Scene::before(upstream);
    let mut client = scene.client();
    client.send(GET);
    client.until("HTTP/1.1 500", "\r\n\r\n");
    // The size of the chunk, and its content.
    client.until("", "\r\n");
    assert_eq!(client.exactly(first.len()).unwrap(), first);
    go_on.send(()).unwrap();
    client.until("\r\n4\r\nrest\r\n0", "\r\n\r\n");
}
