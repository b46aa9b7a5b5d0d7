//! No secret reaches a note, in whatever field and pieces it comes; and what is lost is counted.

mod bodies;
mod heads;

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, request};
use tokio::time::timeout;

use super::*;
use crate::inspect::recorder::{Notes, Recorder};

/// The secret that the proxy sends.
const SENT: &str = "MARKER-sent==/\"x+y-0123456789";

fn recorder(bodies: usize, reveal: &[&str]) -> (Arc<Recorder>, Notes, Rc<WorkerRecorder>) {
    let reveal: Vec<_> = reveal.iter().map(|name| name.parse().unwrap()).collect();
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
    begin_with(worker, "tcp", head, |see| see(&secret(SENT)))
}

fn begin_with(
    worker: &Rc<WorkerRecorder>,
    listener: &'static str,
    head: &request::Parts,
    secrets: impl FnOnce(&mut dyn FnMut(&Redactor)),
) -> Option<Box<Capture>> {
    let caller = Caller {
        listener,
        ..Caller::default()
    };
    worker.capture((7, Instant::now()), caller, head, secrets)
}

fn ended(capture: &Capture) {
    capture.ended(RequestEnd {
        end: "whole",
        ..RequestEnd::default()
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
                Event::Body(_, part) => &part.kept,
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
async fn equal_secrets_look_the_same_within_one_start_only() {
    let hash = |worker: Rc<WorkerRecorder>, notes| async {
        let fields = [("x-a-token", "MARKER"), ("x-b-token", "MARKER")];
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

#[tokio::test(start_paused = true)]
async fn requests_that_come_too_fast_are_counted_but_a_replay_is_recorded() {
    let (recorder, _notes, worker) = recorder(10, &[]);
    let head = head("/", &[]);
    let recorded = (0..600).filter_map(|_| begin(&worker, &head)).count() as u64;
    assert!((500..600).contains(&recorded), "{recorded}");
    assert!(begin_with(&worker, "replay", &head, |_| {}).is_some());
    drop(worker);
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
