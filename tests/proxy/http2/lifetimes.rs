//! How long connections with HTTP/2 are kept.

use std::time::Duration;

use super::{EACH, Http2Scene, leave, post, workers};
use crate::support::{ANSWERED, Gateway, Plan, Protocol, Received, get, pause, wait_until};

fn hanging() -> Plan {
    Gateway::plan().script(|exchange| async move {
        match exchange.target() {
            "/hang" => exchange.until_reset().await,
            _ => exchange.answer(200, &[], ANSWERED).await,
        }
    })
}

/// Waits until the connections of these requests are closed.
fn wait_for_end_of(scene: &Http2Scene, requests: &[Received]) {
    wait_until("the connections are closed", || {
        let ended = scene.gateway.ended();
        let mut all = requests.iter();
        all.all(|request| ended.contains(&request.connection))
    });
}

#[test]
fn http2_connections_that_time_out_carry_no_further_request() {
    let mut scene = Http2Scene::busy_with(hanging(), |config| {
        config.timeouts.response = Duration::from_secs(5);
    });
    for answer in scene.answers(workers(), post("/hang", b"{}")) {
        answer.assert_refused(504, "response_timeout");
    }
    let hung = scene.gateway.arrived_at("/hang");
    assert_eq!(hung.len(), workers());
    // The held requests have timed out as well.
    scene.hold();
    assert_eq!(scene.serves(), Protocol::Http2);
    for next in scene.gateway.arrived_at("/next") {
        assert!(hung.iter().all(|hung| hung.connection != next.connection));
    }
    // They carry no other request.
    wait_for_end_of(&scene, &hung);
}

#[test]
fn http2_connections_are_closed_at_the_idle_limit() {
    let mut scene = Http2Scene::busy_with(Gateway::plan(), |config| {
        config.pool.idle = Duration::from_secs(2);
    });
    assert_eq!(scene.serves(), Protocol::Http2);
    scene.release();
    assert!(scene.gateway.ended().is_empty());
    let all = (1 + EACH) * workers();
    wait_until("all are closed", || scene.gateway.ended().len() == all);
}

#[test]
fn http2_connections_over_the_maximum_age_finish_their_requests_and_take_no_more() {
    let mut scene = Http2Scene::busy_with(hanging(), |config| {
        config.pool.age = Duration::from_secs(4);
    });
    let callers = scene.sending(workers(), get("/hang"));
    let old = scene.gateway.wait_for(workers(), "/hang");
    assert_eq!(scene.serves(), Protocol::Http2);
    assert_eq!(scene.gateway.connections(Protocol::Http2), workers());
    // Their age is checked once a second.
    pause(Duration::from_secs(6));
    assert_eq!(scene.serves(), Protocol::Http2);
    assert_eq!(scene.gateway.connections(Protocol::Http2), 2 * workers());
    assert!(scene.gateway.ended().is_empty());
    leave(callers);
    wait_for_end_of(&scene, &old);
    scene.release();
}
