//! Bodies, in whatever pieces they come.

use super::*;
use crate::inspect::tests::rows;
use crate::proxy::content_coding::tests::gzip;

/// JSON as it comes, and what is shown of it.
const JSON: &str = r#"
{"token": "MARKER", "n": 1} | {"token": "‹token, 6 bytes, sha256 X›", "n": 1}
{"token":"MAR\"KER\\","n":"a"} | {"token":"‹token, 10 bytes, sha256 X›","n":"a"}
{"p\u0061ssword":"MARKER"} | {"p\u0061ssword":"‹pu0061ssword, 6 bytes, sha256 X›"}
{"secret":{"a":"MARKER","b":["}"]},"n":1} | {"secret":"‹secret, 24 bytes, sha256 X›","n":1}
{"pwd":12345678,"session":null} | {"pwd":"‹pwd, 8 bytes, sha256 X›","session":null}
{"max_tokens":12,"a":"token","b":"c"} | {"max_tokens":12,"a":"token","b":"c"}
{"prompt_tokens_details":{"cached_tokens":0}} | {"prompt_tokens_details":{"cached_tokens":0}}
["token","secret"] | ["token","secret"]
{"u":"https://x/?a=1&sessionid=MARKER&b"} | {"u":"https://x/?a=1&sessionid=‹sessionid, 6 bytes, sha256 X›&b"}
{"u":"https:\/\/user:MARKER@x\/a"} | {"u":"https:\/\/‹password, 11 bytes, sha256 X›@x\/a"}
{"u":"https://x/a;jsessionid=MARKER"} | {"u":"https://x/a;jsessionid=‹jsessionid, 6 bytes, sha256 X›"}
{"a":[{"token":"MARKER"},{"token":["MARKER"]}],"n":1} | {"a":[{"token":"‹token, 6 bytes, sha256 X›"},{"token":"‹token, 10 bytes, sha256 X›"}],"n":1}
{"x":"{\"api_key\":\"MARKER\",\"n\":1}"} | {"x":"{\"api_key\":\"‹api_key, 6 bytes, sha256 X›\",\"n\":1}"}
{"x":"\"{\\\"pwd\\\":\\\"MARKER\\\"}\""} | {"x":"\"{\\\"pwd\\\":\\\"‹pwd, 6 bytes, sha256 X›\\\"}\""}
{"token":"MARKER | {"token":"‹token, 6 bytes, sha256 X›"#;

/// Other bodies: their type, what comes, and what is shown, with ⏎ for CRLF.
const OTHERS: &str = r#"
application/x-www-form-urlencoded | a=1&password=MARKER%2B1&b=2 | a=1&password=‹password, 10 bytes, sha256 X›&b=2
application/x-www-form-urlencoded | client_secret=MARKER | client_secret=‹client_secret, 6 bytes, sha256 X›
Application/X-WWW-Form-Urlencoded; charset=utf-8 | pwd=MARKER&a | pwd=‹pwd, 6 bytes, sha256 X›&a
application/x-www-form-urlencoded | x=1&payload=%7B%22token%22%3A%22MARKER | x=1&payload=‹payload, 26 bytes, sha256 X›
text/plain | access_token=MARKER&a=b | access_token=‹access_token, 6 bytes, sha256 X›&a=b
text/event-stream | data: {"jwt": "MARKER"}⏎⏎data: x⏎⏎ | data: {"jwt": "‹jwt, 6 bytes, sha256 X›"}⏎⏎data: x⏎⏎
multipart/form-data; boundary=b | --b⏎Content-Disposition: form-data; name="password"⏎⏎MARKER⏎--b-- | --b⏎Content-Disposition: form-data; name="password"⏎⏎‹password, 6 bytes, sha256 X›⏎--b--
image/png | PNG⏎MARKER-sent==\/\"x+y-0123456789⏎ | PNG⏎‹secret, 31 bytes, sha256 X›⏎"#;

/// What is kept of a body that comes in pieces of this length, with X for each hash.
async fn body(content_type: &str, body: &str, piece: usize) -> String {
    let of = (Side::In, ("content-type", content_type), 1 << 20);
    let (kept, ..) = kept(of, body.as_bytes(), piece).await;
    let mut parts = kept.split("sha256 ");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + "sha256 X" + &part[8..])
}

