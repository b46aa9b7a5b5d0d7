//! How unusual answers are relayed: numbers 49 to 54. The corpus has those that are refused or normalised.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{ANSWERED, FAULT, Scene, answer, faulty, pause, request};

/// A scene whose upstream answers `/fault` with these bytes and closes its sending side.
fn answering(bytes: &'static str) -> Scene {
    Scene::before(faulty(move |link| {
        link.send(bytes)?;
        link.finish()?;
        link.wait_for_end()
    }))
}

#[test]
fn fault_49_a_head_within_the_limits_is_relayed_and_the_error_for_a_longer_one_names_the_key() {
    for (count, length, is_relayed) in [
        (495, 1, true),
        (250, 1000, true),
        (501, 1, false),
        (1, 257 * 1024, false),
    ] {
        let fields = format!("x-a: {}\r\n", "a".repeat(length)).repeat(count);
        let bytes = answer("200 OK", &fields, "ok");
        let scene = Scene::before(faulty(move |link| link.send(&bytes)));
        let answer = scene.exchange(FAULT);
        let answer = answer.about((count, length));
        if is_relayed {
            answer.assert_text(200, "ok");
            let lengths: Vec<usize> = answer.all("x-a").iter().map(String::len).collect();
            assert_eq!(lengths, vec![length; count]);
        } else {
            answer.assert_refused(502, "bad_response");
            answer.assert_says("limits.answer_header");
        }
        scene.serves();
    }
}

#[test]
fn fault_50_interim_answers_are_dropped_up_to_a_bound() {
    let scene = Scene::before(faulty(|link| {
        while link.send("HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
        Ok(())
    }));
    scene.exchange(FAULT).assert_refused(502, "bad_response");
    scene.serves();
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let answer = answering(hints).exchange(FAULT);
    answer.assert_text(200, "ok");
    answer.assert_without(&["link"]);
}

#[test]
fn fault_51_a_body_in_an_answer_to_head_is_dropped_and_the_connection_not_reused() {
    let scene = answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
    let mut client = scene.client();
    let answer = client.send(FAULT.replace("GET", "HEAD")).head_answer();
    answer.assert_header(200, "content-length", "4");
    answer.assert_without(&["transfer-encoding"]);
    client.get("/other").assert_text(200, ANSWERED);
    assert_eq!(scene.upstream.connections(), 2);
}

#[test]
fn fault_52_an_answer_that_ends_with_the_connection_is_chunked_unless_the_caller_has_http_1_0() {
    let scene = answering("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let answer = scene.exchange(FAULT);
    answer.assert_text(200, "until the end");
    answer.assert_header(200, "transfer-encoding", "chunked");
    let answer = scene.exchange(FAULT.replace("HTTP/1.1", "HTTP/1.0"));
    answer.assert_text(200, "until the end");
    answer.assert_without(&["transfer-encoding", "content-length"]);
}

#[test]
fn fault_53_trailers_reach_a_caller_that_accepts_them() {
    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n";
    for (te, expected) in [("TE: trailers", &["7"][..]), ("TE: gzip", &[]), ("", &[])] {
        let scene = answering(bytes);
        let mut client = scene.client();
        let answer = client.send(request("GET /fault", te, ""));
        let answer = answer.answer();
        answer.about(te).assert_text(200, "ok");
        assert_eq!(answer.all("trailer x-sum"), expected);
        answer.assert_without(&["trailer content-length"]);
        // The connection is reusable after the trailers.
        client.get("/other").assert_text(200, ANSWERED);
    }
}

#[test]
fn fault_54_events_pass_at_once_and_have_no_total_limit() {
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
    let head = client.until("HTTP/1.1 200", "\r\n\r\n");
    assert!(head.contains("text/event-stream"), "{head}");
    for number in 0..10 {
        let event = client.until("9\r\n", "\n\n\r\n");
        assert_eq!(event, format!("9\r\ndata: {number}\n\n\r\n"));
        pause(Duration::from_millis(150));
        go.send(()).unwrap();
    }
    assert_eq!(client.until("0\r\n", "\r\n\r\n"), "0\r\n\r\n");
    scene.serves();
}
