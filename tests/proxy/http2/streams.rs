//! How many requests a gateway takes at once.

use std::time::Duration;

use tokio::time::sleep;

use super::{Http2Scene, Marks, answers, served, workers};
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, MAX_STREAMS, OK, SETTINGS};
use crate::support::{ANSWERED, Gateway, Plan, Protocol, get};

/// A gateway that takes so many requests at once.
fn taking(streams: u32) -> Plan {
    Gateway::plan().settings(|settings| {
        settings.max_concurrent_streams(streams);
    })
}

#[test]
fn http2_gateways_that_take_few_requests_at_once_are_not_sent_more() {
    for most in [1, 2, 10] {
        let scene = Http2Scene::busy(taking(most));
        for round in 0..3 {
            scene.serves_all(40 * workers(), &format!("/{round}"));
        }
    }
}

#[test]
fn http2_gateways_that_take_no_request_at_all_are_spoken_to_in_http1() {
    let scene = Http2Scene::busy(taking(0));
    for _ in 0..3 {
        assert_eq!(scene.serves(), Protocol::Http1);
    }
    assert!(scene.gateway.connections(Protocol::Http2) <= workers());
}

#[test]
fn http2_gateways_that_take_fewer_requests_from_now_on_hold_up_none() {
    let marks = Marks::default();
    let told = marks.clone();
    let scene = Http2Scene::scripted(move |mut frames| {
        let told = told.clone();
        async move {
            frames.begin(&[(MAX_STREAMS, 100)]).await?;
            let first = frames.request().await?;
            let fewer = [&MAX_STREAMS.to_be_bytes()[..], &1_u32.to_be_bytes()].concat();
            frames.send(SETTINGS, 0, 0, &fewer).await?;
            frames.settled().await?;
            told.mark();
            // It is answered once all the others have been.
            sleep(Duration::from_secs(2)).await;
            frames
                .send(HEADERS, END_HEADERS | END_STREAM, first, OK)
                .await?;
            frames.drain().await
        }
    });
    let mut first = scene.sending(workers(), get("/first"));
    marks.wait();
    scene.serves_all(20 * workers(), "/later");
    answers(&mut first)
        .iter()
        .for_each(|answer| answer.assert_status(200));
}

#[test]
fn http2_opens_as_many_connections_as_the_requests_need_and_no_more() {
    let scene = Http2Scene::busy(Gateway::plan().script(|exchange| async move {
        sleep(Duration::from_millis(500)).await;
        exchange.answer(200, &[], ANSWERED).await
    }));
    assert_eq!(scene.serves(), Protocol::Http2);
    served(&mut scene.sending(150 * workers(), get("/slow")));
    assert_eq!(scene.gateway.connections(Protocol::Http2), 2 * workers());
}
