//! The checks of every request, over HTTP/2: numbers 81 to 83.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Version};

use super::super::early::echoing;
use super::frames::{GET, HEADERS_END, answer_of, connect, field, reset_of};
use super::{Caller, get, post, run};
use crate::support::frames::HEADERS;
use crate::support::{ANSWERED, Scene, Upstream, ok, pause};

#[test]
fn fault_81_http2_callers_are_guarded_limited_signed_and_answered_like_others() {
    let scene = Scene::plain();
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        let foreign = Request::get("http://localhost/").header("origin", "null");
        let mut many = Request::get("http://localhost/");
        for number in 0..101 {
            many = many.header(format!("x-{number}"), "1");
        }
        let long = format!("http://localhost/{}", "a".repeat(32 * 1024));
        for (request, status, code) in [
            (get("http://evil.example/"), 403, "host_not_allowed"),
            (foreign.body(()).unwrap(), 403, "origin_not_allowed"),
            (get("http://localhost/a/../b"), 400, "bad_target"),
            (get(&long), 414, "target_too_long"),
            (many.body(()).unwrap(), 431, "header_too_large"),
        ] {
            let reply = caller.exchange(request, "").await;
            reply.assert_refused(status, code);
        }
        assert!(scene.upstream.requests().is_empty());

        let reply = caller.get("http://localhost/v1/a?b=c").await;
        reply.assert_text(200, ANSWERED);
        let body = Bytes::from(vec![b'x'; 1 << 20]);
        for content_type in ["application/json", "multipart/form-data; boundary=x"] {
            let request = post("http://localhost/upload", content_type);
            let reply = caller.exchange(request, body.clone()).await;
            reply.assert_text(200, ANSWERED);
        }
        let requests = scene.upstream.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].line, "GET /v1/a?b=c HTTP/1.1");
        for (seen, is_signed) in requests.iter().zip([true, true, false]) {
            assert_eq!(seen.header("host"), scene.upstream.address.to_string());
            assert_eq!(seen.verified().body_signed, is_signed);
        }
        assert!(requests[1].body == body && requests[2].body == body);
    });
    scene.serves();
}

#[test]
fn fault_81_http2_callers_and_gateways_may_alternate_within_one_exchange() {
    let scene = Scene::before(echoing());
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        let mut request = post("http://localhost/echo", "multipart/mixed");
        request.headers_mut().insert("content-length", 9.into());
        let (reply, mut stream) = caller.begin(request, false).await.unwrap();
        let mut body = reply.await.unwrap().into_body();
        for piece in ["abc", "def", "ghi"] {
            let is_last = piece == "ghi";
            stream.send_data(piece.into(), is_last).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), piece);
        }
    });
    scene.serves();
}

#[test]
fn fault_82_an_authority_that_is_missing_foreign_or_not_the_host_is_refused() {
    let scene = Scene::plain();
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        // With `Version::HTTP_2`, h2 itself would refuse a target without an authority.
        let bare = |host: Option<&str>| {
            let mut request = Request::get("/").version(Version::HTTP_11);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            request.body(()).unwrap()
        };
        let other = |host: &str| {
            let request = Request::get("http://localhost/").header("host", host);
            request.body(()).unwrap()
        };
        for (request, status, code) in [
            (bare(None), 400, "bad_host"),
            (bare(Some("evil.example")), 403, "host_not_allowed"),
            (other("evil.example"), 400, "bad_request"),
            (other("127.0.0.1"), 400, "bad_request"),
        ] {
            let reply = caller.exchange(request, "").await;
            reply.assert_refused(status, code);
        }
        assert!(scene.upstream.requests().is_empty());
        for request in [bare(Some("localhost")), other("localhost")] {
            assert_eq!(caller.exchange(request, "").await.status, 200);
        }
    });
    assert_eq!(scene.upstream.requests().len(), 2);
    scene.serves();
}

#[test]
fn fault_82_connection_headers_are_an_error_of_their_stream() {
    let scene = Scene::plain();
    run(async {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
        ] {
            let mut frames = connect(scene.proxy.address).await;
            let block = [GET, &field(name, value)].concat();
            frames.send(HEADERS, HEADERS_END, 1, &block).await.unwrap();
            let reason = reset_of(&mut frames, 1).await;
            assert_eq!(reason, Some(Reason::PROTOCOL_ERROR), "{name}");
            assert!(scene.upstream.requests().is_empty(), "{name}");
            // The connection stays open.
            let block = [GET, &field("te", "trailers")].concat();
            frames.send(HEADERS, HEADERS_END, 3, &block).await.unwrap();
            answer_of(&mut frames, 3).await;
            assert_eq!(scene.upstream.requests().len(), 1, "{name}");
            scene.upstream.forget();
        }
    });
    scene.serves();
}

#[test]
fn fault_83_a_declared_length_over_the_limit_is_answered_and_other_streams_go_on() {
    let scene = Scene::before(Upstream::replying(|seen| {
        if seen.target() == "/slow" {
            pause(Duration::from_millis(500));
        }
        ok(ANSWERED)
    }));
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        let other = caller.start("http://localhost/slow").await;
        let mut request = post("http://localhost/", "text/plain");
        request
            .headers_mut()
            .insert("content-length", (13 << 20).into());
        let (reply, mut stream) = caller.begin(request, false).await.unwrap();
        stream.send_data(vec![0; 30_000].into(), false).unwrap();
        let reply = super::read(reply.await.unwrap()).await.unwrap();
        reply.assert_refused(413, "body_too_large");
        let reset = poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, Reason::NO_ERROR);
        let other = super::read(other.await.unwrap()).await.unwrap();
        other.assert_text(200, ANSWERED);
    });
    assert_eq!(scene.upstream.requests().len(), 1);
    scene.serves();
}
