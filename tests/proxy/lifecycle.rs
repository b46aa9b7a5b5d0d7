//! Connections and the end of the process.

use std::time::Duration;

use apig_proxy::server::DrainOutcome;
use rustls::version::{TLS12, TLS13};
use tokio::time::Instant;

use crate::support::{Scene, Upstream, answer};

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
fn during_the_drain_delay_the_proxy_is_not_ready_but_serves_and_closes_each_connection() {
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
