//! Connections and the end of the process.

use std::time::Duration;

use apig_proxy::server::DrainOutcome;

use crate::support::{Proxy, Scene, Upstream, answer, config, get, pause, wait_until};
use rustls::version::{TLS12, TLS13};
use tokio::time::Instant;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn connections_to_the_gateway_are_reused() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.send(GET).answer().status, 200);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (20, 1));
}

#[test]
fn new_connections_resume_tls_sessions_of_earlier_ones_in_both_versions() {
    for version in [&TLS12, &TLS13] {
        let upstream = Upstream::speaking(&[version], |_, out| {
            out.write_all(answer("200 OK", "connection: close\r\n", "ok").as_bytes())
        });
        let proxy = Proxy::before(&upstream);
        let mut client = proxy.client();
        for _ in 0..3 {
            assert_eq!(client.send(GET).answer().status, 200);
        }
        let resumed: Vec<bool> = upstream
            .requests()
            .iter()
            .map(|seen| seen.resumed)
            .collect();
        assert_eq!(
            (upstream.connections(), resumed),
            (3, vec![false, true, true]),
            "{version:?}"
        );
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_and_signed_each() {
    let upstream = Upstream::scripted(|seen, out| {
        out.write_all(answer("200 OK", "", seen.target()).as_bytes())
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    let requests: String = (0..5).map(|n| get(&format!("/{n}"))).collect();
    client.send(&requests);
    for n in 0..5 {
        assert_eq!(client.answer().text(), format!("/{n}"));
    }
    upstream
        .requests()
        .iter()
        .for_each(|seen| assert!(seen.verified().body_signed));
}

#[test]
fn idle_connections_that_the_gateway_closed_are_not_used() {
    let upstream = Upstream::scripted(|_, out| {
        out.write_all(answer("200 OK", "", "ok").as_bytes())?;
        out.flush()?;
        Err(std::io::Error::other(
            "closed after each answer, without a word",
        ))
    });
    let proxy = Proxy::before(&upstream);
    for n in 0..5 {
        assert_eq!(proxy.exchange(GET).status, 200, "{n}");
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (5, 5));
}

#[test]
fn fault_71_running_requests_are_finished_before_the_end() {
    let upstream = Upstream::scripted(|_, out| {
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(Duration::from_millis(300));
        out.write_all(answer("200 OK", "", "late").as_bytes())
    });
    let mut proxy = Proxy::before(&upstream);
    let mut idle = proxy.client();
    idle.send(GET).answer();
    let mut client = proxy.client();
    client.send(GET);
    while upstream.requests().len() < 2 {
        std::thread::yield_now();
    }
    proxy.begin_stopping();
    assert_eq!(client.answer().text(), "late");
    assert_eq!(proxy.ended(), DrainOutcome::Drained);
    assert!(idle.is_closed());
}

#[test]
fn fault_72_what_does_not_finish_in_time_is_cut_off() {
    let upstream = Upstream::scripted(|_, _| {
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    });
    let mut config = config(&upstream);
    config.timeouts.shutdown = Duration::from_millis(100);
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    client.send(GET);
    while upstream.requests().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(proxy.ended(), DrainOutcome::CutOff);
    assert!(client.try_answer(false).is_err());
}

#[test]
fn during_the_delay_the_proxy_is_not_ready_but_serves_and_each_answer_ends_its_connection() {
    let mut scene = Scene::with(Upstream::start(), |config| {
        config.admin = Some("127.0.0.1:0".parse().unwrap());
        config.timeouts.drain_delay = Duration::from_millis(800);
    });
    let mut kept = scene.client();
    let answer = kept.send(GET).answer();
    assert!(answer.all("connection").is_empty());
    let begun = Instant::now();
    scene.proxy.begin_stopping();
    wait_until("it is not ready", || {
        scene.proxy.asked("/readyz").status == 503
    });
    // Who has not heard of it yet, and comes by a new connection, is served.
    let answer = scene.proxy.exchange(GET);
    assert_eq!(
        (answer.status, answer.header("connection").as_str()),
        (200, "close")
    );
    // And so is who has kept one.
    let answer = kept.send(GET).answer();
    assert_eq!(
        (answer.status, answer.header("connection").as_str()),
        (200, "close")
    );
    assert!(kept.is_closed());
    let address = scene.proxy.address;
    assert_eq!(scene.proxy.ended(), DrainOutcome::Drained);
    assert!(begun.elapsed() >= Duration::from_millis(800));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_request_that_comes_right_after_its_connection_is_served_although_the_end_has_begun() {
    let mut scene = Scene::plain();
    let mut clients: Vec<_> = (0..20).map(|_| scene.client()).collect();
    // Accepted, so that only the request is missing.
    scene.serves();
    scene.proxy.begin_stopping();
    pause(Duration::from_millis(50));
    for client in &mut clients {
        let answer = client.send(GET).answer();
        assert_eq!(
            (answer.status, answer.header("connection").as_str()),
            (200, "close")
        );
    }
    let idle = scene.proxy.ended();
    assert_eq!(idle, DrainOutcome::Drained);
}
