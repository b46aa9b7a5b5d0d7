//! Callers that stall or disconnect, with others on the same connection, and gateways that allow few streams.

use h2::Reason;

use super::{Http2Scene, answers, leave, post, workers};
use crate::support::{
    ANSWERED, Client, Exchange, Gateway, Plan, Protocol, get, send_all, wait_until,
};

const LARGE: usize = 8 << 20;

/// A gateway whose answer to `/large` is long.
fn large() -> Plan {
    Gateway::plan().script(|mut exchange: Exchange| async move {
        if exchange.target() != "/large" {
            return exchange.answer(200, &[], ANSWERED).await;
        }
        let mut stream = exchange.begin(200, &[], false)?;
        send_all(&mut stream, vec![b'x'; LARGE], true).await
    })
}

/// Callers that do not read the answers that have begun.
fn stalled(scene: &Http2Scene, count: usize) -> Vec<Client> {
    let mut callers = scene.callers(count);
    for caller in &mut callers {
        caller.take_little().send(get("/large"));
    }
    callers.iter().for_each(Client::wait_for_input);
    callers
}

#[test]
fn http2_callers_that_do_not_read_delay_no_other() {
    let scene = Http2Scene::busy(large());
    assert_eq!(scene.serves(), Protocol::Http2);
    let mut stalled = stalled(&scene, 2 * workers());
    for _ in 0..20 {
        assert_eq!(scene.serves(), Protocol::Http2);
    }
    assert_eq!(scene.gateway.connections(Protocol::Http2), workers());
    for answer in answers(&mut stalled) {
        assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    }
}

#[test]
fn http2_callers_that_disconnect_cancel_their_own_request_only() {
    let scene = Http2Scene::busy(Gateway::plan().script(|exchange| async move {
        match exchange.target() {
            "/left" => exchange.until_reset().await,
            _ => exchange.answer(200, &[], ANSWERED).await,
        }
    }));
    assert_eq!(scene.serves(), Protocol::Http2);
    let callers = scene.sending(2 * workers(), post("/left", b"{}"));
    scene.gateway.wait_for(2 * workers(), "/left");
    leave(callers);
    wait_until("the requests are taken back", || {
        scene.gateway.resets().len() == 2 * workers()
    });
    for (_, target, reason) in scene.gateway.resets() {
        assert_eq!((target.as_str(), reason), ("/left", Reason::CANCEL));
    }
    assert_eq!(scene.serves(), Protocol::Http2);
    assert_eq!(scene.gateway.connections(Protocol::Http2), workers());
    assert!(scene.gateway.ended().is_empty());
    // None was retried.
    assert_eq!(scene.gateway.arrived_at("/left").len(), 2 * workers());
}

/// A gateway that allows so many concurrent streams.
fn taking(streams: u32) -> Plan {
    Gateway::plan().settings(|settings| {
        settings.max_concurrent_streams(streams);
    })
}

#[test]
fn http2_gateways_get_no_more_streams_than_their_settings_allow() {
    for most in [1, 2, 10] {
        let scene = Http2Scene::busy(taking(most));
        for round in 0..3 {
            scene.serves_all(40 * workers(), &format!("/{round}"));
        }
    }
}

#[test]
fn http2_gateways_that_allow_no_stream_are_used_with_http1() {
    let scene = Http2Scene::busy(taking(0));
    for _ in 0..3 {
        assert_eq!(scene.serves(), Protocol::Http1);
    }
    assert!(scene.gateway.connections(Protocol::Http2) <= workers());
}
