//! Requests that end otherwise than with the last byte of an answer, and what else a record is of.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::upstream::upstream;
use super::{OK, Said, check, request};
use crate::support::{Program, SOCKET_TIMEOUT, pause};

#[test]
fn who_goes_away_or_breaks_off_is_recorded_as_such_with_what_was_moved() {
    let upstream = upstream();
    let program = Program::before(&upstream, "[log]\nformat = \"json\"");
    // Before there is an answer.
    let mut client = program.client();
    client.send(request("GET /late", "", ""));
    upstream.wait_for(1);
    client.reset();
    drop(client);
    let gone = Said {
        path: "/late",
        status: 499,
        outcome: "caller_gone",
        bytes: (0, 0),
        ..OK
    };
    check(&program.record(1), &gone);
    // In the middle of one.
    let mut client = program.client();
    client.send(request("GET /broken", "", ""));
    assert!(client.try_answer(false).is_err());
    check(
        &program.record(2),
        &Said {
            path: "/broken",
            outcome: "broken_off",
            bytes: (0, 30),
            ..OK
        },
    );
    // And of the body of a request.
    let mut client = program.client();
    client
        .send(b"POST /held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n0123456789");
    pause(Duration::from_millis(300));
    client.reset();
    drop(client);
    let record = program.record(3);
    assert_eq!(
        (&record["outcome"], &record["attempts"]),
        (&"caller_gone".into(), &0.into()),
        "{record}"
    );
    assert_eq!(record["bytes_in"], 10);
}

#[test]
fn every_line_about_a_request_has_its_id() {
    let upstream = upstream();
    let program = Program::before(&upstream, "[log]\nformat = \"json\"");
    for (number, (path, message)) in [
        ("/%zz", "refused: "),
        ("/refused", "the gateway refused a request"),
        ("/down/a", "failed: the gateway cannot be reached"),
        ("/broken", "the gateway's answer broke off"),
        ("/late", "the caller went away before the gateway answered"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = program.client();
        client.send(request(&format!("GET {path}"), "", ""));
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
    let program = Program::before(&upstream, "[log]\nformat = \"json\"");
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(SOCKET_TIMEOUT)).unwrap();
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    stream
        .write_all(&request("GET /chat?MARKER", fields, ""))
        .unwrap();
    stream.write_all(b"hello").unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert!(heard.ends_with("\r\n\r\nhello!"), "{heard}");
    drop(stream);
    check(
        &program.record(1),
        &Said {
            path: "/chat",
            status: 101,
            bytes: (5, 6),
            ..OK
        },
    );
}

#[test]
fn records_are_lines_of_text_too_and_can_be_left_out() {
    let upstream = upstream();
    let served = |more: &str| {
        let program = Program::before(&upstream, more);
        let mut client = program.client();
        for _ in 0..3 {
            client
                .send(request("GET /%zz?MARKER", "", ""))
                .answer()
                .assert_status(400);
            client = program.client();
            client
                .send(request("GET /a", "", ""))
                .answer()
                .assert_status(200);
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
