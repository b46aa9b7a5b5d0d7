//! No secret reaches a note, in whatever field and pieces it comes; and what is lost is counted.

mod heads;
mod mistakes;

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, request};
use tokio::time::timeout;

use super::*;
use crate::inspect::recorder::{Notes, Recorder};

/// What must be in no note.
const CANARY: &str = "MARKER-6f1d/+0c9e";

/// The secret that the proxy sends.
const SENT: &str = "MARKER-sent==/\"x+y-0123456789";

fn recorder(bodies: usize, reveal: &[&str]) -> (Arc<Recorder>, Notes, Rc<WorkerRecorder>) {
    let reveal: Vec<String> = reveal.iter().map(ToString::to_string).collect();
    let (recorder, notes) = Recorder::new(bodies, &reveal);
    recorder.set_recording(true);
    let worker = WorkerRecorder::new(&recorder);
    (recorder, notes, worker)
}

fn secret(text: &str) -> Redactor {
    Redactor::new(&text.into()).unwrap()
}

fn head(target: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn begin(worker: &Rc<WorkerRecorder>, head: &request::Parts) -> Option<Box<Capture>> {
    begin_from(worker, "tcp", head)
}

fn begin_from(
    worker: &Rc<WorkerRecorder>,
    listener: &'static str,
    head: &request::Parts,
) -> Option<Box<Capture>> {
    let caller = Caller {
        listener,
        replay_of: None,
        listener_route: None,
    };
    let sent = |see: &mut dyn FnMut(&Redactor)| see(&secret(SENT));
    worker.capture((7, Instant::now()), caller, head, sent)
}

fn ended(capture: &Capture) {
    capture.ended(RequestEnd {
        status: 200,
        outcome: "ok",
        end: "whole",
        bytes_in: 0,
        bytes_out: 0,
        times: Default::default(),
    });
}

/// All notes of a request, as text: heads and bodies as they read.
async fn told(mut notes: Notes, worker: Rc<WorkerRecorder>) -> String {
    drop(worker);
    let mut told = String::new();
    while let Ok(Some(batch)) = timeout(Duration::from_secs(5), notes.next()).await {
        for note in batch {
            let bytes: &[u8] = match &note.event {
                Event::Begun(begun) => &begun.head.0,
                Event::Body { kept, .. } => kept,
                Event::Attempt(attempt) => &attempt.head.0,
                Event::Response(response) => &response.head.0,
                Event::Relayed(relayed) => &relayed.head.0,
                Event::Routed(_) | Event::Ended(_) => b"",
            };
            told.push_str(&String::from_utf8_lossy(bytes));
        }
    }
    told
}

/// What is kept of a body that comes in pieces of this length.
async fn body(content_type: &str, body: &str, piece: usize) -> String {
    let (_, notes, worker) = recorder(1 << 20, &[]);
    let capture = begin(&worker, &head("/", &[("content-type", content_type)])).unwrap();
    for piece in body.as_bytes().chunks(piece) {
        capture.body(Side::In, piece);
    }
    capture.body_ended(Side::In, true);
    drop(capture);
    let told = told(notes, worker).await;
    told.split_once("\r\n")
        .unwrap()
        .1
        .split_once("\r\n")
        .unwrap()
        .1
        .to_owned()
}

#[tokio::test]
async fn secrets_in_bodies_are_hidden_in_whatever_pieces_they_come() {
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    for (content_type, text, shown) in [
        (
            form,
            "a=1&password=MARKER%2B1&b=2",
            "a=1&password=‹password, 10 bytes, sha256 X›&b=2",
        ),
        (
            form,
            "client_secret=MARKER",
            "client_secret=‹client_secret, 6 bytes, sha256 X›",
        ),
        (
            json,
            r#"{"token": "MARKER", "n": 1}"#,
            r#"{"token": "‹token, 6 bytes, sha256 X›", "n": 1}"#,
        ),
        (
            json,
            r#"{"token":"MAR\"KER\\","n":"a"}"#,
            r#"{"token":"‹token, 10 bytes, sha256 X›","n":"a"}"#,
        ),
        (
            json,
            r#"{"p\u0061ssword":"MARKER"}"#,
            r#"{"p\u0061ssword":"‹pu0061ssword, 6 bytes, sha256 X›"}"#,
        ),
        (
            json,
            r#"{"secret":{"a":"MARKER","b":["}"]},"n":1}"#,
            r#"{"secret":"‹secret, 24 bytes, sha256 X›","n":1}"#,
        ),
        (
            json,
            r#"{"pwd":12345678,"session":null}"#,
            r#"{"pwd":"‹pwd, 8 bytes, sha256 X›","session":null}"#,
        ),
        (
            json,
            r#"{"max_tokens":12,"a":"token","b":"c"}"#,
            r#"{"max_tokens":12,"a":"token","b":"c"}"#,
        ),
        (
            json,
            r#"{"prompt_tokens_details":{"cached_tokens":0}}"#,
            r#"{"prompt_tokens_details":{"cached_tokens":0}}"#,
        ),
        (json, r#"["token","secret"]"#, r#"["token","secret"]"#),
        (
            json,
            r#"{"u":"https://x/?a=1&sessionid=MARKER&b"}"#,
            r#"{"u":"https://x/?a=1&sessionid=‹sessionid, 6 bytes, sha256 X›&b"}"#,
        ),
        // JSON that is the text of a string, and the text of a string in one.
        (
            json,
            r#"{"x":"{\"api_key\":\"MARKER\",\"n\":1}"}"#,
            r#"{"x":"{\"api_key\":\"‹api_key, 6 bytes, sha256 X›\",\"n\":1}"}"#,
        ),
        (
            json,
            r#"{"x":"\"{\\\"pwd\\\":\\\"MARKER\\\"}\""}"#,
            r#"{"x":"\"{\\\"pwd\\\":\\\"‹pwd, 6 bytes, sha256 X›\\\"}\""}"#,
        ),
        (
            "text/event-stream",
            "data: {\"jwt\": \"MARKER\"}\n\ndata: x\n\n",
            "data: {\"jwt\": \"‹jwt, 6 bytes, sha256 X›\"}\n\ndata: x\n\n",
        ),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nMARKER\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n‹password, 6 bytes, sha256 X›\r\n--b--",
        ),
        (
            "image/png",
            "\u{1}MARKER-sent==\\/\\\"x+y-0123456789\u{2}",
            "\u{1}‹secret, 31 bytes, sha256 X›\u{2}",
        ),
        (
            json,
            r#"{"token":"MARKER"#,
            r#"{"token":"‹token, 6 bytes, sha256 X›"#,
        ),
    ] {
        for piece in 1..text.len() + 1 {
            let kept = body(content_type, text, piece).await;
            let kept = without_hashes(&kept);
            assert_eq!(kept, shown, "in pieces of {piece} bytes");
        }
    }
}

/// A text with X for each hash.
fn without_hashes(text: &str) -> String {
    let mut parts = text.split("sha256 ");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + "sha256 X" + &part[8..])
}

