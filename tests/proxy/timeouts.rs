//! Timeouts of routes, and what is said of the gateway's own.

use std::io::Read;
use std::time::Duration;

use crate::support::{FAULT, Scene, Upstream, pause, route};

#[test]
fn a_route_may_have_timeouts_of_its_own() {
    let (upstream, _hold) = Upstream::holding();
    let mut own = route("/own", &upstream, "");
    own.response_timeout = Some(Duration::from_millis(300));
    let scene = Scene::with(upstream, |config| config.routes.insert(0, own));
    let answer = scene.get("/own/slow");
    answer.assert_refused(504, "response_timeout");
}

#[test]
fn fault_44_a_route_may_have_an_idle_timeout_of_its_own() {
    let upstream = Upstream::handling(|link| {
        link.request()?;
        link.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")?;
        link.drain();
        Ok(())
    });
    let scene = Scene::with(upstream, |config| {
        config.routes[0].idle_timeout = Some(Duration::from_millis(300));
    });
    let mut client = scene.client();
    client.send(FAULT);
    client.until("HTTP/1.1 200", "\r\n\r\nab");
    assert!(client.is_closed());
}

#[test]
fn fault_55_an_upload_that_the_gateway_ends_after_a_pause_is_answered_with_the_reason() {
    let scene = Scene::before(Upstream::handling(|link| {
        link.head()?;
        link.stream.read_exact(&mut [0; 3])?;
        // As long as the gateway waits for more of a body.
        pause(Duration::from_secs(8));
        Err(std::io::Error::other("cut off"))
    }));
    let upload = "POST /fault HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 10\r\n\r\nabc";
    let mut client = scene.client();
    client.send(upload);
    let answer = client.answer();
    answer.assert_refused(502, "upstream_reset");
    answer.assert_says("nothing of the body came for 8 seconds");
    answer.assert_says("`request_body_timeout`");
    // Without a pause that is not said.
    let scene = Scene::before(Upstream::handling(|link| {
        link.head()?;
        link.stream.read_exact(&mut [0; 3])?;
        Err(std::io::Error::other("cut off"))
    }));
    let mut client = scene.client();
    client.send(upload);
    assert!(!client.answer().text().contains("8 seconds"));
}
