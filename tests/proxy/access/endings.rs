//! Requests that end otherwise than with the last byte of an answer, and what else a record is of.

use std::time::Duration;

use super::upstream::upstream;
use super::{JSON, said};
use crate::support::{Program, get, pause, request};

#[test]
fn who_goes_away_or_breaks_off_is_recorded_as_such_with_what_was_moved() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    // Before there is an answer.
    let mut client = program.client();
    client.send(get("/late"));
    upstream.wait_for(1);
    client.reset();
    drop(client);
    let gone = "/ GET /late 499 - caller_gone 0 in 0 out 1";
    assert_eq!(said(&program.record(1)), gone);
    // In the middle of one.
    let mut client = program.client();
    client.send(get("/broken"));
    assert!(client.try_answer(false).is_err());
    let broken = "/ GET /broken 200 - broken_off 0 in 30 out 1";
    assert_eq!(said(&program.record(2)), broken);
    // And of the body of a request.
    let mut client = program.client();
    client
        .send(request("POST /held", "Content-Length: 1000", ""))
        .send("0123456789");
    pause(Duration::from_millis(300));
    client.reset();
    drop(client);
    let said = said(&program.record(3));
    assert!(
        said.starts_with("/ POST /held 499 - caller_gone 10 in "),
        "{said}"
    );
}

#[test]
fn every_line_about_a_request_has_its_id() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    for (number, (path, message)) in [
        ("/%zz", "refused: "),
        ("/refused", "the gateway refused a request"),
        ("/down/a", "failed: the gateway cannot be reached"),
        ("/broken", "the gateway's response ended early"),
        (
            "/late",
            "the caller disconnected before the gateway responded",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = program.client();
        client.send(get(path));
        if path == "/late" {
            upstream.wait_for(3);
            client.reset();
        } else {
            let _ = client.try_answer(false);
        }
        drop(client);
        let record = program.record(number + 1);
        let line = program.line_with(message);
        assert_eq!(line["request_id"], record["request_id"], "{path}");
    }
}

#[test]
fn a_websocket_is_one_request_and_its_bytes_are_counted() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    let mut client = program.client();
    let fields = "Connection: Upgrade|Upgrade: websocket";
    client
        .send(request("GET /chat?MARKER", fields, ""))
        .send("hello");
    client.answer().assert_status(101);
    assert_eq!(client.rest().unwrap(), b"hello!");
    drop(client);
    assert_eq!(
        said(&program.record(1)),
        "/ GET /chat 101 - ok 5 in 6 out 1"
    );
}

#[test]
fn records_are_lines_of_text_too_and_can_be_left_out() {
    let upstream = upstream();
    let served = |more: &str| {
        let program = Program::before(&upstream, more);
        for _ in 0..3 {
            program.client().get("/%zz?MARKER").assert_status(400);
            program.client().get("/a").assert_status(200);
        }
        pause(Duration::from_millis(200));
        program
    };
    let lines = served("").records(6);
    assert_eq!(lines.len(), 6);
    assert!(lines[0].contains(" GET /%zz 400 "), "{}", lines[0]);
    assert!(lines[0].contains(" code=PROXY.bad_target outcome=bad_target request_id="));
    let (begin, took) = lines[1].rsplit_once(" B ").unwrap();
    assert!(begin.ends_with(" GET /a 200 11"), "{begin}");
    assert!(took.contains(" ms"), "{took}");
    assert!(!lines.concat().contains("MARKER"));
    assert_eq!(served("[log]\naccess = false").records(0), [""; 0]);
}
