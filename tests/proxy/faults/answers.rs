//! What of odd answers reaches the caller, and how the connection goes on: numbers 47 to 54. The corpus has the answers
//! that are refused.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{ANSWERED, Answer, FAULT, Scene, faulty, pause};

/// A scene whose upstream answers `/fault` with these bytes, and waits for the end of the connection then.
fn answering(bytes: &'static str) -> Scene {
    Scene::before(faulty(move |link| {
        link.send(bytes)?;
        link.finish()?;
        link.drain();
        Ok(())
    }))
}

fn answered(bytes: &'static str) -> Answer {
    answering(bytes).exchange(FAULT)
}

#[test]
fn fault_47_a_bad_response_is_not_asked_for_again() {
    for (bytes, code) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "bad_response"),
        ("HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n", "bad_response"),
        // One that ends too early may well have been a good one.
        ("HTTP/1.1 200 OK\r\nContent-Le", "upstream_reset"),
    ] {
        let scene = answering(bytes);
        scene.exchange(FAULT).about(bytes).assert_refused(502, code);
        assert_eq!(scene.arrived().target(), "/fault");
        scene.serves();
        assert_eq!(
            scene.upstream.connections(),
            2,
            "the connection was used again"
        );
    }
}

#[test]
fn fault_48_equal_lengths_and_a_length_beside_chunks_are_normalised() {
    let same = answered("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\nabc");
    same.assert_header(200, "content-length", "3");
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let both = answered(both);
    both.assert_without(&["content-length"]);
    both.assert_header(200, "transfer-encoding", "chunked");
    assert_eq!([same.text(), both.text()], ["abc", "abc"]);
}

#[test]
fn fault_48_bytes_after_an_answer_do_not_become_the_next_one() {
    let scene = answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    );
    let mut client = scene.client();
    assert_eq!(client.send(FAULT).answer().text(), "ok");
    assert_eq!(client.get("/other").text(), ANSWERED);
    assert_eq!(scene.upstream.connections(), 2);
}

#[test]
fn fault_49_a_head_up_to_the_limits_is_relayed() {
    for (count, length) in [(495, 1), (250, 1000)] {
        let field = format!("x-a: {}\r\n", "a".repeat(length));
        let bytes = format!(
            "HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok",
            field.repeat(count)
        );
        let scene = Scene::before(faulty(move |link| link.send(&bytes)));
        let answer = scene.exchange(FAULT);
        answer.about(count).assert_status(200);
        let values = answer.all("x-a");
        assert_eq!((values.len(), values[0].len()), (count, length));
    }
}

#[test]
fn fault_49_the_refusal_of_a_head_over_the_limits_names_the_key() {
    for fields in [
        format!("x-a: {}\r\n", "a".repeat(257 * 1024)),
        "x-a: 1\r\n".repeat(501),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let scene = Scene::before(faulty(move |link| link.send(&bytes)));
        let answer = scene.exchange(FAULT);
        answer.assert_refused(502, "bad_response");
        answer.assert_says("limits.answer_header");
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
    let answer = answered(hints);
    answer.assert_text(200, "ok");
    answer.assert_without(&["link"]);
}

#[test]
fn fault_51_a_body_where_none_may_be_is_dropped_and_the_connection_not_used_again() {
    for (method, bytes) in [
        ("GET", "HTTP/1.1 204 No\r\ncontent-length: 4\r\n\r\nevil"),
        (
            "GET",
            "HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 304 No\r\ncontent-length: 4\r\n\r\nevil"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
    ] {
        let scene = answering(bytes);
        let mut client = scene.client();
        client.send(FAULT.replace("GET", method));
        let answer = client.try_answer(method == "HEAD").unwrap();
        assert_eq!(answer.status.to_string(), bytes[9..12]);
        assert!(answer.body.is_empty() && answer.all("transfer-encoding").is_empty());
        let length: &[&str] = if method == "HEAD" { &["4"] } else { &[] };
        assert_eq!(answer.all("content-length"), length);
        client.get("/other").about(bytes).assert_text(200, ANSWERED);
        assert_eq!(scene.upstream.connections(), 2);
    }
}

#[test]
fn fault_52_an_answer_until_the_close_is_relayed_in_chunks() {
    let bytes = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    answered(bytes).assert_header(200, "transfer-encoding", "chunked");
    // To a caller with HTTP/1.0, such a body ends with the connection.
    let answer = answering(bytes).exchange(FAULT.replace("HTTP/1.1", "HTTP/1.0"));
    answer.assert_text(200, "until the end");
    answer.assert_without(&["transfer-encoding", "content-length"]);
}

#[test]
fn fault_53_trailers_reach_the_caller_that_takes_them() {
    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n";
    for (te, expected) in [
        ("TE: trailers\r\n", "x-sum: 7\r\n\r\n"),
        ("TE: gzip\r\n", "\r\n"),
        ("", "\r\n"),
    ] {
        let scene = answering(bytes);
        let mut client = scene.client();
        client.send(FAULT.replace("\r\n\r\n", &format!("\r\n{te}\r\n")));
        client.until("HTTP/1.1 200", &format!("2\r\nok\r\n0\r\n{expected}"));
        // The connection goes on where the trailers end.
        assert_eq!(client.get("/other").text(), ANSWERED);
    }
}

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
