//! The head that arrives: numbers 11, 12, 13, 29, 30, 31.

use crate::support::{
    ANSWERED, Proxy, Scene, Upstream, chunked, config, get, post, request, temporary_key,
};

#[test]
fn a_get_arrives_signed_with_exactly_one_of_each_header_of_ours() {
    let scene = Scene::plain();
    let accepting = request("GET /v1/infers/a?x=1", "Accept: */*", "");
    scene.exchange(accepting).assert_text(200, ANSWERED);
    let seen = scene.upstream.only_request();
    assert_eq!(seen.line, "GET /v1/infers/a?x=1 HTTP/1.1");
    assert_eq!(seen.header("host"), scene.upstream.address.to_string());
    assert_eq!(seen.header("x-stage"), "RELEASE");
    assert_eq!(seen.header("accept"), "*/*");
    let names = "host x-stage apig-proxy-hop x-sdk-date authorization accept";
    assert_eq!(seen.names().join(" "), names);
    let verified = seen.verified();
    assert_eq!(verified.signed_headers, ["host", "x-sdk-date", "x-stage"]);
    assert!(verified.body_signed);
}

#[test]
fn repeated_headers_and_bytes_that_are_not_ascii_arrive_as_they_came() {
    let scene = Scene::plain();
    let fields = b"Host: localhost\r\nX-A: 2\r\nX-B: \xe9\xff\r\nX-A: 1\r\nX-A: \r\n\r\n";
    scene.passes([b"GET / HTTP/1.1\r\n", &fields[..]].concat());
    let seen = scene.upstream.only_request();
    assert_eq!(seen.all("x-a"), [&b"2"[..], b"1", b""]);
    assert_eq!(seen.all("x-b"), [b"\xe9\xff"]);
    seen.verified();
}

#[test]
fn temporary_keys_and_projects_are_sent_and_signed() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.credentials[0].project_id = Some(http::HeaderValue::from_static("0605768a33"));
    let proxy = Proxy::start_with(&config, &temporary_key("TOKEN+/=="));
    proxy.get("/").assert_status(200);
    let seen = upstream.only_request();
    assert_eq!(seen.header("x-security-token"), "TOKEN+/==");
    assert_eq!(seen.header("x-project-id"), "0605768a33");
    let signed = "host x-project-id x-sdk-date x-security-token x-stage";
    assert_eq!(seen.verified().signed_headers.join(" "), signed);
}

/// Targets that arrive byte for byte.
const TARGETS: &str = "/ /a/ /a//b/ /a%2Fb /a%2fb /~user /a:b /it's /(z)!* /%e4%b8%ad /a;c=1,d /%D6%D0/%ff /a%20b /a%00b \
    /%7Euser /v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53/v1/chat/completions /a%25b? /a? /p?b=2&a=1&a=0 \
    /p?a[]=1&a[0]=2&t=08:00:00Z&u=/x?y /p?a&b=&&c /p?a=caf%C3%A9&%E4%B8%AD=~!*'()";

#[test]
fn fault_11_targets_arrive_byte_for_byte_but_for_what_decoders_read_differently() {
    let scene = Scene::plain();
    let changed = [
        ("/a+b/é", "/a%2Bb/%C3%A9"),
        ("/中?中", "/%E4%B8%AD?%E4%B8%AD"),
        ("/p?q=x+y;z&c=%2b", "/p?q=x%20y%3Bz&c=%2b"),
        ("/p?a=100%&b=%zz&é=%D6", "/p?a=100%25&b=%25zz&%C3%A9=%D6"),
        ("/a#b", "/a"),
        ("/a?b#c", "/a?b"),
    ];
    let same = TARGETS.split_whitespace().map(|target| (target, target));
    for (target, expected) in same.chain(changed) {
        scene.get(target).about(target).assert_status(200);
        let seen = scene.upstream.requests().pop().unwrap();
        assert_eq!(seen.target(), expected);
        seen.verified();
    }
}

