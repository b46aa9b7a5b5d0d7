//! Records of requests that fail, of WebSockets, and in text.

use std::time::Duration;

use super::upstream::upstream;
use super::{JSON, said};
use crate::support::{Program, get, pause, request, rows};

#[test]
fn a_request_that_fails_is_logged_with_its_id_and_recorded_with_the_bytes_moved() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    for (number, [path, message, expected]) in rows(
        "/%zz | refused: | / GET /%zz 400 PROXY.bad_target bad_target 0 in BODY out 0
        /refused | the gateway refused a request | / GET /refused 404 - gateway_error 0 in BODY out 1
        /down/a | failed: the gateway cannot be reached | /down GET /down/a 502 PROXY.upstream_unreachable upstream_unreachable 0 in BODY out 0
        /broken | the gateway's response ended early | / GET /broken 200 - broken_off 0 in 30 out 1
        /late | the caller disconnected before the gateway responded | / GET /late 499 - caller_gone 0 in 0 out 1",
    )
    .enumerate()
    {
        let mut client = program.client();
        client.send(get(path));
        let mut body = String::new();
        if path == "/late" {
            upstream.wait_for(3);
            client.reset();
        } else if expected.contains("BODY") {
            body = client.answer().body.len().to_string();
        } else {
            assert!(client.try_answer(false).is_err(), "{path}");
        }
        drop(client);
        let record = program.record(number + 1);
        assert_eq!(said(&record), expected.replace("BODY", &body));
        let line = program.line_with(message);
        assert_eq!(line["request_id"], record["request_id"], "{path}");
    }
    // A disconnect within the body of a request.
    let mut client = program.client();
    client.send(request("POST /held", "Content-Length: 1000", ""));
    client.send("0123456789");
    pause(Duration::from_millis(300));
    client.reset();
    drop(client);
    let said = said(&program.record(6));
    let expected = "/ POST /held 499 - caller_gone 10 in ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_response_that_its_caller_does_not_read_is_logged_with_its_id() {
    let upstream = upstream();
    let timeouts = "[timeouts]\nwrite_idle = \"300ms\"";
    let program = Program::before(&upstream, &format!("{JSON}\n{timeouts}"));
    let mut client = program.client();
    client.send(get("/long"));
    let record = program.record(1);
    let line = program.line_with("the response was not read");
    assert_eq!(line["request_id"], record["request_id"]);
    assert!(said(&record).starts_with("/ GET /long 200 - caller_gone 0 in "));
}

#[test]
fn a_websocket_is_one_request_and_its_bytes_are_counted() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    let mut client = program.client();
    let fields = "Connection: Upgrade|Upgrade: websocket";
    client.send(request("GET /chat?MARKER", fields, ""));
    client.send("hello");
    client.answer().assert_status(101);
    assert_eq!(client.rest().unwrap(), b"hello!");
    drop(client);
    let expected = "/ GET /chat 101 - ok 5 in 6 out 1";
    assert_eq!(said(&program.record(1)), expected);
}

#[test]
fn access_records_can_be_text_or_disabled() {
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
