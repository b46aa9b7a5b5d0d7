//! What a proxy logs and answers.

use std::net::SocketAddr;

use super::{Source, TRACES, assert_clean, configure};
use crate::program::{Place, Running, assert_has, assert_status, exchange};

/// A request with what callers keep secret in each of its parts.
fn request(line: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: MARKERown\r\nCookie: MARKERcookie\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Everything that the proxy can be asked for, and the status of its answer.
fn requests() -> Vec<(u16, String)> {
    let json = "Content-Type: application/json\r\n";
    let form = "Content-Type: multipart/form-data; boundary=x\r\n";
    let (origin, expect) = ("Origin: http://evil\r\n", "Expect: MARKER\r\n");
    let upgrade = "Connection: upgrade\r\nUpgrade: MARKER\r\n";
    let bare = |method: &str, host: &str| {
        format!("{method} /?MARKERquery HTTP/1.1\r\nHost: {host}\r\n\r\n")
    };
    let long = bare("GET", "localhost").replace("MARKER", &"MARKER".repeat(9000));
    vec![
        (200, request("GET /v1?key=MARKERquery", "", "")),
        (200, request("POST /v1?key=MARKERquery", json, "MARKERbody")),
        (200, request("PUT /v1", form, "MARKERbody")),
        (401, request("GET /refused?key=MARKERquery", "", "")),
        (502, request("GET /out?key=MARKERquery", "", "")),
        (400, request("GET /%zz?MARKERquery", "", "")),
        (400, bare("GET", "localhost\r\nMARKER field: 1")),
        (400, bare("GET", "localhost\r\nHost: MARKER")),
        (403, bare("GET", "evil")),
        (403, request("GET /?MARKERquery", origin, "")),
        (405, request("PATCH /?MARKERquery", "", "")),
        (413, bare("POST", "localhost\r\nContent-Length: 99999999")),
        (414, long),
        (417, request("POST /?MARKERquery", expect, "x")),
        (501, request("GET /?MARKERquery", upgrade, "")),
    ]
}

/// What it answers.
fn answers(address: SocketAddr) -> String {
    let mut answers = String::new();
    for (status, request) in requests() {
        let answer = exchange(address, &request);
        assert_status(&answer, status);
        answers.push_str(&answer);
    }
    answers
}

/// Runs a proxy with this log, and returns what it logs, after looking at the answers.
fn log_of(place: &Place, source: &Source, log: &str) -> String {
    configure(place, source, log);
    let mut running = Running::start(place.command(&[], &source.variables()));
    let address = running.address();
    let answers = answers(address);
    assert_clean(source.name, &answers, &TRACES);
    let echo = answers.contains("x-security-token:***");
    assert_eq!(echo, source.has_token, "{answers}");
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", running.id())).unwrap();
    assert_clean("the command line", &command_line, &["MARKER"]);
    running.stops()
}

#[test]
fn the_log_shows_no_secret_and_no_query_at_its_most_talkative_from_any_source_of_keys() {
    let place = Place::new();
    for source in Source::all(&place) {
        for format in ["text", "json"] {
            let log = format!("level = \"trace\"\nformat = \"{format}\"");
            let said = log_of(&place, &source, &log);
            assert!(said.contains("signing"), "the level was not trace: {said}");
            assert!(said.contains("upstream_unreachable"), "{said}");
            assert_clean(source.name, &said, &["MARKER", TRACES[3]]);
        }
    }
}

#[test]
fn below_trace_the_log_shows_no_canonical_request_and_paths_in_records_only() {
    let place = Place::new();
    let sources = Source::all(&place);
    let said = log_of(&place, &sources[1], "level = \"debug\"");
    assert_clean("debug", &said, &["MARKER", "canonical", "/refused?"]);
    let is_record = |line: &&str| line.contains(" B ") && line.contains(" ms");
    let (records, others): (Vec<&str>, Vec<&str>) = said.lines().partition(is_record);
    assert_eq!(records.len(), requests().len(), "one for each: {said}");
    assert_has(&records.concat(), &[" GET /v1 200 ", " - - 400 "]);
    assert_clean("debug", &others.concat(), &["/v1"]);
    let said = log_of(&place, &sources[1], "level = \"debug\"\naccess = false");
    assert_clean("no records", &said, &["MARKER", "canonical", "/v1", " ms"]);
}
