//! Connections that end before an answer, and which requests are retried: numbers 41 to 43.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use apig_proxy::config::Config;

use crate::support::{self, ANSWERED, Client, FAULT, Link, Scene, Upstream, faulty, ok, pause};

fn answered(link: &mut Link) -> io::Result<()> {
    link.send(ok(ANSWERED))
}

fn request(method: &str, target: &str) -> Vec<u8> {
    let has_body = !["GET", "HEAD", "OPTIONS"].contains(&method);
    let body = if has_body { "{}" } else { "" };
    support::request(&format!("{method} {target}"), "", body)
}

/// How often the upstream saw each target.
fn counted(upstream: &Upstream) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for seen in upstream.requests() {
        *counts.entry(seen.target().to_owned()).or_default() += 1;
        seen.verified();
    }
    counts
}

#[test]
fn fault_41_a_new_connection_that_ends_without_an_answer_is_a_reset_and_is_not_retried() {
    for resets in [true, false] {
        for method in ["GET", "PUT", "DELETE", "POST", "PATCH"] {
            let scene = Scene::before(faulty(move |link| match resets {
                true => link.reset(),
                false => Ok(()),
            }));
            let failed = scene.exchange(request(method, "/fault"));
            failed.about(method).assert_refused(502, "upstream_reset");
            failed.assert_says("unknown");
            scene.arrived();
            scene.serves();
        }
    }
}

/// A caller whose worker has an idle connection to the gateway that has carried one request. Other callers
/// may have other workers, with connections of their own.
fn warmed_up(scene: &Scene) -> Client {
    let mut client = scene.client();
    let next = request("GET", "/next");
    client.send(&next).answer().assert_status(200);
    client
}

/// An upstream that answers one request on each connection, and closes it after the next one and these bytes.
fn tired(partly: &'static str) -> Upstream {
    Upstream::handling(move |link| {
        if link.request()?.is_some() {
            answered(link)?;
        }
        if link.request()?.is_some() {
            link.send(partly)?;
        }
        Ok(())
    })
}

#[test]
fn fault_42_an_idempotent_request_is_retried_over_a_new_connection_and_signed_again() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let scene = Scene::before(tired(""));
        let mut client = warmed_up(&scene);
        client.send(request(method, "/again"));
        let answer = client.try_answer(method == "HEAD").unwrap();
        answer.about(method).assert_status(200);
        assert_eq!(counted(&scene.upstream)["/again"], 2);
        assert_eq!(scene.upstream.connections(), 2);
        let again = scene.upstream.requests();
        assert_eq!(again[1].body, again[2].body);
    }
}

#[test]
fn fault_42_a_retry_takes_none_of_the_other_idle_connections_which_may_have_ended_too() {
    let upstream = Upstream::handling(|link| {
        if link.request()?.is_some() {
            // They are in flight at once, so that each has a connection of its own.
            pause(Duration::from_millis(300));
            answered(link)?;
        }
        link.request().map(drop)
    });
    let scene = Scene::before(upstream);
    scene.serves();
    // Each worker has several.
    let count = 2 * available_parallelism().unwrap().get();
    for answer in scene.at_once(count, request("GET", "/next")) {
        answer.assert_status(200);
    }
    scene.passes(request("GET", "/again"));
    assert_eq!(counted(&scene.upstream)["/again"], 2);
}

#[test]
fn fault_42_other_requests_are_sent_once_and_their_outcome_is_unknown() {
    let streamed = "Content-Type: multipart/x";
    let (cut, early) = (
        "HTTP/1.1 200 OK\r\ncontent-",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    );
    for (method, fields, partly) in [
        ("POST", "", ""),
        ("PATCH", "", ""),
        ("PUT", streamed, ""),
        // An answer has begun.
        ("GET", "", cut),
        ("GET", "", early),
    ] {
        let scene = Scene::before(tired(partly));
        let mut client = warmed_up(&scene);
        let body = if method == "GET" { "" } else { "{}" };
        let request = support::request(&format!("{method} /once"), fields, body);
        let failed = client.send(request).answer();
        let failed = failed.about((method, fields, partly));
        failed.assert_refused(502, "upstream_reset");
        failed.assert_says("unknown");
        assert_eq!(counted(&scene.upstream)["/once"], 1);
        scene.serves();
    }
}

/// Sends many requests to an upstream that closes idle connections at any time; counts the answers.
fn race(method: &'static str) -> (Scene, usize) {
    const REQUESTS: usize = 1000;
    let turn = Arc::new(AtomicUsize::new(0));
    let scene = Scene::before(Upstream::handling(move |link| {
        while link.request()?.is_some() {
            answered(link)?;
            // The next request may be in flight.
            let turn = turn.fetch_add(1, Ordering::SeqCst) % 5;
            if turn < 3 {
                pause(Duration::from_micros([0, 300, 1000][turn]));
                return if turn == 2 { link.reset() } else { Ok(()) };
            }
        }
        Ok(())
    }));
    let mut client = scene.client();
    let mut answered = 0;
    for number in 0..REQUESTS {
        let answer = client.send(request(method, &format!("/{number}"))).answer();
        match answer.status {
            200 => answered += 1,
            _ => answer.assert_refused(502, "upstream_reset"),
        }
        if number % 3 == 0 {
            pause(Duration::from_micros(600));
        }
    }
    (scene, answered)
}

#[test]
fn fault_42_while_connections_are_closed_under_us_each_get_is_answered_and_no_post_seen_twice() {
    let (scene, answered) = race("GET");
    assert_eq!((answered, counted(&scene.upstream).len()), (1000, 1000));
    let (scene, answered) = race("POST");
    let counts = counted(&scene.upstream);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert!(answered <= counts.len());
}

#[test]
fn fault_43_a_gateway_that_hangs_times_out_and_the_request_is_not_retried() {
    const LIMIT: Duration = Duration::from_millis(500);
    let of_all: fn(&mut Config) = |config| config.timeouts.response = LIMIT;
    let of_route: fn(&mut Config) = |config| config.routes[0].response_timeout = Some(LIMIT);
    for limit in [of_all, of_route] {
        let upstream = faulty(Link::wait_for_end);
        let scene = Scene::with(upstream, limit);
        // A reused connection and an idempotent method would allow a retry.
        let mut client = warmed_up(&scene);
        let late = client.send(FAULT).answer();
        late.assert_refused(504, "response_timeout");
        scene.arrived();
        scene.serves();
    }
}
