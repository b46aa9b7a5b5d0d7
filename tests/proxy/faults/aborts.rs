//! Answers that end before their end: numbers 44 to 46.

use std::time::Duration;

use apig_proxy::config::Config;

use crate::support::{FAULT, Link, Scene, faulty, pause};

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nabc";

/// The caller sees the head and then an end that it cannot take for a complete answer.
fn looks_aborted(scene: &Scene, request: &str) {
    let mut client = scene.client();
    client.send(request);
    let ended = client.try_answer(false);
    assert!(ended.is_err(), "it looks complete: {ended:?}");
    scene.serves();
}

fn old(request: &str) -> String {
    request.replace("HTTP/1.1", "HTTP/1.0")
}

/// How a connection ends.
type End = fn(&mut Link) -> std::io::Result<()>;

#[test]
fn fault_44_an_answer_that_stands_still_is_cut_off_at_the_idle_limit() {
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
            link.drain();
            Ok(())
        });
        let scene = Scene::with(upstream, limit);
        looks_aborted(&scene, FAULT);
        looks_aborted(&scene, &old(FAULT));
        assert_eq!(scene.upstream.requests().len(), 4);
    }
}

#[test]
fn fault_45_an_answer_short_of_its_length_looks_aborted() {
    let ends: [End; 3] = [
        // With and without a word, and with a reset.
        Link::finish,
        |_| Ok(()),
        |link| {
            // So that what was sent is not overtaken.
            pause(Duration::from_millis(200));
            link.reset()
        },
    ];
    for end in ends {
        let scene = Scene::before(faulty(move |link| {
            link.send(LENGTH)?;
            end(link)
        }));
        looks_aborted(&scene, FAULT);
        looks_aborted(&scene, &old(FAULT));
        assert_eq!(scene.upstream.requests().len(), 4);
    }
    // Until the connection is closed, but that was not said: it may have been cut by somebody.
    let scene = Scene::before(faulty(|link| link.send(UNTIL_CLOSE)));
    looks_aborted(&scene, FAULT);
}

#[test]
fn fault_46_a_chunked_answer_without_its_last_chunk_looks_aborted() {
    for bytes in [
        CHUNKS,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let scene = Scene::before(faulty(move |link| {
            link.send(bytes)?;
            link.finish()
        }));
        looks_aborted(&scene, FAULT);
        // Without chunks, only a reset tells.
        looks_aborted(&scene, &old(FAULT));
    }
}
