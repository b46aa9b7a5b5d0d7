//! Refusals with a `Content-Encoding`: number 94.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::support::{Proxy, Scene, Upstream, config, temporary_key};

const GET: &str =
    "GET /next HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: zstd, br;q=0.9\r\n\r\n";
const TOKEN: &str = "TOKEN-MARKER/0123456789";
const WRONG: &str = "{\"error_msg\":\"Incorrect IAM authentication information: verify aksk signature fail\",\"error_code\":\"APIG.0301\",\"request_id\":\"1\"}";

fn gzip(text: &[u8]) -> Vec<u8> {
    read(GzEncoder::new(text, Compression::default()))
}

fn zlib(text: &[u8]) -> Vec<u8> {
    read(ZlibEncoder::new(text, Compression::default()))
}

fn read(mut encoder: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).unwrap();
    bytes
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

/// Values of `Content-Encoding`, with their encoders.
const CODINGS: [(&str, Encode); 4] = [
    ("gzip", gzip),
    ("X-Gzip", gzip),
    ("deflate", zlib),
    ("br", brotli),
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
    Proxy::start_with(&config(upstream), &temporary_key(TOKEN))
}

/// Sends `more` requests, and returns how many have reached the upstream. The breaker answers the others.
fn reach(scene: &Scene, status: u16, more: usize) -> usize {
    for _ in 0..more {
        let answer = scene.exchange(GET);
        match answer.status {
            503 => assert_eq!(answer.code(), "key_locked"),
            other => assert_eq!(other, status),
        }
    }
    scene.upstream.requests().len()
}

#[test]
fn fault_94_refusals_in_any_coding_are_explained_and_those_of_the_signature_open_the_breaker() {
    const DENIED: &str = "{\"error_code\":\"ModelArts.4116\",\"error_msg\":\"arrears\"}";
    const NO_TOKEN: &str = "{\"error_code\":\"APIG.0301\",\"error_msg\":\"decrypt token fail\"}";
    for (coding, encode) in CODINGS {
        for (status, text, hint, reaching) in [
            (401, WRONG, "secret key", 3),
            (403, DENIED, "account", 6),
            (401, NO_TOKEN, "iam", 6),
        ] {
            let body = encode(text.as_bytes());
            let scene = Scene::before(answering(status, coding, body.clone()));
            let answer = scene.exchange(GET);
            answer
                .about(coding)
                .assert_header(status, "content-encoding", coding);
            answer.assert_hints(hint);
            // Without a secret the body is relayed unchanged.
            assert_eq!(answer.body, body, "{coding}");
            assert_eq!(reach(&scene, status, 5), reaching, "{coding}");
            let seen = &scene.upstream.requests()[0];
            assert_eq!(seen.header("accept-encoding"), "zstd, br;q=0.9");
        }
    }
}

#[test]
fn fault_94_an_echoed_secret_in_any_coding_is_redacted_and_the_body_sent_decoded() {
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
            // Both connections are reusable.
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
        ("gzip, gzip", gzip(&gzip(WRONG.as_bytes()))),
    ] {
        let scene = Scene::before(answering(401, coding, body));
        let answer = scene.exchange(GET);
        assert_eq!((answer.status, answer.body.len()), (401, 0), "{coding}");
        assert_eq!(answer.header("content-length"), "0");
        answer.assert_without(&["content-encoding"]);
        answer.about(coding).assert_hints("without accept-encoding");
        assert_eq!(reach(&scene, 401, 5), 3, "{coding}");
    }
}

#[test]
fn fault_100_an_error_that_cannot_be_decoded_passes_without_its_body_if_that_may_repeat_a_secret() {
    let raw = |text: &[u8]| read(DeflateEncoder::new(text, Compression::default()));
    let text = WRONG.replace("fail", &format!("fail {TOKEN}|"));
    let whole = gzip(text.as_bytes());
    for (coding, body) in [
        ("zstd", text.clone().into_bytes()),
        ("gzip, gzip", gzip(&whole)),
        ("deflate", raw(text.as_bytes())),
        ("gzip", whole[..whole.len() - 12].to_vec()),
    ] {
        for status in [400, 403, 500] {
            let upstream = answering(status, coding, body.clone());
            let answer = Proxy::before(&upstream).exchange(GET);
            answer.assert_header(status, "content-encoding", coding);
            assert_eq!(answer.body, body, "{coding}");
            let answer = with_token(&upstream).exchange(GET);
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{coding}");
            answer.assert_without(&["content-encoding"]);
            answer.assert_hints("without accept-encoding");
        }
    }
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
        (404, "zstd", Vec::new()),
        (403, "gzip", gzip(&[b"{\"a\":\"", &noise[..]].concat())),
        (401, "gzip", gzip(b"<html>who are you")),
        (401, "identity", [b"{\"a\":\"", &noise[..]].concat()),
    ] {
        for has_token in [false, true] {
            let upstream = answering(status, coding, body.clone());
            let start = if has_token { with_token } else { Proxy::before };
            let proxy = start(&upstream);
            // The error is of the backend, not of the gateway.
            let answer = proxy.exchange(GET);
            answer.assert_header(status, "content-encoding", coding);
            assert!(answer.body == body, "{coding}: {} bytes", answer.body.len());
            answer.assert_without(&["x-apig-proxy-hint"]);
        }
    }
}