#[tokio::test]
async fn secrets_are_hidden_in_whatever_pieces_they_come() {
    let json = rows(JSON).map(|[text, shown]| ["application/json", text, shown]);
    for [content_type, text, shown] in json.chain(rows(OTHERS)) {
        let [text, shown] = [text, shown].map(|text| text.replace('⏎', "\r\n"));
        for piece in 1..text.len() + 1 {
            let kept = body(content_type, &text, piece).await;
            assert_eq!(kept, shown, "in pieces of {piece} bytes");
        }
    }
    // Encoded, and cut anywhere.
    let json = format!(r#"{{"password":"MARKER","echo":"{SENT}"}}"#);
    let encoded = gzip(json.as_bytes());
    for end in 0..=encoded.len() {
        let of = (Side::Out, ("content-encoding", "gzip"), 1 << 20);
        let (text, is_cut, _) = kept(of, &encoded[..end], 1).await;
        assert!(!text.contains("MARKER"), "{text}");
        assert_eq!(is_cut, end > 0 && end < encoded.len());
    }
}

#[tokio::test]
async fn secrets_are_hidden_in_fields_of_multipart_forms_after_long_ones() {
    let long = "x".repeat(400);
    for field in [
        "\"password\"\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\r\nMARKER",
        "\"private_key\"; filename=\"k.pem\"\r\n\r\nMARKER",
        "\"j\"\r\n\r\n{\"token\":\"MARKER\"}",
    ] {
        let before = "Content-Disposition: form-data; name=";
        let text = format!("--b\r\n{before}\"a\"\r\n\r\n{long}\r\n--b\r\n{before}{field}\r\n--b--");
        for piece in [1, 2, 7, text.len()] {
            let kept = body("Multipart/Form-Data; boundary=b", &text, piece).await;
            assert!(kept.contains(" bytes, sha256 "), "{kept}");
            assert!(
                !kept.contains("MARKER"),
                "{kept} in pieces of {piece} bytes"
            );
        }
    }
}

#[tokio::test]
async fn values_with_many_parts_are_scanned_once() {
    let text = "a=?".repeat(100_000) + "token=MARKER";
    let kept = body("application/x-www-form-urlencoded", &text, text.len()).await;
    assert!(!kept.contains("MARKER"));
}

#[tokio::test]
async fn a_worker_collects_only_some_encoded_bodies_at_once() {
    let (_, _notes, worker) = recorder(1 << 20, &[]);
    let head = head("/", &[("content-encoding", "gzip")]);
    let all = (0..100).map(|_| begin(&worker, &head).unwrap());
    let all: Vec<_> = all.inspect(|one| one.answers(&head.headers)).collect();
    assert_eq!(Rc::strong_count(&worker.decoding), 65);
    all.iter().for_each(|capture| ended(capture));
    assert_eq!(Rc::strong_count(&worker.decoding), 1);
}

/// What is kept of a body with this field, whether it is cut, and how many notes say so.
async fn kept(
    (side, field, limit): (Side, (&str, &str), usize),
    body: &[u8],
    piece: usize,
) -> (String, bool, usize) {
    let (_, mut notes, worker) = recorder(limit, &[]);
    let head = head("/", &[field]);
    let capture = begin(&worker, &head).unwrap();
    capture.answers(&head.headers);
    let pieces = body.chunks(piece);
    pieces.for_each(|piece| capture.body(side, piece));
    capture.body_ended(side, true);
    drop((capture, worker));
    let (mut text, mut total, mut cut, mut count) = (Vec::new(), 0, false, 0);
    while let Ok(Some(batch)) = timeout(Duration::from_secs(5), notes.next()).await {
        for note in batch {
            if let Event::Body(_, part) = note.event {
                text.extend_from_slice(&part.kept);
                (total, cut, count) = (total + part.length, part.is_cut, count + 1);
            }
        }
    }
    assert_eq!(total, body.len() as u64);
    (String::from_utf8(text).unwrap(), cut, count)
}

#[tokio::test]
async fn the_beginning_is_kept_and_of_encoded_responses_decoded_within_bounds() {
    use Side::{In, Out};
    let (small, large) = (gzip(b"0123456789"), gzip(&vec![b'0'; 8 << 20]));
    let random = std::iter::repeat_with(|| fastrand::alphanumeric() as u8);
    let text: Vec<u8> = random.take(300_000).collect();
    let noise = gzip(&text);
    for ((side, coding, limit), body, length, cut) in [
        ((In, "identity", 10), &text, 10, true),
        ((In, "identity", 0), &text, 0, false),
        ((In, "gzip", 10), &small, 0, false),
        ((Out, "x-gzip", 99), &small, 10, false),
        ((Out, "gzip", 9), &small, 9, true),
        ((Out, "gzip", 0), &small, 0, false),
        ((Out, "gzip, br", 99), &small, 0, false),
        ((Out, "zstd", 99), &small, 0, false),
        ((Out, "deflate", 99), &small, 0, true),
        ((Out, "gzip", 1 << 20), &large, (64 << 10) + 1, true),
        ((Out, "gzip", 1 << 20), &noise, (64 << 10) + 1, true),
    ] {
        let of = (side, ("content-encoding", coding), limit);
        let (text, is_cut, count) = kept(of, body, 8).await;
        assert_eq!((text.len(), is_cut), (length, cut), "{of:?}");
        assert!(count < 100, "{count}");
    }
    let text = format!("some text and {SENT}");
    let of = (In, ("x", "y"), 30);
    assert_eq!(kept(of, text.as_bytes(), 99).await.0, "some text and ");
}
