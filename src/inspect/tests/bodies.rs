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
    let hidden = "{\"token\":\"‹token, 2 bytes, sha256 00000000›\"}";
    for (bytes, total, is_cut, text, base64) in [
        (&b""[..], 0, false, json!(""), json!(null)),
        (b"\xff\x00", 2, false, json!(null), json!("/wA=")),
        ("é".as_bytes(), 2, false, json!("é"), json!(null)),
        (&"aé".as_bytes()[..2], 9, true, json!("a"), json!(null)),
        (&"aé".as_bytes()[..2], 2, false, json!(null), json!("YcM=")),
        (hidden.as_bytes(), 14, false, json!(hidden), json!(null)),
    ] {
        let body = body_of(bytes, total, is_cut);
        assert_eq!([&body["text"], &body["base64"]], [&text, &base64]);
        assert_eq!(body["complete"], json!(!is_cut), "{text}");
    }
    assert_eq!(body_of(b"", 9, false)["complete"], json!(false));
}
