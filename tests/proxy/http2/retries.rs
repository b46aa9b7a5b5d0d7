//! Requests that a gateway has not looked at, which are sent again, and those of which that is not certain.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::Reason;

use super::{Marks, Scene, get, post, workers};
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, OK};
use crate::support::{ANSWERED, Answer, Client, Gateway, Order, Way, wait_until};

/// Sends a request from a caller of each worker's, and reads the answers.
fn each(scene: &Scene, request: &[u8]) -> Vec<(u16, String)> {
    let answers = scene.all(&vec![request.to_vec(); workers()]);
    let outcome = answers.into_iter().map(|answer| match answer.status {
        200 => (200, answer.text()),
        status => (status, answer.code()),
    });
    outcome.collect()
}

#[test]
fn http2_requests_that_a_gateway_has_not_looked_at_are_sent_again_and_arrive_once() {
    for is_going in [true, false] {
        // Every worker is refused twice, as by a gateway of which one part after the other goes away.
        let scene = Scene::busy(
            Gateway::plan().raw(2 * workers(), move |mut frames| async move {
                frames.begin(&[]).await?;
                let stream = frames.request().await?;
                match is_going {
                    true => frames.go_away(0, Reason::NO_ERROR).await?,
                    false => frames.reset(stream, Reason::REFUSED_STREAM).await?,
                }
                frames.drain().await
            }),
        );
        let request = post("/once", b"{\"a\":1}");
        assert_eq!(
            each(&scene, &request),
            vec![(200, ANSWERED.to_owned()); workers()]
        );
        let arrived = scene.gateway.arrived_at("/once");
        assert_eq!(arrived.len(), workers());
        for arrived in arrived {
            assert_eq!(arrived.seen.body, b"{\"a\":1}");
            arrived.seen.verified();
        }
    }
}

#[test]
fn http2_requests_before_the_one_that_goaway_names_are_answered_and_later_ones_sent_again() {
    let begun = Marks::default();
    let marked = begun.clone();
    let scene = Scene::busy(Gateway::plan().raw(workers(), move |mut frames| {
        let begun = begun.clone();
        async move {
            frames.begin(&[]).await?;
            let first = frames.request().await?;
            begun.mark();
            frames.request().await?;
            frames.go_away(first, Reason::NO_ERROR).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let flags = END_HEADERS | END_STREAM;
            frames.send(HEADERS, flags, first, OK).await?;
            frames.drain().await
        }
    }));
    let mut callers = scene.callers(2 * workers());
    let (first, second) = callers.split_at_mut(workers());
    for caller in first {
        caller.send(post("/once", b"{}"));
    }
    marked.wait();
    for caller in second {
        caller.send(post("/once", b"{}"));
    }
    let answers: Vec<Answer> = callers.iter_mut().map(Client::answer).collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    // Over the first connection nothing is kept here, so these are the ones that were sent again.
    let again = scene.gateway.arrived_at("/once");
    assert_eq!(again.len(), workers());
    assert!(again.iter().all(|again| again.way == Way::Http2));
    let empty = answers.iter().filter(|answer| answer.body.is_empty());
    assert_eq!(empty.count(), workers());
}

#[test]
fn http2_requests_that_a_gateway_may_have_looked_at_are_not_sent_again() {
    for (last, reason) in [
        (1, Reason::NO_ERROR),
        (1, Reason::ENHANCE_YOUR_CALM),
        (0, Reason::NO_ERROR),
    ] {
        let scene = Scene::busy(
            Gateway::plan().raw(workers(), move |mut frames| async move {
                frames.begin(&[]).await?;
                let stream = frames.request().await?;
                if last == 0 {
                    return Ok(());
                }
                frames.go_away(stream, reason).await
            }),
        );
        let failed = each(&scene, &post("/once", b"{}"));
        assert_eq!(failed, vec![(502, "upstream_reset".to_owned()); workers()]);
        assert!(scene.gateway.arrived_at("/once").is_empty());
        assert_eq!(scene.serves(), Way::Http2);
    }
}

