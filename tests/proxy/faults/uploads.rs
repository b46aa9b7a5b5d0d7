//! Bodies that are too long, too short or too slow: numbers 16 to 19, 21, 22, 26, 32, 33.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{
    SOCKET_TIMEOUT, Scene, Upstream, chunked, get, ok, pause, post, request, wait_until,
};

const LIMIT: usize = 12 * 1024 * 1024;

/// A content type that is hashed, and one that is streamed.
const TYPES: [&str; 2] = ["application/json", "multipart/form-data"];

/// The head of a POST with this length and these fields.
fn declared(length: usize, fields: &str) -> Vec<u8> {
    request("POST /", &format!("Content-Length: {length}|{fields}"), "")
}

#[test]
fn fault_16_a_declared_length_over_the_limit_is_refused_at_once() {
    let scene = Scene::plain();
    for fields in ["", "Expect: 100-continue", "Content-Type: multipart/x"] {
        // The first answer is the refusal, not `100 Continue`.
        scene
            .refuses_and_closes(declared(LIMIT + 1, fields), 413, "body_too_large")
            .assert_says(&LIMIT.to_string());
    }
}

#[test]
fn fault_17_a_caller_that_sends_first_and_reads_later_reads_the_refusal() {
    let scene = Scene::plain();
    for content_type in TYPES {
        let mut client = scene.client();
        client.send(post(content_type, &vec![b'a'; LIMIT + 1_000_000]));
        let answer = client.answer();
        answer.assert_refused(413, "body_too_large");
        assert_eq!(answer.header("connection"), "close");
        assert!(client.is_closed());
    }
    assert_eq!(scene.upstream.connections(), 0);
    scene.serves();
}

#[test]
fn fault_18_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let scene = Scene::plain();
    let body = vec![b'a'; LIMIT + 1];
    for content_type in TYPES {
        let exact = &body[1..];
        for request in [post(content_type, exact), chunked(content_type, &[exact])] {
            scene.passes(request);
            let seen = scene.upstream.requests().pop().unwrap();
            assert_eq!(seen.body.len(), LIMIT);
            seen.verified();
        }
        scene.refuses(chunked(content_type, &[&body]), 413, "body_too_large");
    }
}

#[test]
fn fault_19_a_body_that_ends_early_does_not_arrive() {
    let scene = Scene::plain();
    for content_type in TYPES {
        let of_type = format!("Content-Type: {content_type}");
        let in_chunks = format!("{of_type}|Transfer-Encoding: chunked");
        for half in [
            [declared(6, &of_type), b"abc".to_vec()].concat(),
            [request("POST /", &in_chunks, ""), b"6\r\nabc".to_vec()].concat(),
        ] {
            let mut client = scene.client();
            let refused = client.send(half).finish_sending().answer();
            refused.assert_refused(400, "bad_request");
        }
    }
    assert_eq!(scene.upstream.requests().len(), 0);
    scene.serves();
}

#[test]
fn fault_21_100_continue_is_sent_only_after_all_checks_pass() {
    let scene = Scene::plain();
    for content_type in TYPES {
        let expecting = format!("Content-Type: {content_type}|Expect: 100-Continue");
        let mut client = scene.client();
        client.send(declared(2, &expecting));
        client.answer().assert_status(100);
        client.send(b"{}").answer().assert_status(200);
        let seen = scene.upstream.requests().pop().unwrap();
        assert_eq!(seen.body, b"{}");
        seen.assert_without(&["expect"]);
        seen.verified();

        let foreign = String::from_utf8(declared(2, &expecting)).unwrap();
        let foreign = foreign.replace("localhost", "evil.example");
        scene.refuses(foreign, 403, "host_not_allowed");
        let other = scene.refuses(declared(2, "Expect: 200-ok"), 417, "bad_request");
        other.assert_says("100-continue");
    }
    // A caller that does not wait may get `100 Continue` after it has sent the body.
    let mut client = scene.client();
    client.send(declared(2, "Expect: 100-continue")).send("{}");
    let mut answer = client.answer();
    if answer.status == 100 {
        answer = client.answer();
    }
    answer.assert_status(200);
    // A caller with HTTP/1.0 gets no `100 Continue`.
    let old = String::from_utf8(declared(2, "Expect: 100-continue")).unwrap();
    let mut client = scene.client();
    client.send(old.replace("HTTP/1.1", "HTTP/1.0"));
    pause(Duration::from_millis(100));
    client.send(b"{}").answer().assert_status(200);
    scene.serves();
}

