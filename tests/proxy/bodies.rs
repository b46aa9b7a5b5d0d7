//! What of a body reaches the gateway, and when.

use crate::support::{Scene, chunked, post, wait_until};

#[test]
fn fault_32_type_and_length_of_a_body_decide_whether_it_is_signed_or_streamed() {
    let scene = Scene::plain();
    let json = &b"{\"a\": 1,\n \"text\":\"\xc3\xa9\x00\xff\"}"[..];
    let long = vec![b'x'; 1_000_000];
    let (form, two) = ("multipart/form-data", &b"onetwo"[..]);
    let in_two = |content_type| chunked(content_type, &[b"one", b"two"]);
    let asks_for_it = "text/plain\r\nX-Sdk-Content-Sha256: UNSIGNED-PAYLOAD";
    let put = "PUT /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (request, body, is_signed, is_chunked) in [
        (post("application/json", json), json, true, false),
        (post("multipart", json), json, true, false),
        (
            post("text/plain; x=multipart/form-data", json),
            json,
            true,
            false,
        ),
        (in_two("text/plain"), two, true, false),
        (post("multipart/mixed", json), json, false, false),
        (
            post("MULTIPART/Form-Data;boundary=\"a;b\"", json),
            json,
            false,
            false,
        ),
        (post(form, &long), &long[..], false, false),
        (chunked(form, &[&long]), &long[..], false, true),
        ([b"GET", &in_two(form)[4..]].concat(), two, false, true),
        (post(asks_for_it, json), json, false, false),
        // An empty body is signed as such whatever its type.
        (post(form, b""), b"", true, false),
        (chunked(form, &[]), b"", true, false),
        (put.as_bytes().to_vec(), b"", true, false),
    ] {
        scene.exchange(&request).assert_status(200);
        let seen = scene.upstream.requests().pop().unwrap();
        let case = String::from_utf8_lossy(&request[..request.len().min(200)]);
        assert!(seen.body == body, "{case}");
        if is_chunked {
            assert_eq!(seen.header("transfer-encoding"), "chunked", "{case}");
        } else {
            assert_eq!(seen.header("content-length"), body.len().to_string());
        }
        let unsigned: &[&[u8]] = if is_signed {
            &[]
        } else {
            &[b"UNSIGNED-PAYLOAD"]
        };
        assert_eq!(seen.all("x-sdk-content-sha256"), unsigned, "{case}");
        let verified = seen.verified();
        assert_eq!(verified.body_signed, is_signed, "{case}");
        let mut signed = verified.signed_headers.iter();
        assert_eq!(
            signed.any(|name| name == "x-sdk-content-sha256"),
            !is_signed
        );
    }
}

#[test]
fn a_multipart_body_is_passed_on_before_it_is_complete() {
    let scene = Scene::plain();
    let mut client = scene.client();
    let request = post("multipart/form-data", b"abcdef");
    let (most, last) = request.split_at(request.len() - 3);
    client.send(most);
    wait_until("the gateway is connected to", || {
        scene.upstream.connections() == 1
    });
    assert_eq!(scene.upstream.requests().len(), 0);
    assert_eq!(client.send(last).answer().status, 200);
    assert_eq!(scene.upstream.only_request().body, b"abcdef");
}
