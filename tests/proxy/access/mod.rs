//! The access record: one line for each request, of which every field is known.

mod callers;
mod endings;
mod upstream;

use serde_json::Value;
use upstream::upstream;

use crate::support::{ANSWERED, Program};

/// What a record has to say. The rest is checked for its kind.
#[derive(Debug, PartialEq)]
struct Said {
    route: &'static str,
    method: &'static str,
    path: &'static str,
    status: u64,
    code: &'static str,
    outcome: &'static str,
    bytes: (u64, u64),
    attempts: u64,
}

const OK: Said = Said {
    route: "/",
    method: "GET",
    path: "/",
    status: 200,
    code: "",
    outcome: "ok",
    bytes: (0, ANSWERED.len() as u64),
    attempts: 1,
};

/// A request that was answered with 200 after one attempt.
const fn served(method: &'static str, path: &'static str, bytes: (u64, u64)) -> Said {
    Said {
        method,
        path,
        bytes,
        ..OK
    }
}

/// Checks a record, field by field.
fn check(record: &Value, said: &Said) {
    let text = |name: &str| {
        record[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {record}"))
    };
    let number = |name: &str| {
        record[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {record}"))
    };
    for (name, expected) in [
        ("level", "INFO"),
        ("message", "access"),
        ("route", said.route),
        ("method", said.method),
        ("path", said.path),
        ("code", said.code),
        ("outcome", said.outcome),
    ] {
        assert_eq!(text(name), expected, "{name} in {record}");
    }
    assert_eq!(number("status"), said.status, "{record}");
    assert_eq!(
        (number("bytes_in"), number("bytes_out")),
        said.bytes,
        "{record}"
    );
    assert_eq!(number("attempts"), said.attempts, "{record}");
    let request_id = text("request_id");
    assert!(request_id.len() == 32 && request_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let parts = number("queue_us") + number("sign_us") + number("upstream_us");
    assert!(parts <= number("total_us"), "{record}");
    assert_eq!(number("sign_us") > 0, said.attempts > 0, "{record}");
    let fields = record.as_object().unwrap().len();
    assert_eq!(fields, 19, "{record}");
    assert!(!record.to_string().contains("MARKER"), "{record}");
}

fn request(line: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}").into_bytes()
}

#[test]
fn every_access_record_is_one_valid_json_object_and_every_field_has_the_known_value() {
    let upstream = upstream();
    let program = Program::before(&upstream, "[log]\nformat = \"json\"");
    let mut count = 0;
    let mut next = |said: &Said| {
        count += 1;
        let record = program.record(count);
        check(&record, said);
        record
    };
    let mut client = program.client();
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    client
        .send(request("GET /a%20b?q=MARKER", trace, ""))
        .answer();
    let record = next(&served("GET", "/a%20b", OK.bytes));
    assert_eq!(record["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(record["gateway_request_id"], "0ab-c");
    assert!(record["upstream_us"].as_u64().unwrap() > 0);
    // What a caller says of its trace goes through as it is.
    let seen = upstream.requests()[0].header("traceparent").to_owned();
    assert!(trace.contains(&seen));

    client
        .send(request(
            "POST /held",
            "traceparent: 00-MARKER\r\n",
            &"x".repeat(1000),
        ))
        .answer();
    let record = next(&served("POST", "/held", (1000, 11)));
    assert_eq!(record["trace_id"], "");

    let form = "Content-Type: multipart/form-data; boundary=MARKER\r\n";
    client
        .send(request("POST /streamed", form, &"x".repeat(70_000)))
        .answer();
    next(&served("POST", "/streamed", (70_000, 50)));

    // The connection of before is closed by the upstream when the request is there.
    client.send(request("GET /again", "", "")).answer();
    next(&Said {
        path: "/again",
        attempts: 2,
        ..OK
    });

    client.send(request("GET /refused", "", "")).answer();
    let refused = Said {
        path: "/refused",
        status: 404,
        outcome: "gateway_error",
        bytes: (0, 59),
        ..OK
    };
    assert_eq!(next(&refused)["gateway_request_id"], "y");
}

#[test]
fn requests_that_the_proxy_answers_itself_are_recorded_with_the_id_that_the_caller_gets() {
    let upstream = upstream();
    let program = Program::before(&upstream, "[log]\nformat = \"json\"");
    let own = |route, method, path, status, code| Said {
        route,
        method,
        path,
        status,
        code,
        attempts: 0,
        ..OK
    };
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: MARKER.example\r\n\r\n",
        "a%20".repeat(100)
    );
    let malformed = b"GET / HTTP/1.1\r\nHost : MARKER\r\n\r\n";
    for (number, (request, said)) in [
        (
            request("PATCH /a?MARKER", "", ""),
            own("none", "PATCH", "/a", 405, "PROXY.method_not_allowed"),
        ),
        (
            request("GET /%zz?MARKER", "", ""),
            own("/", "GET", "/%zz", 400, "PROXY.bad_target"),
        ),
        (
            request("GET /a\"b\\c", "X-A: b\r\nHost: MARKER\r\n", ""),
            own("none", "GET", "/a\"b\\c", 400, "PROXY.bad_host"),
        ),
        (
            request("GET http://localhost/abs%zz", "", ""),
            own("/", "GET", "/abs%zz", 400, "PROXY.bad_target"),
        ),
        (
            malformed.to_vec(),
            own("none", "", "", 400, "PROXY.bad_request"),
        ),
        (
            request("GET /down/x", "", ""),
            own("/down", "GET", "/down/x", 502, "PROXY.upstream_unreachable"),
        ),
        (
            long.into_bytes(),
            own("none", "GET", "", 403, "PROXY.host_not_allowed"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = program.client().send(&request).answer();
        let mut record = program.record(number + 1);
        assert_eq!(record["request_id"], answer.header("x-request-id"));
        if said.path.is_empty() && !said.method.is_empty() {
            let path = record["path"].as_str().unwrap().to_owned();
            assert!(path.len() <= 256 && path.ends_with("..."), "{path}");
            record["path"] = "".into();
        }
        let said = Said {
            outcome: &said.code["PROXY.".len()..],
            bytes: (0, answer.body.len() as u64),
            ..said
        };
        check(&record, &said);
    }
}
