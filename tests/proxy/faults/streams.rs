//! Answers that go on for long: number 54.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{FAULT, Scene, faulty, pause};

#[test]
fn fault_54_events_pass_at_once_for_longer_than_any_limit_on_their_whole() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = faulty(move |link| {
        link.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for number in 0..10 {
            link.send(format!("9\r\ndata: {number}\n\n\r\n"))?;
            // The next event is sent only after the caller has this one.
            let next = gone.lock().unwrap().recv_timeout(Duration::from_secs(10));
            next.map_err(std::io::Error::other)?;
        }
        link.send("0\r\n\r\n")
    });
    let scene = Scene::with(upstream, |config| {
        config.timeouts.idle = Duration::from_millis(700);
        config.timeouts.response = Duration::from_millis(700);
    });
    let mut client = scene.client();
    client.send(FAULT);
    assert!(
        client
            .until("HTTP/1.1 200", "\r\n\r\n")
            .contains("text/event-stream")
    );
    for number in 0..10 {
        let event = client.until("9\r\n", "\n\n\r\n");
        assert_eq!(event, format!("9\r\ndata: {number}\n\n\r\n"));
        pause(Duration::from_millis(150));
        go.send(()).unwrap();
    }
    assert_eq!(client.until("0\r\n", "\r\n\r\n"), "0\r\n\r\n");
    scene.serves();
}
