//! Gateways that negotiate HTTP/2 and then violate it.

use h2::Reason;
use tokio::io::AsyncWriteExt;

use super::{Http2Scene, post, workers};
use crate::support::frames::{DATA, END_HEADERS, HEADERS};
use crate::support::{ANSWERED, Gateway, Protocol, get};

#[test]
fn http2_gateways_that_send_no_settings_are_used_with_http1() {
    for broken in ["garbage", "nothing", "end", "goodbye"] {
        let plan = Gateway::plan().raw(usize::MAX, move |mut frames| async move {
            let garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            match broken {
                "garbage" => frames.stream.write_all(garbage).await,
                "goodbye" => frames.go_away(0, Reason::INTERNAL_ERROR).await,
                "nothing" => std::future::pending().await,
                _ => Ok(()),
            }
        });
        let scene = Http2Scene::busy(plan);
        scene.serves_all(10 * workers(), "/once");
        let arrived = scene.gateway.arrived_at("/once");
        assert!(arrived.iter().all(|one| one.protocol == Protocol::Http1));
        // HTTP/2 is not tried again for each request.
        let tried = scene.gateway.connections(Protocol::Http2);
        assert!(tried <= workers(), "{broken}: {tried}");
        for _ in 0..3 {
            assert_eq!(scene.serves(), Protocol::Http1);
        }
        assert_eq!(scene.gateway.connections(Protocol::Http2), tried);
    }
}

#[test]
fn http2_frames_that_violate_the_protocol_are_a_bad_response() {
    for broken in ["unknown stream", "data first", "bad headers", "length"] {
        let scene = Http2Scene::scripted(move |mut frames| async move {
            frames.begin().await?;
            let stream = frames.request().await?;
            let (kind, flags, stream, payload) = match broken {
                "unknown stream" => (DATA, 0, stream + 100, &b"x"[..]),
                "data first" => (DATA, 0, stream, &b"x"[..]),
                "bad headers" => (HEADERS, END_HEADERS, stream, &[0xff; 40][..]),
                _ => (DATA, 0, stream, &[b'x'; 20_000][..]),
            };
            frames.send(kind, flags, stream, payload).await?;
            frames.drain().await
        });
        for answer in scene.answers(workers(), post("/once", b"{}")) {
            answer.about(broken).assert_refused(502, "bad_response");
        }
        assert!(scene.gateway.arrived_at("/once").is_empty());
        assert_eq!(scene.serves(), Protocol::Http2);
    }
}

#[test]
fn http2_heads_over_the_limit_fail_only_their_own_request() {
    let scene = Http2Scene::busy(Gateway::plan().script(|exchange| async move {
        let (count, length) = match exchange.target() {
            "/many" => (501, 1),
            "/long" => (270, 1024),
            "/many-enough" => (495, 1),
            "/long-enough" => (240, 1000),
            _ => (0, 1),
        };
        let value = "v".repeat(length);
        let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (&**name, &*value)).collect();
        exchange.answer(200, &headers, ANSWERED).await
    }));
    assert_eq!(scene.serves(), Protocol::Http2);
    for (target, status) in [
        ("/many", 502),
        ("/long", 502),
        ("/many-enough", 200),
        ("/long-enough", 200),
    ] {
        for answer in scene.answers(workers(), get(target)) {
            answer.about(target).assert_status(status);
        }
    }
    assert_eq!(scene.serves(), Protocol::Http2);
    assert_eq!(scene.gateway.connections(Protocol::Http2), workers());
    assert!(scene.gateway.ended().is_empty());
}
