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
fn body_of(kept: &[u8], passed: u64, limit: usize) -> Value {
    let limits = StoreLimits {
        bodies: limit,
        ..LIMITS
    };
    let mut store = Store::new(limits);
    let (side, kept) = (Side::In, kept.into());
    let notes = vec![
        beginning("PUT / HTTP/1.1"),
        Event::Body { side, passed, kept },
        ended(200, passed, 0),
    ];
    apply(&mut store, 1, notes);
    view::detail(store.get(1).unwrap())["bodies"]["in"].take()
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
        let body = body_of(bytes, total, 3);
        assert_eq!([&body["text"], &body["base64"]], [&text, &base64]);
    }
}

#[test]
fn a_body_is_complete_if_all_that_passed_is_kept() {
    let hidden = "{\"token\":\"‹token, 2 bytes, sha256 00000000›\"}";
    for (kept, total, limit, expected) in [
        ("abc", 3, 9, true),
        ("abc", 3, 3, true),
        ("abcd", 4, 3, false),
        ("", 9, 0, false),
        ("", 9, 99, false),
        (hidden, 14, 99, true),
    ] {
        let body = body_of(kept.as_bytes(), total, limit);
        let found = (&body["complete"], &body["total"]);
        assert_eq!(found, (&json!(expected), &json!(total)), "{kept} {limit}");
    }
}
