//! How long connections with HTTP/2 are kept.

use std::time::Duration;

use super::{Scene, get, post, workers};
use crate::support::{ANSWERED, Gateway, Order, Plan, Way, pause, wait_until};

fn hanging() -> Plan {
    Gateway::plan().script(|exchange| async move {
        match exchange.target() {
            "/hang" => exchange.until_reset().await,
            _ => exchange.answer(200, &[], ANSWERED).await,
        }
    })
}

#[test]
fn http2_connections_over_which_no_answer_comes_carry_no_further_request() {
    let mut scene = Scene::busy_with(hanging(), |config| {
        config.timeouts.response = Duration::from_secs(5);
    });
    for answer in scene.all(&vec![post("/hang", b"{}"); workers()]) {
        answer.assert_refused(504, "response_timeout");
    }
    let hung = scene.gateway.arrived_at("/hang");
    assert_eq!(hung.len(), workers());
    // The crowd's own requests have timed out as well.
    scene.gather();
    assert_eq!(scene.serves(), Way::Http2);
    for next in scene.gateway.arrived_at("/next") {
        assert!(hung.iter().all(|hung| hung.connection != next.connection));
    }
    // Nothing runs over them, so they are closed.
    wait_until("they are closed", || {
        let ended = scene.gateway.ended();
        hung.iter().all(|hung| ended.contains(&hung.connection))
    });
}

#[test]
fn http2_connections_that_were_idle_for_long_are_closed() {
    let mut scene = Scene::busy_with(Gateway::plan(), |config| {
        config.pool.idle = Duration::from_secs(2);
    });
    assert_eq!(scene.serves(), Way::Http2);
    scene.release();
    assert!(scene.gateway.ended().is_empty());
    wait_until("all are closed", || {
        scene.gateway.ended().len() == (1 + super::EACH) * workers()
    });
}

#[test]
fn http2_connections_that_are_old_carry_what_they_carry_and_nothing_else() {
    let mut scene = Scene::busy_with(hanging(), |config| {
        config.pool.age = Duration::from_secs(4);
    });
    let mut callers = scene.callers(workers());
    for caller in &mut callers {
        caller.send(get("/hang"));
    }
    let old = scene.gateway.wait_for(workers(), "/hang");
    assert_eq!(scene.serves(), Way::Http2);
    assert_eq!(scene.gateway.connections(Way::Http2), workers());
    // How old they are is looked at once a second.
    pause(Duration::from_secs(6));
    assert_eq!(scene.serves(), Way::Http2);
    assert_eq!(scene.gateway.connections(Way::Http2), 2 * workers());
    assert!(scene.gateway.ended().is_empty());
    callers.iter_mut().for_each(crate::support::Client::reset);
    drop(callers);
    wait_until("the old ones are closed", || {
        let ended = scene.gateway.ended();
        old.iter().all(|old| ended.contains(&old.connection))
    });
    scene.release();
}

#[test]
fn http2_connections_that_end_under_requests_say_nothing_of_how_long_idle_ones_last() {
    for target in ["/cut", "/hang"] {
        let mut scene = Scene::busy(Gateway::plan().script(|exchange| async move {
            match exchange.target() {
                "/cut" => exchange.order(Order::Cut),
                // All that runs is answered, and then the connection ends.
                _ => exchange.order(Order::EndSoon),
            }
            exchange.answer(200, &[], ANSWERED).await
        }));
        scene.all(&vec![post(target, b"{}"); workers()]);
        wait_until("they have ended", || {
            scene.gateway.ended().len() == workers()
        });
        scene.release();
        // Longer than the shortest limit that is learned, and looked at since.
        pause(Duration::from_secs(4));
        let ended = scene.gateway.ended().len();
        assert_eq!(
            ended,
            workers(),
            "{target}: connections were closed for being idle"
        );
    }
}

#[test]
fn http2_connections_that_a_gateway_closes_when_idle_are_replaced() {
    let scene = Scene::busy(Gateway::plan().script(|exchange| async move {
        if exchange.target() == "/last" {
            exchange.order(Order::EndSoon);
        }
        exchange.answer(200, &[], ANSWERED).await
    }));
    for _ in 0..5 {
        for answer in scene.all(&vec![post("/last", b"{}"); workers()]) {
            assert_eq!(answer.text(), ANSWERED);
        }
        assert_eq!(scene.serves(), Way::Http2);
    }
}
