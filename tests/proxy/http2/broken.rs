//! Gateways that agree to HTTP/2 and then do not keep to it.

use std::time::Duration;

use h2::Reason;

use super::{Scene, get, post, workers};
use crate::support::frames::{DATA, END_HEADERS, HEADERS, OK};
use crate::support::{ANSWERED, Client, Gateway, Way};

#[test]
fn http2_gateways_that_do_not_begin_with_it_are_spoken_to_in_http1() {
    use tokio::io::AsyncWriteExt;
    for broken in ["garbage", "nothing", "end", "goodbye"] {
        let scene = Scene::busy(
            Gateway::plan().raw(usize::MAX, move |mut frames| async move {
                match broken {
                    "garbage" => {
                        frames
                            .stream
                            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                            .await
                    }
                    "goodbye" => frames.go_away(0, Reason::INTERNAL_ERROR).await,
                    "nothing" => std::future::pending().await,
                    _ => Ok(()),
                }
            }),
        );
        for answer in scene.all(&vec![post("/once", b"{}"); 10 * workers()]) {
            assert_eq!(answer.text(), ANSWERED, "{broken}");
        }
        let arrived = scene.gateway.arrived_at("/once");
        assert_eq!(arrived.len(), 10 * workers(), "{broken}");
        assert!(arrived.iter().all(|arrived| arrived.way == Way::Http1));
        // It is not tried again with each request.
        let tried = scene.gateway.connections(Way::Http2);
        assert!(tried <= workers(), "{broken}: {tried}");
        for _ in 0..3 {
            assert_eq!(scene.serves(), Way::Http1);
        }
        assert_eq!(scene.gateway.connections(Way::Http2), tried);
    }
}

#[test]
fn http2_frames_against_the_rules_are_an_error_of_the_gateway_s() {
    for broken in ["unknown stream", "data first", "bad headers", "length"] {
        let scene = Scene::busy(
            Gateway::plan().raw(workers(), move |mut frames| async move {
                frames.begin(&[]).await?;
                let stream = frames.request().await?;
                match broken {
                    "unknown stream" => frames.send(DATA, 0, stream + 100, b"x").await?,
                    "data first" => frames.send(DATA, 0, stream, b"x").await?,
                    "bad headers" => {
                        frames
                            .send(HEADERS, END_HEADERS, stream, &[0xff; 40])
                            .await?
                    }
                    _ => frames.send(DATA, 0, stream, &[b'x'; 20_000]).await?,
                }
                frames.drain().await
            }),
        );
        for answer in scene.all(&vec![post("/once", b"{}"); workers()]) {
            answer.about(broken).assert_refused(502, "bad_response");
        }
        assert!(scene.gateway.arrived_at("/once").is_empty());
        assert_eq!(scene.serves(), Way::Http2);
    }
}

#[test]
fn http2_heads_that_are_too_long_fail_their_own_request_only() {
    let scene = Scene::busy(Gateway::plan().script(|exchange| async move {
        let count = match exchange.target() {
            "/many" => 501,
            "/long" => 270,
            _ => 0,
        };
        let value = if exchange.target() == "/long" {
            "v".repeat(1024)
        } else {
            "v".to_owned()
        };
        let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
        let headers: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), value.as_str()))
            .collect();
        exchange.answer(200, &headers, ANSWERED).await
    }));
    assert_eq!(scene.serves(), Way::Http2);
    for target in ["/many", "/long"] {
        for answer in scene.all(&vec![get(target).into_bytes(); workers()]) {
            answer.about(target).assert_refused(502, "bad_response");
        }
    }
    assert_eq!(scene.serves(), Way::Http2);
    assert_eq!(scene.gateway.connections(Way::Http2), workers());
    assert!(scene.gateway.ended().is_empty());
}

#[test]
fn http2_callers_that_go_away_while_a_connection_is_opened_leave_it_to_the_next() {
    let scene = Scene::busy(Gateway::plan());
    for _ in 0..10 {
        let mut callers = scene.callers(20 * workers());
        for caller in &mut callers {
            caller.send(get("/left"));
            caller.reset();
        }
    }
    assert_eq!(scene.serves(), Way::Http2);
}

#[test]
fn http2_answers_that_end_without_a_frame_are_cut_off_for_the_caller() {
    let scene = Scene::busy(Gateway::plan().raw(workers(), |mut frames| async move {
        frames.begin(&[]).await?;
        let stream = frames.request().await?;
        frames.send(HEADERS, END_HEADERS, stream, OK).await?;
        frames.send(DATA, 0, stream, b"half").await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }));
    let mut callers = scene.callers(workers());
    for caller in &mut callers {
        caller.send(get("/half"));
    }
    for caller in &mut callers {
        assert!(Client::try_answer(caller, false).is_err());
        assert!(caller.is_closed());
    }
    assert_eq!(scene.serves(), Way::Http2);
}
