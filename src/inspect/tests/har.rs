//! The archive has sums that are right. `tests/clients/inspector.py` checks it against the schema of HAR.

use super::super::har::entry;
use super::*;

#[test]
fn hidden_values_stay_hidden_cut_bodies_say_so_and_the_timings_are_those_of_the_whole() {
    let store = store_of(vec![
        beginning(
            "POST /flowers/a?q=x%20y&token=‹token, 5 bytes, sha256 0011aabb› HTTP/1.1
            host: localhost:8080
            content-type: text/plain",
        ),
        body(Side::In, b"\xff"),
        routed(""),
        attempt("POST /v1/x/a HTTP/1.1"),
        response("HTTP/1.1 200 OK", ""),
        relayed(200, "HTTP/1.1 200 OK\ncontent-type: text/plain", ""),
        body(Side::Out, b"hello"),
        ended(200, 1, 99),
    ]);
    let entry = entry(store.get(1).unwrap());
    for [path, expected] in rows(
        "/startedDateTime | 2025-11-30T10:53:20.123Z
        /request/url | http://localhost:8080/flowers/a?q=x%20y&token=‹token, 5 bytes, sha256 0011aabb›
        /request/queryString/0/value | x y
        /request/queryString/1/value | ‹token, 5 bytes, sha256 0011aabb›
        /request/postData/text | /w==
        /response/content/text | hello
        /response/content/comment | the body is cut: 5 bytes were kept
        /_apig/summary/route | /flowers",
    ) {
        assert_eq!(entry.pointer(path).unwrap(), expected, "{path}");
    }
    let timings = entry["timings"].as_object().unwrap().iter();
    let parts = timings.filter(|(name, part)| *name != "ssl" && part.as_f64() >= Some(0.0));
    let sum: f64 = parts.map(|(_, part)| part.as_f64().unwrap()).sum();
    let time = entry["time"].as_f64().unwrap();
    assert!((sum - time).abs() < 1e-6, "{entry}");
}
