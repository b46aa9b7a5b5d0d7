//! Places in which a secret is easily missed.

use super::*;

#[tokio::test]
async fn secrets_are_hidden_wherever_in_a_head_they_are() {
    for (name, value, shown) in [
        (
            "location",
            "https://x/a;jsessionid=MARKER",
            "location: https://x/a;jsessionid=‹",
        ),
        (
            "link",
            "<https://u:MARKER-1@x/>; rel=a, <https://u:MARKER-2@y/?a=b>; rel=b",
            "link: <https://‹password, 10 bytes",
        ),
        (
            "location",
            "https://x/?next=%2Fcb%3Ftoken%3DMARKER",
            "?next=‹next, 22 bytes",
        ),
        (
            "location",
            "/?a=b&next=%252Fcb%253Ftoken%253DMARKER&c=d",
            "&c=d\r\n",
        ),
        (
            "referer",
            "https://x/?f=%7B%22pwd%22%3A%22MARKER%22%7D",
            "?f=‹f, ",
        ),
        ("referer", "https://x/?to=https://u:MARKER@y/", "?to=‹to, "),
        (
            "referer",
            "https://x/?to=https%3A%2F%2Fy%2F%3Fa=b",
            "?to=https%3A%2F%2Fy%2F%3Fa=b\r\n",
        ),
        (
            "referer",
            "https://x/?sig=MARKER&se=1",
            "?sig=‹sig, 6 bytes",
        ),
        (
            "www-authenticate",
            "Bearer realm=a, token=MARKER",
            "Bearer realm=a, token=‹",
        ),
        ("host", "user:MARKER@x", "host: ‹password, 11 bytes"),
        ("x-hw-appkey", "MARKER", "x-hw-appkey: ‹"),
        ("x-auth-key", "MARKER", "x-auth-key: ‹"),
        (
            "x-json",
            r#"{"x":"{\"\\u0074oken\":\"MARKER\"}"}"#,
            "x-json: {",
        ),
        (
            "x-own",
            "//cdn.example/@scope/a",
            "x-own: //cdn.example/@scope/a\r\n",
        ),
    ] {
        let (_, notes, worker) = recorder(0, &[]);
        drop(begin(&worker, &head("/", &[(name, value)])));
        let told = told(notes, worker).await;
        assert!(told.contains(shown), "{shown} in {told}");
        assert!(!told.contains("MARKER"), "{told}");
    }
}

#[tokio::test]
async fn users_of_a_connect_and_of_an_authority_are_hidden() {
    for (method, target, version) in [
        ("CONNECT", "user:MARKER@x:443", Version::HTTP_11),
        ("CONNECT", "user:MARKER@x:443", Version::HTTP_2),
        ("GET", "http://user:MARKER@x/a", Version::HTTP_11),
        ("GET", "http://user:MARKER@x/a", Version::HTTP_2),
    ] {
        let (_, notes, worker) = recorder(0, &[]);
        let mut head = head("/", &[]);
        (head.method, head.uri) = (method.parse().unwrap(), target.parse().unwrap());
        head.version = version;
        drop(begin(&worker, &head));
        let told = told(notes, worker).await;
        assert!(told.contains("‹password, 11 bytes"), "{told}");
        assert!(!told.contains("MARKER"), "{told}");
    }
}

#[tokio::test]
async fn secrets_are_hidden_wherever_in_a_body_they_are() {
    let long = "x".repeat(400);
    let part = format!(
        "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{long}\r\n--b\r\nContent-Disposition: form-data; name="
    );
    for (content_type, text) in [
        (
            "Application/X-WWW-Form-Urlencoded; charset=utf-8",
            "password=MARKER&a=b".to_owned(),
        ),
        ("text/plain", "access_token=MARKER&a=b".to_owned()),
        (
            "application/x-www-form-urlencoded",
            "payload=%7B%22token%22%3A%22MARKER%22%7D".to_owned(),
        ),
        (
            "application/x-www-form-urlencoded",
            "x=1&payload=%7B%22token%22%3A%22MARKER".to_owned(),
        ),
        (
            "application/json",
            r#"{"u":"https:\/\/user:MARKER@x\/a"}"#.to_owned(),
        ),
        (
            "application/json",
            r#"{"u":"https://x/a;jsessionid=MARKER"}"#.to_owned(),
        ),
        (
            "application/json",
            r#"{"a":[{"token":"MARKER"},{"token":["MARKER"]}],"token":"MARKER"}"#.to_owned(),
        ),
        (
            "Multipart/Form-Data; boundary=b",
            format!(
                "{part}\"password\"\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\r\nMARKER\r\n--b--"
            ),
        ),
        (
            "multipart/form-data; boundary=b",
            format!("{part}\"private_key\"; filename=\"k.pem\"\r\n\r\nMARKER\r\n--b--"),
        ),
        (
            "multipart/form-data; boundary=b",
            format!("{part}\"j\"\r\n\r\n{{\"token\":\"MARKER\"}}\r\n--b--"),
        ),
    ] {
        for piece in [1, 2, 7, text.len()] {
            let kept = body(content_type, &text, piece).await;
            assert!(kept.contains(" bytes, sha256 "), "{kept}");
            assert!(
                !kept.contains("MARKER"),
                "{kept} in pieces of {piece} bytes"
            );
        }
    }
}

#[tokio::test]
async fn the_gateways_echo_hides_what_the_head_hides() {
    let (_, _notes, worker) = recorder(0, &[]);
    let capture = begin(&worker, &head("/", &[])).unwrap();
    let canonical = capture.canonical(
        "GET|/a;jsessionid=MARKER/|next=%2Fcb%3Ftoken%3DMARKER|\
         authorization:Bearer MARKER|cookie:a=MARKER|host:u:MARKER@x|referer:https://x/?token=MARKER|x-own:a||a;b|e3",
    );
    assert!(!canonical.contains("MARKER"), "{canonical}");
    assert!(canonical.ends_with("|x-own:a||a;b|e3"), "{canonical}");
}

#[tokio::test]
async fn however_many_credentials_the_proxy_has_each_is_hidden() {
    let (_, notes, worker) = recorder(0, &[]);
    let secrets: Vec<Redactor> = (0..40)
        .map(|at| secret(&format!("MARKER-of-set-{at}")))
        .collect();
    let caller = Caller {
        listener: "tcp",
        replay_of: None,
        listener_route: None,
    };
    let show = |see: &mut dyn FnMut(&Redactor)| secrets.iter().for_each(see);
    let head = head(
        "/",
        &[("x-echo", "MARKER-of-set-39"), ("cookie", "a=12345678")],
    );
    let capture = worker
        .capture((7, Instant::now()), caller, &head, show)
        .unwrap();
    let response = HeaderMap::from_iter([(http::header::SERVER, "12345678".parse().unwrap())]);
    let line = (StatusCode::OK, None, Version::HTTP_11);
    let repeated = String::from_utf8(capture.response(line, &response).0.into()).unwrap();
    assert!(repeated.contains("server: ‹"), "{repeated}");
    drop(capture);
    let told = told(notes, worker).await;
    assert!(!told.contains("MARKER"), "{told}");
}

#[tokio::test]
async fn values_with_many_parts_are_scanned_once() {
    let text = "a=?".repeat(100_000) + "token=MARKER";
    let kept = body("application/x-www-form-urlencoded", &text, text.len()).await;
    assert!(!kept.contains("MARKER"));
}