#[test]
fn fault_21_100_continue_is_sent_only_when_the_budget_has_room() {
    let scene = Scene::with(Upstream::start(), |config| config.limits.buffered = 1000);
    let mut holding = scene.client();
    holding.send(declared(600, "Expect: 100-continue"));
    holding.answer().assert_status(100);
    let buffered = || scene.proxy.metrics().value("apig_proxy_buffered_bytes", "");
    assert_eq!(buffered(), 600.0);
    scene
        .exchange(declared(600, "Expect: 100-continue"))
        .assert_refused(503, "overloaded");
    holding.send([b'a'; 600]).answer().assert_status(200);
    wait_until("the room is given back", || buffered() == 0.0);
    scene.serves();
}

#[test]
fn fault_22_an_upload_whose_caller_disconnects_does_not_look_complete() {
    let (told, heads) = mpsc::channel();
    let upstream = Upstream::handling(move |link| {
        while let Some(seen) = link.head()? {
            if seen.target() != "/next" {
                // Counts the bytes of the body up to the end of the connection.
                told.send(0).unwrap();
                let count = link.drain();
                told.send(count).unwrap();
                return Ok(());
            }
            link.send(ok("ok"))?;
        }
        Ok(())
    });
    let scene = Scene::before(upstream);
    let mut leaves = scene.client();
    leaves.send(declared(6, "")).send("abc");
    drop(leaves);
    let in_chunks = "Content-Type: multipart/x|Transfer-Encoding: chunked";
    for (head, body) in [
        (declared(6, "Content-Type: multipart/x"), "abc"),
        (request("POST /", in_chunks, ""), "3\r\nabc\r\n"),
    ] {
        let mut client = scene.client();
        client.send(head).send(body);
        heads.recv_timeout(SOCKET_TIMEOUT).unwrap();
        drop(client);
        // Neither the declared length nor a last chunk, and the connection is closed.
        assert_eq!(heads.recv_timeout(SOCKET_TIMEOUT), Ok(body.len()));
    }
    // The hashed upload opened no connection, and the aborted ones are not reused.
    assert_eq!(scene.upstream.connections(), 2);
    scene.passes(get("/next"));
    assert_eq!(scene.upstream.connections(), 3);
}

#[test]
fn fault_26_a_stalled_body_times_out_and_a_slow_one_does_not() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.timeouts.body_idle = Duration::from_millis(400);
    });
    for content_type in TYPES {
        let before = scene.upstream.requests().len();
        let head = declared(6, &format!("Content-Type: {content_type}"));
        let mut client = scene.client();
        let late = client.send(&head).send("abc").answer();
        late.assert_refused(408, "body_timeout");
        assert!(client.is_closed());
        assert_eq!(scene.upstream.requests().len(), before);
        let mut client = scene.client();
        client.send(&head);
        for byte in b"abcdef" {
            pause(Duration::from_millis(150));
            client.send([*byte]);
        }
        client.answer().assert_status(200);
        scene.upstream.requests().pop().unwrap().verified();
    }
    scene.serves();
}

