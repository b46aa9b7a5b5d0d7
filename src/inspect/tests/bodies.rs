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
        {"at_us": 3000, "event": "message", "data": "a\nb"},
        {"at_us": 4000, "event": "end", "data": ""},
    ]);
    assert_eq!(events, expected);
    assert_eq!(
        events_of(&["event: a\n\ndata: b\n\n"])[0]["event"],
        "message"
    );
}

/// The body of a request, of which so many bytes passed.
fn body_of(kept: &[u8], passed: u64, is_cut: bool) -> Value {
    let part = BodyPart {
        length: passed,
        kept: kept.into(),
        is_cut,
    };
    let notes = vec![
        beginning("PUT / HTTP/1.1"),
        Event::Body(Side::In, part),
        ended(200, passed, 0),
    ];
    detail_of(notes)["bodies"]["in"].take()
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
        let body = body_of(bytes, total, bytes.len() as u64 != total);
        assert_eq!([&body["text"], &body["base64"]], [&text, &base64]);
    }
}

#[test]
fn a_body_is_complete_if_all_that_passed_is_kept() {
    let hidden = "{\"token\":\"‹token, 2 bytes, sha256 00000000›\"}";
    for (kept, total, is_cut, expected) in [
        ("abc", 3, false, true),
        ("abc", 4, true, false),
        ("", 9, false, false),
        (hidden, 14, false, true),
    ] {
        let body = body_of(kept.as_bytes(), total, is_cut);
        let found = (&body["complete"], &body["total"]);
        assert_eq!(found, (&json!(expected), &json!(total)), "{kept}");
    }
}
