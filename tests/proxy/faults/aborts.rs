//! Answers that are cut off: numbers 44 and 45. The corpus has number 46.

use std::time::Duration;

use apig_proxy::config::Config;

use crate::support::{FAULT, Link, Scene, faulty, pause};

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nabc";

/// Checks that a caller with either version of HTTP cannot take the answer to `/fault` for a complete one, and that the
/// request is not retried.
fn looks_aborted(scene: &Scene, case: &str) {
    for request in [FAULT, &FAULT.replace("HTTP/1.1", "HTTP/1.0")] {
        let before = scene.upstream.requests().len();
        let ended = scene.client().send(request).try_answer(false);
        assert!(ended.is_err(), "{case:?} looks complete: {ended:?}");
        assert_eq!(scene.upstream.requests().len(), before + 1, "{case:?}");
        scene.serves();
    }
}

/// How a connection ends.
type End = fn(&mut Link) -> std::io::Result<()>;

#[test]
fn fault_44_an_answer_that_makes_no_progress_is_aborted_at_the_idle_limit() {
    const LIMIT: Duration = Duration::from_millis(300);
    let of_all: fn(&mut Config) = |config| config.timeouts.idle = LIMIT;
    let of_route: fn(&mut Config) = |config| config.routes[0].idle_timeout = Some(LIMIT);
    for (bytes, limit) in [
        (LENGTH, of_all),
        (CHUNKS, of_all),
        (UNTIL_CLOSE, of_all),
        (LENGTH, of_route),
    ] {
        let upstream = faulty(move |link| {
            link.send(bytes)?;
            link.wait_for_end()
        });
        looks_aborted(&Scene::with(upstream, limit), bytes);
    }
}

#[test]
fn fault_45_an_answer_short_of_its_length_looks_aborted() {
    let cut: End = |_| Ok(());
    let reset: End = |link| {
        // The reset must not overtake what was sent.
        pause(Duration::from_millis(200));
        link.reset()
    };
    for (bytes, end) in [
        (LENGTH, Link::finish as End),
        (LENGTH, cut),
        (LENGTH, reset),
        // Without `close_notify` an attacker may have cut the connection.
        (UNTIL_CLOSE, cut),
    ] {
        let scene = Scene::before(faulty(move |link| {
            link.send(bytes)?;
            end(link)
        }));
        looks_aborted(&scene, bytes);
    }
}
