use serde_json::json;

use super::*;

const PLAIN: Style = Style {
    is_terminal: false,
    has_colours: false,
};

#[test]
fn a_refused_request_says_why_and_what_was_changed_and_signed() {
    let detail = json!({
        "summary": {"id": "0a", "status": 401, "status_text": "Unauthorized", "duration_us": 48_000,
            "bytes_in": 8, "bytes_out": 900, "route": "/", "caller": "tcp", "state": "done", "attempts": 2},
        "received": {"line": "POST /a?q=x+y HTTP/1.1"},
        "upstream": "https://host", "stage": "RELEASE",
        "why": {"code": "APIG.0301", "meaning": "the signature is wrong", "hint": "do this\u{1b}[2J",
            "gateway_request_id": "77", "difference": {"line": 2, "what": "the path was altered"}},
        "changes": [
            {"kind": "kept", "name": "accept"},
            {"kind": "rewritten", "name": ":line", "before": "q=x+y", "after": "q=x%20y", "reason": "normalized"},
            {"kind": "dropped", "name": "connection", "before": "keep-alive", "reason": "hop-by-hop"},
            {"kind": "set", "name": "x-stage", "after": "RELEASE", "reason": "stage"}],
        "answer": {"changes": []},
        "attempts": [{"number": 1, "reason_text": "first attempt", "auth": "key", "protocol": "HTTP/1.1",
            "connection": "new", "status": 401, "code": "APIG.0301", "clock_offset_s": 921,
            "canonical": "POST\n/a/\n\nhost:x", "echo": "POST\n/a\n\nhost:x"}],
        "spans": [{"name": "wait", "start_us": 0, "us": 48_000}],
        "gaps": ["one note was dropped"]
    });
    let expected = format!(
        "\
POST /a?q=x+y HTTP/1.1
401 Unauthorized, 48 ms  2 attempts
  id 0a
  route /
  caller tcp
  gateway https://host
  stage RELEASE
  8 B in, 900 B out

Why
  APIG.0301: the signature is wrong
  hint: do this\\u{{1b}}[2J
  the gateway's request id is 77
  line 2 of the canonical request differs: the path was altered

Changes to the request
  ~ q=x+y -> q=x%20y        normalized
  - connection: keep-alive  hop-by-hop
  + x-stage: RELEASE        stage
  1 passed unchanged

Attempts
  1 first attempt, key, HTTP/1.1 on a new connection, date corrected by +921 s: 401 APIG.0301

Canonical request
           POST
  ours     /a/
  gateway  /a

           host:x

Time
    wait          48 ms  |{}|

Not captured
  one note was dropped
",
        "#".repeat(48)
    );
    assert_eq!(text_of(&detail, PLAIN), expected);
}

#[test]
fn what_is_missing_is_left_out() {
    let detail = json!({"summary": {"id": "0a", "status": 200, "status_text": "OK", "duration_us": 5, "state": "done"}});
    assert_eq!(
        text_of(&detail, PLAIN),
        "\n200 OK, 5 us\n  id 0a\n  0 B in, 0 B out\n"
    );
    text_of(&Value::Null, PLAIN);
}
