//! Whose headers arrive: numbers 12, 13, 29, 30, 31.

use crate::support::{Scene, chunked, get, post};

#[test]
fn fault_12_headers_of_the_proxy_s_own_arrive_once_and_are_ours() {
    let scene = Scene::plain();
    let owned = [
        "Authorization",
        "X-Sdk-Date",
        "x_sdk_date",
        "X-Security-Token",
        "X-Auth-Token",
        "x-stage",
        "x_stage",
        "X-Apig-AppCode",
        "X-Project-Id",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "x_forwarded_for",
        "Forwarded",
        "X-Apig-Proxy-Token",
    ];
    let mut request = "GET / HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    owned
        .iter()
        .for_each(|name| request.extend([name, ": callers\r\n"]));
    assert_eq!(scene.exchange(request + "\r\n").status, 200);
    let seen = scene.arrived();
    assert!(
        !format!("{:?}", seen.headers).contains("callers"),
        "{:?}",
        seen.headers
    );
    for name in ["host", "authorization", "x-sdk-date", "x-stage"] {
        assert_eq!(seen.all(name).len(), 1, "{name}");
    }
    seen.verified();
    scene.serves();
}

#[test]
fn fault_13_connection_cannot_take_our_headers_away() {
    let scene = Scene::plain();
    let answer = scene.exchange(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: x-stage, authorization\r\nConnection: X-Private, host, x-sdk-date\r\n\
         X-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nTrailer: x\r\nX-Public: 1\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = scene.arrived();
    for name in "connection x-private keep-alive te proxy-authorization trailer".split_whitespace()
    {
        assert_eq!(seen.all(name).len(), 0, "{name}");
    }
    for name in ["x-public", "x-stage", "authorization", "host", "x-sdk-date"] {
        assert_eq!(seen.all(name).len(), 1, "{name}");
    }
    seen.verified();
    scene.serves();
}

#[test]
fn fault_13_what_concerns_one_connection_ends_here_in_every_spelling() {
    let scene = Scene::plain();
    let answer = scene.exchange(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n\
         Proxy_Authorization: x\r\nKEEP_ALIVE: 5\r\nConnection: X-Private\r\nx_private: 1\r\n\r\n0\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = scene.arrived();
    let names = seen.headers.iter().map(|header| header.0.as_str());
    let expected = [
        "host",
        "content-length",
        "x-stage",
        "apig-proxy-hop",
        "x-sdk-date",
        "authorization",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    assert_eq!(seen.body, b"0\r\n\r\n");
    scene.serves();
}

#[test]
fn fault_29_methods_and_their_bodies_arrive_as_they_were_sent_and_signed() {
    let scene = Scene::plain();
    for method in ["GET", "DELETE", "PATCH", "PUT", "OPTIONS", "PROPFIND"] {
        let before = scene.upstream.requests().len();
        for body in ["body", ""] {
            let length = body.len();
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            assert_eq!(scene.exchange(request).status, 200, "{method}");
        }
        for (seen, body) in scene.upstream.requests()[before..].iter().zip(["body", ""]) {
            assert_eq!(
                (seen.method(), seen.body.as_slice()),
                (method, body.as_bytes())
            );
            assert!(seen.verified().body_signed);
        }
    }
    let mut client = scene.client();
    client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.head_answer();
    answer.assert_header(200, "content-length", "11");
    let seen = scene.upstream.requests().pop().unwrap();
    assert_eq!((seen.method(), seen.body.len()), ("HEAD", 0));
    seen.verified();
    // What follows on the connection is the next answer, and not a body.
    client.send(get("/after"));
    assert_eq!(client.answer().text(), "{\"ok\":true}");
    scene.serves();
}

#[test]
fn fault_30_trailers_of_a_request_are_dropped_and_the_body_is_signed_without_them() {
    let scene = Scene::plain();
    for content_type in ["text/plain", "multipart/x"] {
        let request = chunked(content_type, &[b"body"]);
        let request = [
            &request[..request.len() - 2],
            b"x-stage: callers\r\nX-Sum: 1\r\n\r\n",
        ]
        .concat();
        assert_eq!(scene.exchange(request).status, 200);
        let seen = scene.upstream.requests().pop().unwrap();
        assert_eq!(seen.body, b"body");
        assert_eq!(seen.header("x-stage"), "RELEASE");
        assert_eq!(seen.all("x-sum").len(), 0);
        seen.verified();
    }
    scene.serves();
}

#[test]
fn fault_31_an_encoded_body_arrives_and_is_hashed_as_it_was_sent() {
    let scene = Scene::plain();
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not really gzip\x00\xff";
    let request = post("application/json\r\nContent-Encoding: gzip", body);
    assert_eq!(scene.exchange(request).status, 200);
    let seen = scene.arrived();
    assert_eq!(seen.body, body);
    assert_eq!(seen.header("content-encoding"), "gzip");
    assert!(seen.verified().body_signed);
    scene.serves();
}