#[tokio::test]
async fn secrets_of_a_request_are_hidden_where_the_gateway_repeats_them() {
    let (_, notes, worker) = recorder(1 << 20, &[]);
    let fields = [
        ("cookie", "sid=MARKER-cookie"),
        ("x-apig-proxy-token", "MARKER-of-the-caller"),
        (
            "authorization",
            "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=MARKER-signature",
        ),
        ("content-type", "application/json"),
    ];
    let capture = begin(&worker, &head("/?token=MARKER-query", &fields)).unwrap();
    capture.body(Side::In, br#"{"password":"MARKER\/body"}"#);
    capture.body_ended(Side::In, true);
    capture.knows(&secret("MARKER-renewed"));
    let secrets = "MARKER-cookie MARKER-of-the-caller MARKER-query MARKER/body MARKER-renewed";
    let echo = format!("{secrets} {SENT} MARKER%2Fbody MARKER-signature");
    let response = Response::builder()
        .header("x-echo", secrets)
        .header("set-cookie", "a=MARKER; Path=/");
    let response = response.body(()).unwrap();
    let line = (response.status(), None, Version::HTTP_11);
    let text = capture.response(line, response.headers());
    let text = String::from_utf8(text.0.into()).unwrap();
    assert!(!text.contains("MARKER"), "{text}");
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("; Path=/\r\n"),
        "{text}"
    );
    capture.answers(response.headers());
    for byte in echo.as_bytes() {
        capture.body(Side::Out, &[*byte]);
    }
    ended(&capture);
    drop(capture);
    let told = told(notes, worker).await;
    assert!(!told.contains("MARKER"), "{told}");
    assert_eq!(told.matches("‹secret, ").count(), 8, "{told}");
    let canonical = begin(&recorder(0, &[]).2, &head("/", &[])).unwrap();
    let canonical =
        canonical.canonical("GET|/a/|token=MARKER&x=1|x-security-token:MARKER|x-stage:RELEASE");
    assert!(!canonical.contains("MARKER"), "{canonical}");
    assert!(canonical.ends_with("›|x-stage:RELEASE"), "{canonical}");
}

#[tokio::test]
async fn however_many_secrets_a_caller_sends_those_of_the_proxy_are_hidden_in_what_follows() {
    let (_, notes, worker) = recorder(1 << 20, &[]);
    let values: Vec<String> = (0..40).map(|at| format!("caller-secret-{at}")).collect();
    let fields = values.iter().map(|value| ("x-secret", &**value));
    let capture = begin(&worker, &head("/", &fields.collect::<Vec<_>>())).unwrap();
    capture.knows(&secret("MARKER-renewed"));
    let signed = "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=MARKER-signature";
    let sent = head("/", &[("authorization", signed)]);
    capture.request((&sent.method, &sent.uri, sent.version), &sent.headers);
    capture.answers(&HeaderMap::new());
    let echo = format!("{SENT} MARKER-renewed MARKER-signature");
    capture.body(Side::Out, echo.as_bytes());
    ended(&capture);
    drop(capture);
    let told = told(notes, worker).await;
    assert!(!told.contains("MARKER"), "{told}");
    assert_eq!(told.matches("‹secret, ").count(), 3, "{told}");
}

