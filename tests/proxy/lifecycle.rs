//! Connections and the end of the process.

use std::time::Duration;

use apig_proxy::server::DrainOutcome;
use rustls::version::{TLS12, TLS13};
use tokio::time::Instant;

use crate::support::{Scene, Upstream, answer, get};

#[test]
fn new_connections_resume_tls_sessions_of_earlier_ones_in_both_versions() {
    for version in [&TLS12, &TLS13] {
        let scene = Scene::before(Upstream::speaking(&[version], |_, out| {
            out.write_all(answer("200 OK", "connection: close\r\n", "ok").as_bytes())
        }));
        let mut client = scene.client();
        for _ in 0..3 {
            client.get("/").assert_status(200);
        }
        let resumed = scene.upstream.requests();
        let resumed: Vec<bool> = resumed.iter().map(|seen| seen.resumed).collect();
        assert_eq!(scene.upstream.connections(), 3);
        assert_eq!(resumed, [false, true, true], "{version:?}");
    }
}

#[test]
fn fault_71_running_requests_are_finished_before_the_end() {
    let (upstream, hold) = Upstream::holding();
    let mut scene = Scene::before(upstream);
    let mut idle = scene.client();
    hold.send(()).unwrap();
    idle.get("/").assert_status(200);
    let mut client = scene.client();
    client.send(get("/"));
    scene.upstream.wait_for(2);
    scene.proxy.asked("/readyz").assert_status(200);
    scene.proxy.begin_stopping();
    scene.proxy.wait_until_not_ready();
    let not_ready = scene.proxy.asked("/readyz").text();
    assert!(not_ready.starts_with("stopping: "), "{not_ready}");
    for path in ["/livez", "/startupz"] {
        scene.proxy.asked(path).assert_status(200);
    }
    assert_eq!(scene.proxy.metrics().value("apig_proxy_in_flight", ""), 1.0);
    hold.send(()).unwrap();
    client.answer().assert_text(200, "late");
    assert_eq!(scene.proxy.ended(), DrainOutcome::Drained);
    assert!(idle.is_closed());
}

#[test]
fn during_the_delay_the_proxy_is_not_ready_but_serves_and_each_answer_ends_its_connection() {
    let mut scene = Scene::with(Upstream::start(), |config| {
        config.timeouts.drain_delay = Duration::from_millis(800);
    });
    let mut kept = scene.client();
    assert!(kept.get("/").all("connection").is_empty());
    let begun = Instant::now();
    scene.proxy.begin_stopping();
    scene.proxy.wait_until_not_ready();
    // Callers that do not know of it yet are served, over new connections and over kept ones.
    scene.get("/").assert_header(200, "connection", "close");
    kept.get("/").assert_header(200, "connection", "close");
    assert!(kept.is_closed());
    let address = scene.proxy.address;
    assert_eq!(scene.proxy.ended(), DrainOutcome::Drained);
    assert!(begun.elapsed() >= Duration::from_millis(800));
    assert!(std::net::TcpStream::connect(address).is_err());
}
