//! How many requests a gateway takes at once.

use super::{Http2Scene, workers};
use crate::support::{Gateway, Plan, Protocol};

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
