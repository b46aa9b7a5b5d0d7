//! Callers that disconnect or are slow: numbers 23, 24, 25, 27.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Client, FAULT, SOCKET_TIMEOUT, Scene, Upstream, faulty, pause, request};

/// Checks that the request of a caller that leaves in this way is cancelled.
fn is_cancelled(request: impl AsRef<[u8]>, leave: fn(Client)) {
    let (told, tell) = mpsc::channel();
    let scene = Scene::before(faulty(move |link| {
        told.send("working").unwrap();
        // The request has arrived; wait until the proxy closes the connection.
        assert_eq!(link.drain(), 0, "more than one request came");
        told.send("cancelled").unwrap();
        Ok(())
    }));
    let mut client = scene.client();
    client.send(request);
    assert_eq!(tell.recv_timeout(SOCKET_TIMEOUT), Ok("working"));
    leave(client);
    assert_eq!(tell.recv_timeout(SOCKET_TIMEOUT), Ok("cancelled"));
    scene.arrived();
    scene.serves();
}

#[test]
fn fault_23_a_disconnect_while_the_gateway_works_cancels_the_request() {
    is_cancelled(FAULT, drop);
    is_cancelled(FAULT, |mut client| client.reset());
    is_cancelled(request("POST /fault", "", "{}"), drop);
}

#[test]
fn fault_24_a_half_close_counts_as_a_disconnect() {
    is_cancelled(request("POST /fault", "", "{}"), |mut client| {
        assert!(client.finish_sending().try_answer(false).is_err());
    });
}

#[test]
fn fault_25_slow_heads_and_idle_connections_are_closed_each_at_its_limit() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.timeouts.header_read = Duration::from_millis(300);
        config.timeouts.keep_alive = Duration::from_millis(1500);
    });
    let mut silent = scene.client();
    let mut slow = scene.client();
    let started = Instant::now();
    let mut sent = 0;
    for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\n".iter().cycle() {
        if slow.try_send([*byte]).is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 1000, "a slow head is never cut off");
        pause(Duration::from_millis(20));
    }
    assert!(slow.is_closed() && silent.is_closed());
    assert!(started.elapsed() >= Duration::from_millis(300));

    let mut idle = scene.client();
    idle.get("/").assert_status(200);
    // Longer than `header_read`: an idle connection has its own limit.
    pause(Duration::from_millis(600));
    idle.get("/").assert_status(200);
    let started = Instant::now();
    assert!(idle.is_closed());
    assert!(started.elapsed() >= Duration::from_millis(1400));
    assert_eq!(scene.upstream.requests().len(), 2);
    scene.serves();
}

#[test]
fn fault_25_a_later_head_has_the_same_limit_as_the_first() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.timeouts.header_read = Duration::from_millis(300);
        // Longer than a test waits for anything.
        config.timeouts.keep_alive = Duration::from_secs(3600);
    });
    let mut client = scene.client();
    client.get("/").assert_status(200);
    assert!(client.send(b"GET / HT").is_closed());
    assert_eq!(scene.upstream.requests().len(), 1);
    scene.serves();
}

#[test]
fn fault_27_a_slow_reader_slows_the_gateway_and_is_closed_when_it_stops() {
    const TOTAL: usize = 256 << 20;
    let written = Arc::new(AtomicUsize::new(0));
    let (ended, end) = mpsc::channel();
    let (ended, count) = (Mutex::new(ended), Arc::clone(&written));
    let upstream = faulty(move |link| {
        write!(
            link.stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n"
        )?;
        let piece = vec![b'x'; 64 * 1024];
        while count.load(Ordering::SeqCst) < TOTAL && link.stream.write_all(&piece).is_ok() {
            count.fetch_add(piece.len(), Ordering::SeqCst);
        }
        ended.lock().unwrap().send(()).unwrap();
        Ok(())
    });
    let scene = Scene::with(upstream, |config| {
        config.timeouts.write_idle = Duration::from_millis(1500);
    });
    let mut client = scene.client();
    client.send(FAULT);
    // A slow reader is allowed for longer than the limit.
    for _ in 0..6 {
        client.exactly(100_000).unwrap();
        pause(Duration::from_millis(400));
        scene.serves();
    }
    // Socket buffers took some of the body, then the gateway had to wait.
    let stalled = written.load(Ordering::SeqCst);
    assert!(
        stalled < 64 << 20,
        "{stalled} bytes were taken from the gateway"
    );
    end.recv_timeout(SOCKET_TIMEOUT).unwrap();
    assert!(written.load(Ordering::SeqCst) < 64 << 20);
    scene.upstream.wait_for_end_of(1);
    scene.serves();
}
