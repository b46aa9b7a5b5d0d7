//! The archive has what HAR 1.2 requires, and sums that are right.

use super::*;

/// What the schema requires of each object, with the type of its value.
const REQUIRED: [(&str, &[(&str, char)]); 6] = [
    (
        "",
        &[
            ("startedDateTime", 's'),
            ("time", 'n'),
            ("request", 'o'),
            ("response", 'o'),
            ("cache", 'o'),
            ("timings", 'o'),
        ],
    ),
    (
        "/request",
        &[
            ("method", 's'),
            ("url", 's'),
            ("httpVersion", 's'),
            ("cookies", 'a'),
            ("headers", 'a'),
            ("queryString", 'a'),
            ("headersSize", 'n'),
            ("bodySize", 'n'),
        ],
    ),
    ("/request/postData", &[("mimeType", 's'), ("text", 's')]),
    (
        "/response",
        &[
            ("status", 'n'),
            ("statusText", 's'),
            ("httpVersion", 's'),
            ("cookies", 'a'),
            ("headers", 'a'),
            ("content", 'o'),
            ("redirectURL", 's'),
            ("headersSize", 'n'),
            ("bodySize", 'n'),
        ],
    ),
    ("/response/content", &[("size", 'n'), ("mimeType", 's')]),
    (
        "/timings",
        &[
            ("blocked", 'n'),
            ("dns", 'n'),
            ("connect", 'n'),
            ("ssl", 'n'),
            ("send", 'n'),
            ("wait", 'n'),
            ("receive", 'n'),
        ],
    ),
];

fn kind(value: &Value) -> char {
    match value {
        Value::String(_) => 's',
        Value::Number(_) => 'n',
        Value::Object(_) => 'o',
        Value::Array(_) => 'a',
        Value::Null | Value::Bool(_) => '-',
    }
}

fn entries() -> Vec<Value> {
    let hidden = "‹token, 5 bytes, sha256 0011aabb›";
    let mut store = store_of(vec![
        beginning(&format!(
            "POST /flowers/a?q=x%20y&token={hidden} HTTP/1.1\nhost: localhost:8080\ncontent-type: text/plain"
        )),
        body(Side::In, b"\xff"),
        routed(""),
        attempt("POST /v1/x/a HTTP/1.1"),
        response("HTTP/1.1 200 OK", ""),
        relayed(200, "HTTP/1.1 200 OK\ncontent-type: text/plain", ""),
        body(Side::Out, b"hello"),
        ended(200, 1, 99),
    ]);
    apply(&mut store, 2, vec![body(Side::In, b"x")]);
    archive(&store)["log"]["entries"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn every_entry_has_what_the_format_requires() {
    for entry in entries() {
        for (path, fields) in REQUIRED {
            let object = entry.pointer(path).unwrap();
            for (name, expected) in fields {
                assert_eq!(kind(&object[name]), *expected, "{path}/{name} in {entry}");
            }
        }
        let timings = entry["timings"].as_object().unwrap().iter();
        let parts = timings.filter(|(name, part)| *name != "ssl" && part.as_f64() >= Some(0.0));
        let sum: f64 = parts.map(|(_, part)| part.as_f64().unwrap()).sum();
        assert!(
            (sum - entry["time"].as_f64().unwrap()).abs() < 1e-6,
            "{entry}"
        );
    }
}

#[test]
fn hidden_values_stay_hidden_and_cut_bodies_say_so() {
    let entries = entries();
    let (first, late) = (&entries[0], &entries[1]);
    assert_eq!(first["startedDateTime"], "2025-11-30T10:53:20.123Z");
    assert_eq!(first["request"]["queryString"][0]["value"], "x y");
    assert_eq!(
        first["request"]["queryString"][1]["value"],
        "‹token, 5 bytes, sha256 0011aabb›"
    );
    assert_eq!(first["request"]["postData"]["text"], "/w==");
    let content = &first["response"]["content"];
    assert_eq!(
        (&content["size"], &content["text"]),
        (&99.into(), &"hello".into())
    );
    assert!(
        content["comment"]
            .as_str()
            .unwrap()
            .contains("5 of 99 bytes")
    );
    assert_eq!(first["_apig"]["summary"]["route"], "/flowers");
    assert!(
        late["comment"]
            .as_str()
            .unwrap()
            .contains("the head of the request was not recorded")
    );
}
