//! Answers that are not as they should be: numbers 47 to 53.

use crate::support::{ANSWERED, FAULT, Scene, faulty};

/// The answer to a request that the upstream answers with these bytes.
fn answered(bytes: &'static str, request: &str) -> (Scene, crate::support::Answer) {
    let scene = Scene::before(faulty(move |link| {
        link.send(bytes)?;
        link.finish()
    }));
    let answer = scene.exchange(request);
    scene.serves();
    (scene, answer)
}

fn is_bad(bytes: &'static str) {
    let (scene, answer) = answered(bytes, FAULT);
    answer.about(bytes).assert_refused(502, "bad_response");
    assert_eq!(scene.upstream.requests().len(), 2, "it was sent twice");
    assert_eq!(
        scene.upstream.connections(),
        2,
        "the connection was used again"
    );
}

#[test]
fn fault_47_what_is_not_an_answer_is_a_bad_response() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "garbage",
        "HTTP/1.1 xx\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n",
    ] {
        is_bad(bytes);
    }
    // One that ends too early may well have been a good one.
    let (scene, answer) = answered("HTTP/1.1 200 OK\r\nContent-Le", FAULT);
    answer.assert_refused(502, "upstream_reset");
    assert_eq!(scene.upstream.requests().len(), 2, "it was sent twice");
}

#[test]
fn fault_47_a_bad_chunk_cuts_the_answer_off() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    ] {
        let scene = Scene::before(faulty(move |link| link.send(bytes)));
        let mut client = scene.client();
        assert!(client.send(FAULT).try_answer(false).is_err());
        scene.serves();
        assert_eq!(scene.upstream.connections(), 2);
    }
}

#[test]
fn fault_48_two_lengths_are_never_relayed() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\ncontent-length: 3, 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        is_bad(bytes);
    }
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc",
    ] {
        let (_, answer) = answered(bytes, FAULT);
        assert_eq!(answer.header("content-length"), "3");
        assert_eq!(answer.text(), "abc");
    }
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let (_, answer) = answered(bytes, FAULT);
        assert!(answer.all("content-length").is_empty());
        assert_eq!(answer.header("transfer-encoding"), "chunked");
        assert_eq!(answer.text(), "abc");
    }
}

#[test]
fn fault_48_bytes_after_an_answer_do_not_become_the_next_one() {
    let scene = Scene::before(faulty(|link| {
        link.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")?;
        link.drain();
        Ok(())
    }));
    let mut client = scene.client();
    assert_eq!(client.send(FAULT).answer().text(), "ok");
    let next = client.get("/other");
    assert_eq!(next.text(), ANSWERED);
    assert_eq!(scene.upstream.connections(), 2);
    scene.serves();
}

#[test]
fn fault_49_a_head_over_the_limits_is_a_bad_response() {
    for fields in [
        format!("x-a: {}\r\n", "a".repeat(257 * 1024)),
        "x-a: 1\r\n".repeat(501),
        "x-a: 1\r\n".repeat(50_000),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let scene = Scene::before(faulty(move |link| link.send(&bytes)));
        let answer = scene.exchange(FAULT);
        answer.assert_refused(502, "bad_response");
        answer.assert_says("limits.answer_header");
        scene.serves();
    }
    let bytes = format!(
        "HTTP/1.1 200 OK\r\n{}x-b: {}\r\ncontent-length: 2\r\n\r\nok",
        "x-a: 1\r\n".repeat(498),
        "b".repeat(250 * 1024)
    );
    let scene = Scene::before(faulty(move |link| link.send(&bytes)));
    let answer = scene.exchange(FAULT);
    assert_eq!(answer.all("x-a").len(), 498);
    assert_eq!(answer.header("x-b").len(), 250 * 1024);
    scene.serves();
}

#[test]
fn fault_50_interim_answers_are_dropped_up_to_a_bound_and_an_unasked_switch_is_refused() {
    let scene = Scene::before(faulty(|link| {
        while link.send("HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
        Ok(())
    }));
    scene.exchange(FAULT).assert_refused(502, "bad_response");
    scene.serves();
    is_bad("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");

    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let scene = Scene::before(faulty(move |link| link.send(hints)));
    let answer = scene.exchange(FAULT);
    answer.assert_text(200, "ok");
    assert!(answer.all("link").is_empty());
    scene.serves();
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
        let scene = Scene::before(faulty(move |link| {
            link.send(bytes)?;
            link.drain();
            Ok(())
        }));
        let mut client = scene.client();
        client.send(FAULT.replace("GET", method));
        let answer = client.try_answer(method == "HEAD").unwrap();
        assert_eq!(answer.status.to_string(), bytes[9..12]);
        assert!(answer.body.is_empty() && answer.all("transfer-encoding").is_empty());
        let length: &[&str] = if method == "HEAD" { &["4"] } else { &[] };
        assert_eq!(answer.all("content-length"), length);
        let next = client.get("/other");
        next.about(bytes).assert_text(200, ANSWERED);
        assert_eq!(scene.upstream.connections(), 2);
        scene.serves();
    }
}

#[test]
fn fault_52_an_answer_until_the_close_is_relayed_in_chunks() {
    for bytes in [
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    ] {
        let (scene, answer) = answered(bytes, FAULT);
        assert_eq!(answer.header("transfer-encoding"), "chunked");
        assert_eq!(answer.text(), "until the end");
        let answer = scene.exchange(FAULT.replace("HTTP/1.1", "HTTP/1.0"));
        assert!(answer.all("transfer-encoding").is_empty());
        // Such a body ends with the connection.
        assert_eq!(answer.text(), "until the end");
        assert!(answer.all("content-length").is_empty());
    }
}

#[test]
fn fault_53_trailers_reach_the_caller_that_takes_them() {
    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n";
    for (te, expected) in [
        ("TE: trailers\r\n", "x-sum: 7\r\n\r\n"),
        ("TE: gzip\r\n", "\r\n"),
        ("", "\r\n"),
    ] {
        let scene = Scene::before(faulty(move |link| link.send(bytes)));
        let mut client = scene.client();
        client.send(FAULT.replace("\r\n\r\n", &format!("\r\n{te}\r\n")));
        client.until("HTTP/1.1 200", &format!("2\r\nok\r\n0\r\n{expected}"));
        // The connection goes on where the trailers end.
        let next = client.get("/other");
        assert_eq!(next.text(), ANSWERED);
        scene.serves();
    }
}