#[tokio::test]
async fn of_a_body_only_its_beginning_is_kept_and_nothing_of_an_encoded_one() {
    for (encoding, limit, expected) in [
        ("identity", 10, "0123456789"),
        ("gzip", 10, ""),
        ("br, gzip", 10, ""),
        ("identity", 0, ""),
    ] {
        let (_, mut notes, worker) = recorder(limit, &[]);
        let capture = begin(&worker, &head("/", &[("content-encoding", encoding)])).unwrap();
        for _ in 0..1000 {
            capture.body(Side::In, b"0123");
            capture.body(Side::In, b"456789");
        }
        ended(&capture);
        drop((capture, worker));
        let (mut kept, mut passed, mut count) = (Vec::new(), 0, 0);
        while let Ok(Some(batch)) = timeout(Duration::from_secs(5), notes.next()).await {
            for note in batch {
                if let Event::Body {
                    passed: bytes,
                    kept: more,
                    ..
                } = note.event
                {
                    kept.extend_from_slice(&more);
                    passed += bytes;
                    count += 1;
                }
            }
        }
        assert_eq!(
            (str::from_utf8(&kept).unwrap(), passed),
            (expected, 10_000),
            "{encoding}"
        );
        assert!(count < 100, "{count}");
    }
}

#[tokio::test]
async fn the_beginning_of_a_secret_at_the_cut_is_not_kept() {
    let (_, notes, worker) = recorder(30, &[]);
    let capture = begin(&worker, &head("/", &[])).unwrap();
    capture.body(Side::In, format!("some text and {SENT}").as_bytes());
    drop(capture);
    let told = told(notes, worker).await;
    assert!(told.ends_with("some text and "), "{told}");
}

#[tokio::test]
async fn equal_secrets_look_the_same_within_one_start_only() {
    let hash = |worker: Rc<WorkerRecorder>, notes| async {
        let fields = [("x-a-token", CANARY), ("x-b-token", CANARY)];
        drop(begin(&worker, &head("/", &fields)));
        let told = told(notes, worker).await;
        let hashes: Vec<_> = told
            .split("sha256 ")
            .skip(1)
            .map(|text| text[..8].to_owned())
            .collect();
        assert_eq!(hashes[0], hashes[1], "{told}");
        hashes[0].clone()
    };
    let (recorder_of_one, notes, worker) = recorder(0, &[]);
    recorder_of_one.set_rules(10, &[]);
    drop(recorder_of_one);
    let (_, other_notes, other) = recorder(0, &[]);
    assert_ne!(hash(worker, notes).await, hash(other, other_notes).await);
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_wanted() {
    let (recorder, mut notes, worker) = recorder(10, &[]);
    recorder.set_recording(false);
    assert!(begin(&worker, &head("/", &[])).is_none());
    recorder.set_recording(true);
    assert!(begin(&worker, &head("/", &[])).is_some());
    drop((recorder, worker));
    assert_eq!(notes.next().await.map(|batch| batch.len()), Some(1));
    assert!(notes.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_too_fast_are_counted_but_a_replay_is_recorded() {
    let (recorder, _notes, worker) = recorder(10, &[]);
    let head = head("/", &[]);
    let recorded = (0..600).filter_map(|_| begin(&worker, &head)).count() as u64;
    assert!((500..600).contains(&recorded), "{recorded}");
    assert_eq!(recorder.dropped(), 600 - recorded);
    assert!(begin_from(&worker, "replay", &head).is_some());
    assert_eq!(recorder.dropped(), 600 - recorded);
}

#[tokio::test]
async fn notes_that_find_no_room_are_dropped_and_counted() {
    let (recorder, mut notes, worker) = recorder(1 << 20, &[]);
    let capture = begin(&worker, &head("/", &[])).unwrap();
    let big = vec![b'x'; 1 << 20];
    for _ in 0..10 {
        capture.body(Side::In, &big[..100_000]);
    }
    assert_eq!(recorder.dropped(), 0);
    let captures: Vec<_> = (0..10)
        .map(|_| begin(&worker, &head("/", &[])).unwrap())
        .collect();
    captures
        .iter()
        .for_each(|capture| capture.body(Side::In, &big));
    drop((captures, capture, worker));
    let dropped = recorder.dropped();
    assert!(dropped > 0);
    drop(recorder);
    let mut received = 0;
    while let Some(batch) = notes.next().await {
        received += batch.len() as u64;
    }
    assert_eq!(received + dropped, 31);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_handed_over_when_it_is_old_enough() {
    let (_, mut notes, worker) = recorder(10, &[]);
    let capture = begin(&worker, &head("/", &[])).unwrap();
    let received = async {
        let first = notes.next().await.unwrap().len();
        capture.body(Side::In, b"x");
        (first, notes.next().await.unwrap().len())
    };
    tokio::select! {
        received = received => assert_eq!(received, (1, 1)),
        () = worker.flush_in_time() => unreachable!("it never ends"),
    }
}