#[test]
fn http2_connections_that_die_fail_what_may_not_be_executed_twice_and_nothing_is_sent_again() {
    let scene = Scene::busy(Gateway::plan().script(|exchange| async move {
        match exchange.target() {
            "/cut" => {
                exchange.order(Order::Cut);
                // Without it, the stream would be reset before.
                exchange.until_reset().await
            }
            "/reset" => Err(Reason::INTERNAL_ERROR.into()),
            _ => exchange.answer(200, &[], ANSWERED).await,
        }
    }));
    for target in ["/reset", "/cut"] {
        assert_eq!(scene.serves(), Way::Http2);
        let failed = each(&scene, &post(target, b"{}"));
        assert_eq!(failed, vec![(502, "upstream_reset".to_owned()); workers()]);
        assert_eq!(scene.gateway.arrived_at(target).len(), workers());
    }
    assert_eq!(scene.serves(), Way::Http2);
}

#[test]
fn http2_connections_that_die_have_what_may_be_executed_twice_sent_once_more() {
    let used: Arc<Mutex<HashSet<usize>>> = Arc::default();
    let scene = Scene::busy(Gateway::plan().script(move |exchange| {
        // Those that have answered before are cut, and new ones are not.
        let connection = exchange.arrived.connection;
        let is_used = match exchange.target() {
            "/cut" => used.lock().unwrap().contains(&connection),
            _ => !used.lock().unwrap().insert(connection),
        };
        async move {
            if exchange.target() == "/cut" && is_used {
                exchange.order(Order::Cut);
                return exchange.until_reset().await;
            }
            exchange.answer(200, &[], ANSWERED).await
        }
    }));
    assert_eq!(scene.serves(), Way::Http2);
    let answers = each(&scene, get("/cut").as_bytes());
    assert_eq!(answers, vec![(200, ANSWERED.to_owned()); workers()]);
    let arrived = scene.gateway.arrived_at("/cut");
    assert_eq!(arrived.len(), 2 * workers());
    assert!(arrived.iter().all(|arrived| arrived.way == Way::Http2));
}

#[test]
fn http2_gateways_that_want_http1_get_it_from_then_on() {
    let scene = Scene::busy(Gateway::plan().raw(usize::MAX, |mut frames| async move {
        frames.begin(&[]).await?;
        let stream = frames.request().await?;
        frames.reset(stream, Reason::HTTP_1_1_REQUIRED).await?;
        frames.drain().await
    }));
    let answers = each(&scene, &post("/once", b"{}"));
    assert_eq!(answers, vec![(200, ANSWERED.to_owned()); workers()]);
    let arrived = scene.gateway.arrived_at("/once");
    assert_eq!(arrived.len(), workers());
    assert!(arrived.iter().all(|arrived| arrived.way == Way::Http1));
    for _ in 0..3 {
        assert_eq!(scene.serves(), Way::Http1);
    }
    assert_eq!(scene.gateway.connections(Way::Http2), workers());
}

#[test]
fn http2_connections_that_a_gateway_ends_in_good_order_cost_no_request() {
    let turn = Arc::new(AtomicUsize::new(0));
    let scene = Scene::busy(Gateway::plan().script(move |exchange| {
        // Every twentieth announces the end of its connection.
        if turn.fetch_add(1, Ordering::SeqCst) % 20 == 19 {
            exchange.order(Order::EndSoon);
        }
        async move { exchange.answer(200, &[], ANSWERED).await }
    }));
    let mut callers = scene.callers(8 * workers());
    for caller in &mut callers {
        caller.send(post("/0", b"{}"));
    }
    for round in 1..40 {
        for caller in &mut callers {
            assert_eq!(caller.answer().text(), ANSWERED, "round {round}");
            caller.send(post(&format!("/{round}"), b"{}"));
        }
    }
    assert!(
        callers
            .iter_mut()
            .map(Client::answer)
            .all(|answer| answer.status == 200)
    );
    for round in 0..40 {
        let arrived = scene.gateway.arrived_at(&format!("/{round}"));
        assert_eq!(arrived.len(), callers.len(), "round {round}");
    }
    wait_until("those connections end", || scene.gateway.ended().len() >= 5);
}