#[test]
fn fault_32_type_and_length_of_a_body_decide_whether_it_is_signed_or_streamed() {
    let scene = Scene::plain();
    let json = &b"{\"a\": 1,\n \"text\":\"\xc3\xa9\x00\xff\"}"[..];
    let long = vec![b'x'; 1_000_000];
    let (form, two) = ("multipart/form-data", &b"onetwo"[..]);
    let in_two = |content_type| chunked(content_type, &[b"one", b"two"]);
    let asks_for_it = "text/plain\r\nX-Sdk-Content-Sha256: UNSIGNED-PAYLOAD";
    let parameter = post("text/plain; x=multipart/form-data", json);
    let capitals = post("MULTIPART/Form-Data;boundary=\"a;b\"", json);
    let twice = post(
        "multipart/form-data\r\nContent-Type: multipart/form-data",
        json,
    );
    for (sent, body, is_signed, is_chunked) in [
        (post("application/json", json), json, true, false),
        (post("multipart", json), json, true, false),
        (parameter, json, true, false),
        (twice, json, true, false),
        (in_two("text/plain"), two, true, false),
        (post("multipart/mixed", json), json, false, false),
        (capitals, json, false, false),
        (post(form, &long), &long[..], false, false),
        (chunked(form, &[&long]), &long[..], false, true),
        ([b"GET", &in_two(form)[4..]].concat(), two, false, true),
        (post(asks_for_it, json), json, false, false),
        // An empty body is always signed.
        (post(form, b""), b"", true, false),
        (chunked(form, &[]), b"", true, false),
        (request("PUT /x", "", ""), b"", true, false),
    ] {
        let case = String::from_utf8_lossy(&sent[..sent.len().min(200)]);
        scene.exchange(&sent).about(&case).assert_status(200);
        let seen = scene.upstream.requests().pop().unwrap();
        assert!(seen.body == body, "{case}");
        match is_chunked {
            true => assert_eq!(seen.header("transfer-encoding"), "chunked", "{case}"),
            false => assert_eq!(seen.header("content-length"), body.len().to_string()),
        }
        let verified = seen.verified();
        let mut signed = verified.signed_headers.iter();
        let declared = signed.any(|name| name == "x-sdk-content-sha256");
        assert_eq!(verified.body_signed, is_signed, "{case}");
        assert_eq!(declared, !is_signed, "{case}");
        if is_signed {
            seen.assert_without(&["x-sdk-content-sha256"]);
        }
    }
}

#[test]
fn fault_33_a_body_over_the_budget_waits_a_second_is_then_refused_and_later_served() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::replying(move |seen| {
        if seen.target() == "/held" {
            gone.lock().unwrap().recv().unwrap();
        }
        ok("ok")
    });
    let scene = Scene::with(upstream, |config| config.limits.buffered = 1000);
    let body = [b'a'; 600];
    let held = [&b"POST /held"[..], &post("text/plain", &body)[8..]].concat();
    let mut holding = scene.client();
    holding.send(&held);
    scene.upstream.wait_for(1);
    for request in [post("text/plain", &body), chunked("text/plain", &[&body])] {
        let answer = scene.exchange(request);
        answer.assert_refused(503, "overloaded");
        assert_eq!(answer.header("retry-after"), "1");
    }
    // Streamed bodies need no room.
    scene.passes(post("multipart/x", &body));
    // A request that waits gets the room that becomes free.
    let mut waiting = scene.client();
    waiting.send(post("text/plain", &body));
    pause(Duration::from_millis(100));
    go.send(()).unwrap();
    assert_eq!(holding.answer().status, 200);
    assert_eq!(waiting.answer().status, 200);
    scene.serves();
}

#[test]
fn fault_33_connections_over_the_limit_wait_until_others_end() {
    let scene = Scene::with(Upstream::start(), |config| config.limits.connections = 3);
    let mut open: Vec<_> = (0..3).map(|_| scene.client()).collect();
    for client in &mut open {
        client.send(declared(2, "Expect: 100-continue"));
        client.answer().assert_status(100);
    }
    let mut excess = scene.client();
    excess.send(get("/"));
    pause(Duration::from_millis(200));
    assert_eq!(scene.upstream.requests().len(), 0);
    drop(open);
    excess.answer().assert_status(200);
}
