//! The access log: one record for each request.

mod callers;
mod endings;
mod upstream;

use serde_json::Value;
use upstream::upstream;

use crate::support::{Program, request, rows};

const JSON: &str = "[log]\nformat = \"json\"";

/// What a record says: route, method, path, status, code, outcome, bytes in and out, attempts. The rest is checked for
/// its kind.
fn said(record: &Value) -> String {
    let text = |name: &str| record[name].as_str().expect(name);
    let number = |name: &str| record[name].as_u64().expect(name);
    assert_eq!((text("level"), text("message")), ("INFO", "access"));
    let request_id = text("request_id");
    assert!(request_id.len() == 32 && request_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let parts = number("queue_us") + number("sign_us") + number("upstream_us");
    assert!(parts <= number("total_us"), "{record}");
    let attempts = number("attempts");
    assert_eq!(number("sign_us") > 0, attempts > 0, "{record}");
    assert_eq!(record.as_object().unwrap().len(), 19, "{record}");
    assert!(!record.to_string().contains("MARKER"), "{record}");
    let or_dash = |name| {
        Some(text(name))
            .filter(|text| !text.is_empty())
            .unwrap_or("-")
    };
    let [asked, outcome] =
        [["route", "method", "path"].as_slice(), &["code", "outcome"]].map(|names| {
            names
                .iter()
                .copied()
                .map(or_dash)
                .collect::<Vec<_>>()
                .join(" ")
        });
    let bytes = format!("{} in {} out", number("bytes_in"), number("bytes_out"));
    format!("{asked} {} {outcome} {bytes} {attempts}", number("status"))
}

/// Requests, and their records. The connection of before `/again` is closed by the upstream when the request is there.
const SERVED: &str = "
    GET /a%20b?q=MARKER | traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 | 0 | / GET /a%20b 200 - ok 0 in 11 out 1
    POST /held | traceparent: 00-MARKER | 1000 | / POST /held 200 - ok 1000 in 11 out 1
    POST /streamed | Content-Type: multipart/form-data; boundary=MARKER | 70000 | / POST /streamed 200 - ok 70000 in 50 out 1
    GET /again | | 0 | / GET /again 200 - ok 0 in 11 out 2
    GET /refused | | 0 | / GET /refused 404 - gateway_error 0 in 59 out 1";

/// Requests that the proxy answers itself, and their records up to the code.
const REFUSED: &str = r#"
    PATCH /a?MARKER | | none PATCH /a 405 | method_not_allowed
    GET /%zz?MARKER | | / GET /%zz 400 | bad_target
    GET /a"b\c | X-A: b|Host: MARKER | none GET /a"b\c 400 | bad_host
    GET http://localhost/abs%zz | | / GET /abs%zz 400 | bad_target
    GET / | Host : MARKER | none - - 400 | bad_request
    GET /down/x | | /down GET /down/x 502 | upstream_unreachable
    GET /LONG?MARKER | Host: MARKER.example | none GET /CUT... 400 | bad_host"#;

#[test]
fn every_access_record_is_one_valid_json_object_and_every_field_has_the_known_value() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    let mut client = program.client();
    let mut records = Vec::new();
    for [line, fields, length, expected] in rows(SERVED) {
        let body = "x".repeat(length.parse().unwrap());
        client.send(request(line, fields, body)).answer();
        records.push(program.record(records.len() + 1));
        assert_eq!(said(records.last().unwrap()), expected);
    }
    assert_eq!(records[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(records[1]["trace_id"], "");
    assert!(records[0]["upstream_us"].as_u64().unwrap() > 0);
    assert_eq!(records[0]["gateway_request_id"], "0ab-c");
    assert_eq!(records[4]["gateway_request_id"], "y");
    // `traceparent` is forwarded unchanged.
    let seen = upstream.requests()[0].header("traceparent").to_owned();
    assert!(SERVED.contains(&seen));
}

#[test]
fn requests_that_the_proxy_answers_itself_are_recorded_with_the_id_that_the_caller_gets() {
    let upstream = upstream();
    let program = Program::before(&upstream, JSON);
    let long = |text: &str| {
        text.replace("LONG", &"a%20".repeat(100))
            .replace("CUT", &"a%20".repeat(63))
    };
    for (number, [line, fields, said_before, code]) in rows(REFUSED).enumerate() {
        let answer = program
            .client()
            .send(request(&long(line), fields, ""))
            .answer();
        let record = program.record(number + 1);
        assert_eq!(record["request_id"], answer.header("x-request-id"));
        let sent = answer.body.len();
        let expected = format!(
            "{} PROXY.{code} {code} 0 in {sent} out 0",
            long(said_before)
        );
        assert_eq!(said(&record), expected);
    }
}
