//! Requests that a gateway did not process, which are retried, and those that it may have processed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::Reason;

use super::{Http2Scene, Marks, answers, post, send, served, workers};
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, OK};
use crate::support::{ANSWERED, Gateway, Order, Protocol, get, wait_until};

/// Checks that a request of each worker fails with an unknown outcome.
fn fails(scene: &Http2Scene, target: &str) {
    for answer in scene.answers(workers(), post(target, b"{}")) {
        answer.assert_refused(502, "upstream_reset");
    }
}

#[test]
fn http2_requests_that_the_gateway_did_not_process_are_retried_and_arrive_once() {
    for is_going in [true, false] {
        // Every worker is refused twice, as during a rolling restart.
        let plan = Gateway::plan().raw(2 * workers(), move |mut frames| async move {
            frames.begin().await?;
            let stream = frames.request().await?;
            match is_going {
                true => frames.go_away(0, Reason::NO_ERROR).await?,
                false => frames.reset(stream, Reason::REFUSED_STREAM).await?,
            }
            frames.drain().await
        });
        let scene = Http2Scene::busy(plan);
        scene.serves_all(workers(), "/once");
        for arrived in scene.gateway.arrived_at("/once") {
            assert_eq!(arrived.body, b"{}");
            arrived.verified();
        }
    }
}

#[test]
fn fault_102_requests_before_the_one_that_goaway_names_are_answered_and_later_ones_sent_again() {
    let marks = Marks::default();
    let begun = marks.clone();
    let scene = Http2Scene::scripted(move |mut frames| {
        let begun = begun.clone();
        async move {
            frames.begin().await?;
            let first = frames.request().await?;
            begun.mark();
            frames.request().await?;
            frames.go_away(first, Reason::NO_ERROR).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            frames
                .send(HEADERS, END_HEADERS | END_STREAM, first, OK)
                .await?;
            frames.drain().await
        }
    });
    let mut callers = scene.callers(2 * workers());
    let (first, second) = callers.split_at_mut(workers());
    send(first, post("/once", b"{}"));
    marks.wait();
    send(second, post("/once", b"{}"));
    let answers = answers(&mut callers);
    answers.iter().for_each(|answer| answer.assert_status(200));
    // Raw connections record no requests, so these are the retried ones.
    let again = scene.gateway.arrived_at("/once");
    assert_eq!(again.len(), workers());
    assert!(again.iter().all(|one| one.protocol == Protocol::Http2));
    let empty = answers.iter().filter(|answer| answer.body.is_empty());
    assert_eq!(empty.count(), workers());
}

#[test]
fn http2_requests_that_the_gateway_may_have_processed_are_not_retried() {
    for reason in [
        Some(Reason::NO_ERROR),
        Some(Reason::ENHANCE_YOUR_CALM),
        None,
    ] {
        let scene = Http2Scene::scripted(move |mut frames| async move {
            frames.begin().await?;
            let stream = frames.request().await?;
            match reason {
                Some(reason) => frames.go_away(stream, reason).await,
                None => Ok(()),
            }
        });
        fails(&scene, "/once");
        assert!(scene.gateway.arrived_at("/once").is_empty());
        assert_eq!(scene.serves(), Protocol::Http2);
    }
}

#[test]
fn http2_requests_on_a_broken_connection_are_not_retried_unless_idempotent() {
    let scene = Http2Scene::busy(Gateway::plan().script(|exchange| async move {
        match exchange.target() {
            "/cut" => {
                exchange.order(Order::Cut);
                // Dropping the exchange would reset the stream first.
                exchange.until_reset().await
            }
            "/reset" => Err(Reason::INTERNAL_ERROR.into()),
            _ => exchange.answer(200, &[], ANSWERED).await,
        }
    }));
    for target in ["/reset", "/cut"] {
        assert_eq!(scene.serves(), Protocol::Http2);
        fails(&scene, target);
        assert_eq!(scene.gateway.arrived_at(target).len(), workers());
    }
    assert_eq!(scene.serves(), Protocol::Http2);
}

#[test]
fn http2_idempotent_requests_on_a_broken_connection_are_retried_once() {
    let used: Arc<Mutex<HashSet<usize>>> = Arc::default();
    let scene = Http2Scene::busy(Gateway::plan().script(move |exchange| {
        // Only connections that have carried a response are cut.
        let connection = exchange.request.connection;
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
    assert_eq!(scene.serves(), Protocol::Http2);
    served(&mut scene.sending(workers(), get("/cut")));
    let arrived = scene.gateway.arrived_at("/cut");
    // Of two requests on one connection, the second may not have arrived.
    assert!((workers() + 1..=2 * workers()).contains(&arrived.len()));
    assert!(arrived.iter().all(|one| one.protocol == Protocol::Http2));
}

#[test]
fn http2_gateways_that_require_http1_get_it_from_then_on() {
    let plan = Gateway::plan().raw(usize::MAX, |mut frames| async move {
        frames.begin().await?;
        let stream = frames.request().await?;
        frames.reset(stream, Reason::HTTP_1_1_REQUIRED).await?;
        frames.drain().await
    });
    let scene = Http2Scene::busy(plan);
    scene.serves_all(workers(), "/once");
    let arrived = scene.gateway.arrived_at("/once");
    assert!(arrived.iter().all(|one| one.protocol == Protocol::Http1));
    for _ in 0..3 {
        assert_eq!(scene.serves(), Protocol::Http1);
    }
    assert_eq!(scene.gateway.connections(Protocol::Http2), workers());
}

#[test]
fn http2_connections_that_the_gateway_shuts_down_gracefully_fail_no_request() {
    let turn = Arc::new(AtomicUsize::new(0));
    let scene = Http2Scene::busy(Gateway::plan().script(move |exchange| {
        // Every twentieth request starts a graceful shutdown of its connection.
        if turn.fetch_add(1, Ordering::SeqCst) % 20 == 19 {
            exchange.order(Order::EndSoon);
        }
        async move { exchange.answer(200, &[], ANSWERED).await }
    }));
    let mut callers = scene.sending(8 * workers(), post("/0", b"{}"));
    for round in 1..40 {
        for caller in &mut callers {
            caller.answer().about(round).assert_text(200, ANSWERED);
            caller.send(post(&format!("/{round}"), b"{}"));
        }
    }
    served(&mut callers);
    for round in 0..40 {
        let arrived = scene.gateway.arrived_at(&format!("/{round}"));
        assert_eq!(arrived.len(), callers.len(), "round {round}");
    }
    wait_until("those connections end", || scene.gateway.ended().len() >= 5);
}
