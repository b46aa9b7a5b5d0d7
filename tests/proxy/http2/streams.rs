//! How many requests a gateway takes at once.

use std::time::Duration;

use tokio::time::timeout;

use super::{Marks, Scene, get, post, workers};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, MAX_STREAMS, OK, RST_STREAM, SETTINGS,
};
use crate::support::{ANSWERED, Client, Gateway, Way, pause};

#[test]
fn http2_gateways_that_take_few_requests_at_once_are_not_sent_more() {
    for most in [1, 2, 10] {
        let scene = Scene::busy(Gateway::plan().settings(move |settings| {
            settings.max_concurrent_streams(most);
        }));
        for round in 0..3 {
            let requests = vec![post(&format!("/{round}"), b"{}"); 40 * workers()];
            for answer in scene.all(&requests) {
                assert_eq!(answer.text(), ANSWERED, "{most} at once, round {round}");
            }
            let arrived = scene.gateway.arrived_at(&format!("/{round}"));
            assert_eq!(arrived.len(), requests.len());
        }
    }
}

#[test]
fn http2_gateways_that_take_no_request_at_all_are_spoken_to_in_http1() {
    let scene = Scene::busy(Gateway::plan().settings(|settings| {
        settings.max_concurrent_streams(0);
    }));
    for _ in 0..3 {
        assert_eq!(scene.serves(), Way::Http1);
    }
    assert!(scene.gateway.connections(Way::Http2) <= workers());
}

#[test]
fn http2_gateways_that_take_fewer_requests_from_now_on_hold_up_none() {
    let told = Marks::default();
    let marked = told.clone();
    let scene = Scene::busy(Gateway::plan().raw(workers(), move |mut frames| {
        let told = told.clone();
        async move {
            frames.begin(&[(MAX_STREAMS, 100)]).await?;
            let first = frames.request().await?;
            let fewer = [&MAX_STREAMS.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
            frames.send(SETTINGS, 0, 0, &fewer).await?;
            frames.settled().await?;
            told.mark();
            // It is answered once all the others have been.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let flags = END_HEADERS | END_STREAM;
            frames.send(HEADERS, flags, first, OK).await?;
            frames.drain().await
        }
    }));
    let mut first = scene.callers(workers());
    for caller in &mut first {
        caller.send(get("/first"));
    }
    marked.wait();
    for answer in scene.all(&vec![post("/later", b"{}"); 20 * workers()]) {
        assert_eq!(answer.text(), ANSWERED);
    }
    assert_eq!(scene.gateway.arrived_at("/later").len(), 20 * workers());
    assert!(
        first
            .iter_mut()
            .map(Client::answer)
            .all(|answer| answer.status == 200)
    );
}

#[test]
fn http2_the_last_of_as_many_requests_as_a_gateway_takes_is_sent_whoever_comes_right_behind_it() {
    let scene = Scene::busy(Gateway::plan().settings(|settings| {
        settings.max_concurrent_streams(16);
    }));
    for round in 0..5 {
        assert_eq!(scene.serves(), Way::Http2);
        let request = post(&format!("/{round}"), b"{}");
        for answer in scene.all(&vec![request; 24 * workers()]) {
            assert_eq!(answer.text(), ANSWERED, "round {round}");
        }
        let arrived = scene.gateway.arrived_at(&format!("/{round}"));
        assert_eq!(arrived.len(), 24 * workers());
    }
}

#[test]
fn http2_opens_as_many_connections_as_a_crowd_needs_and_no_more() {
    let scene = Scene::busy(Gateway::plan().script(|exchange| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        exchange.answer(200, &[], ANSWERED).await
    }));
    assert_eq!(scene.serves(), Way::Http2);
    let requests = vec![get("/slow").into_bytes(); 150 * workers()];
    for answer in scene.all(&requests) {
        assert_eq!(answer.text(), ANSWERED);
    }
    assert_eq!(scene.gateway.connections(Way::Http2), 2 * workers());
}

#[test]
fn http2_frames_for_requests_that_were_taken_back_do_not_cost_those_that_go_on() {
    const LEFT: usize = 90;
    let begun = Marks::default();
    let marked = begun.clone();
    let scene = Scene::busy(Gateway::plan().raw(workers(), move |mut frames| {
        let begun = begun.clone();
        async move {
            frames.begin(&[]).await?;
            let first = frames.request().await?;
            begun.mark();
            let mut left = Vec::new();
            // Until nothing has come for a while.
            while let Ok(frame) = timeout(Duration::from_secs(2), frames.next()).await {
                let frame = frame?;
                if frame.kind == RST_STREAM {
                    left.push(frame.stream);
                }
            }
            // They were on their way already, as far as the gateway knows.
            for stream in &left {
                frames.send(HEADERS, END_HEADERS, *stream, OK).await?;
            }
            for _ in 0..60 {
                for stream in &left {
                    frames.send(DATA, 0, *stream, &[b'x'; 256]).await?;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            frames
                .send(HEADERS, END_HEADERS | END_STREAM, first, OK)
                .await?;
            frames.drain().await
        }
    }));
    let mut first = scene.callers(workers());
    for caller in &mut first {
        caller.send(get("/first"));
    }
    marked.wait();
    let mut callers = scene.callers(LEFT * workers());
    for caller in &mut callers {
        caller.send(get("/left"));
    }
    pause(Duration::from_millis(500));
    callers.iter_mut().for_each(Client::reset);
    drop(callers);
    assert!(
        first
            .iter_mut()
            .map(Client::answer)
            .all(|answer| answer.status == 200)
    );
}
