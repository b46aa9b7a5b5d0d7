//! Bodies as the API shows them.

use serde_json::json;

use super::*;

fn events_of(pieces: &[&str]) -> Value {
    let mut notes = vec![
        beginning("GET /a HTTP/1.1"),
        relayed(
            200,
            "HTTP/1.1 200 OK\ncontent-type: text/event-stream; charset=utf-8",
            "",
        ),
    ];
    notes.extend(pieces.iter().map(|piece| body(Side::Out, piece.as_bytes())));
    detail_of(notes)["bodies"]["out"]["events"].clone()
}

#[test]
fn a_stream_is_split_into_events_with_the_time_of_their_last_byte() {
    let events = events_of(&[
        "data: a\n",
        "data: b\n\r\n",
        ": ping\n\nevent: end\nid:7\ndata\n\n",
        "data: cut",
    ]);
    let expected = json!([
        {"at_us": 3000, "event": "message", "data": "a\nb", "id": null},
        {"at_us": 4000, "event": "end", "data": "", "id": "7"},
    ]);
    assert_eq!(events, expected);
    assert_eq!(events_of(&["\u{feff}data:x\r", "\r"])[0]["data"], "x");
    assert_eq!(
        events_of(&["event: a\n\ndata: b\n\n"])[0]["event"],
        "message"
    );
}

#[test]
fn bytes_are_text_or_base64_and_a_cut_within_a_character_is_no_reason_for_the_latter() {
    for (bytes, total, text, base64) in [
        (&b""[..], 0, json!(""), json!(null)),
        (b"\xff\x00", 2, json!(null), json!("/wA=")),
        ("é".as_bytes(), 2, json!("é"), json!(null)),
        (&"aé".as_bytes()[..2], 9, json!("a"), json!(null)),
        (&"aé".as_bytes()[..2], 2, json!(null), json!("YcM=")),
    ] {
        let out = Event::Body {
            side: Side::Out,
            passed: total,
            kept: bytes.into(),
        };
        let mut store = Store::new(StoreLimits {
            bodies: 3,
            ..LIMITS
        });
        apply(
            &mut store,
            1,
            vec![beginning("GET / HTTP/1.1"), out, ended(200, 0, total)],
        );
        let detail = store.detail(1).unwrap();
        let out = &detail["bodies"]["out"];
        assert_eq!(
            (&out["text"], &out["base64"]),
            (&text, &base64),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_body_is_complete_if_all_that_passed_is_kept() {
    let hidden = "{\"token\":\"‹token, 2 bytes, sha256 00000000›\"}";
    for (kept, passed, total, limit, expected) in [
        ("abc", 3, 3, 9, true),
        ("abc", 3, 3, 3, true),
        ("abcd", 4, 4, 3, false),
        ("abc", 3, 9, 99, false),
        ("", 9, 9, 0, false),
        ("", 9, 9, 99, false),
        (hidden, 14, 14, 99, true),
    ] {
        let note = Event::Body {
            side: Side::In,
            passed,
            kept: kept.as_bytes().into(),
        };
        let mut store = Store::new(StoreLimits {
            bodies: limit,
            ..LIMITS
        });
        apply(
            &mut store,
            1,
            vec![beginning("PUT / HTTP/1.1"), note, ended(200, total, 0)],
        );
        let body = &store.detail(1).unwrap()["bodies"]["in"];
        assert_eq!(body["complete"], expected, "{kept} {total} {limit}");
        assert_eq!(body["total"], total, "{kept} {total} {limit}");
    }
}

#[test]
fn what_a_code_means_is_said_in_a_sentence() {
    for (status, code, kept, meaning) in [
        (
            401,
            "APIG.0301",
            "",
            "the gateway did not authenticate the request, and does not say why",
        ),
        (
            401,
            "APIG.0301",
            r#"{"error_code":"APIG.0301","error_msg":"verify aksk signature fail"}"#,
            "the gateway computed another signature than the proxy",
        ),
        (
            404,
            "APIG.0101",
            "",
            "no API is published under this host, stage, path and method",
        ),
    ] {
        let events = vec![
            beginning("GET / HTTP/1.1"),
            relayed(status, "HTTP/1.1 401 Unauthorized", code),
            body(Side::Out, kept.as_bytes()),
        ];
        let why = &detail_of(events)["why"];
        assert_eq!(why["meaning"], meaning, "{code}");
        assert!(why["hint"].is_null(), "{code}");
    }
}

#[test]
fn an_error_of_the_proxy_says_what_it_means_also_without_bodies() {
    let Event::Relayed(mut own) = relayed(508, "HTTP/1.1 508 Loop Detected", "PROXY.loop") else {
        unreachable!("it is such a note")
    };
    own.message = "it came back".to_owned();
    own.hint = "set `upstream`".to_owned();
    let events = vec![beginning("GET / HTTP/1.1"), Event::Relayed(own)];
    let why = &detail_of(events)["why"];
    assert_eq!(why["meaning"], "it came back");
    assert_eq!(why["hint"], "set `upstream`");
}