#[test]
fn fault_12_headers_of_the_proxy_s_own_arrive_once_and_are_ours() {
    let scene = Scene::plain();
    let owned = "Authorization ApiKey X-Sdk-Date x_sdk_date X-Security-Token X-Auth-Token x-stage x_stage X-Apig-AppCode \
        X-HW-ID X-HW-AppKey X-Sdk-Content-Sha256 X-Sdk-Content-Sm3 X-Project-Id X-Forwarded-For X-Forwarded-Host \
        X-Forwarded-Proto x_forwarded_for Forwarded X-Apig-Proxy-Token";
    let fields = owned.replace(' ', ": callers|") + ": callers";
    scene.passes(request("GET /", &fields, ""));
    let seen = scene.arrived();
    for (name, value) in &seen.headers {
        assert_ne!(value, b"callers", "{name}");
    }
    for name in ["host", "authorization", "x-sdk-date", "x-stage"] {
        assert_eq!(seen.all(name).len(), 1, "{name}");
    }
    seen.verified();
    scene.serves();
}

#[test]
fn fault_13_headers_of_one_connection_are_dropped_in_every_spelling_and_those_of_the_proxy_stay() {
    let scene = Scene::plain();
    for (fields, body) in [
        (
            "Connection: x-stage, authorization|Connection: X-Private, host, x-sdk-date|X-Private: 1|X-Public: 1|\
             Keep-Alive: 5|TE: trailers|Proxy-Authorization: x|Proxy-Connection: x|HTTP2-Settings: x|Trailer: x",
            "",
        ),
        (
            "Transfer_Encoding: chunked|Proxy_Authorization: x|KEEP_ALIVE: 5|Connection: X-Private|x_private: 1|X-Public: 1",
            "0\r\n\r\n",
        ),
    ] {
        scene.upstream.forget();
        scene.passes(request("POST /", fields, body));
        let seen = scene.upstream.only_request();
        let names = "host content-length x-stage apig-proxy-hop x-sdk-date authorization x-public";
        assert_eq!(seen.names().join(" "), names, "{fields}");
        assert_eq!(seen.body, body.as_bytes());
        seen.verified();
        scene.serves();
    }
}

#[test]
fn fault_29_methods_and_their_bodies_arrive_as_they_were_sent_and_signed() {
    let scene = Scene::plain();
    for method in "GET DELETE PATCH PUT OPTIONS PROPFIND M-SEARCH".split(' ') {
        for body in ["body", ""] {
            let sent = request(&format!("{method} /"), "", body);
            scene.exchange(sent).about(method).assert_status(200);
            let seen = scene.upstream.requests().pop().unwrap();
            assert_eq!((seen.method(), &*seen.body), (method, body.as_bytes()));
            assert!(seen.verified().body_signed);
        }
    }
    let mut client = scene.client();
    client
        .send(request("HEAD /", "", ""))
        .head_answer()
        .assert_header(200, "content-length", "11");
    let seen = scene.upstream.requests().pop().unwrap();
    assert_eq!((seen.method(), seen.body.len()), ("HEAD", 0));
    seen.verified();
    // The next bytes on the connection are the next answer, not a body.
    assert_eq!(client.send(get("/after")).answer().text(), ANSWERED);
    scene.serves();
}

#[test]
fn fault_30_trailers_of_a_request_are_dropped_and_the_body_is_signed_without_them() {
    let scene = Scene::plain();
    for content_type in ["text/plain", "multipart/x"] {
        let mut bytes = chunked(content_type, &[b"body"]);
        bytes.truncate(bytes.len() - 2);
        bytes.extend(b"x-stage: callers\r\nX-Sum: 1\r\n\r\n");
        scene.passes(bytes);
        let seen = scene.upstream.requests().pop().unwrap();
        assert_eq!(seen.body, b"body");
        assert_eq!(seen.header("x-stage"), "RELEASE");
        seen.assert_without(&["x-sum", "trailer x-sum", "trailer x-stage"]);
        seen.verified();
    }
    scene.serves();
}

#[test]
fn fault_31_an_encoded_body_arrives_and_is_hashed_as_it_was_sent() {
    let scene = Scene::plain();
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not really gzip\x00\xff";
    let encoded = post("application/json\r\nContent-Encoding: gzip", body);
    scene.passes(encoded);
    let seen = scene.arrived();
    assert_eq!(seen.body, body);
    assert_eq!(seen.header("content-encoding"), "gzip");
    assert!(seen.verified().body_signed);
    scene.serves();
}
