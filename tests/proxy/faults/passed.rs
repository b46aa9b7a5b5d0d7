//! What of good answers is passed on: numbers 56, 60, 61.

use crate::support::{ANSWERED, FAULT, Scene, Upstream, answer, faulty, get, ok, route};

#[test]
fn fault_56_what_concerns_the_connection_to_the_gateway_is_not_passed_on() {
    let bytes = "HTTP/1.1 200 OK\r\nConnection: close, X-Private\r\nconnection: X-Other\r\nX-Private: 1\r\nx-other: 1\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
                 X_Other: 1\r\nProxy_Authenticate: Basic\r\nTransfer_Encoding: chunked\r\nContent_Length: 7\r\n\
                 X-Public: 1\r\ncontent-length: 2\r\n\r\nok";
    let scene = Scene::before(faulty(move |link| link.send(bytes)));
    let mut client = scene.client();
    let answer = client.send(FAULT).answer();
    let names = "connection x-private x-other keep-alive proxy-authenticate upgrade x_other \
            proxy_authenticate transfer_encoding content_length";
    for name in names.split_whitespace() {
        assert!(answer.all(name).is_empty(), "{name}");
    }
    assert_eq!(
        (answer.header("x-public").as_str(), answer.text().as_str()),
        ("1", "ok")
    );
    // The caller's own connection is kept all the same.
    let next = client.get("/other");
    assert_eq!(next.text(), ANSWERED);
    assert_eq!(scene.upstream.connections(), 2);
    scene.serves();
}

#[test]
fn fault_60_redirects_are_passed_on_and_lead_to_the_local_address() {
    let upstream = Upstream::replying(|seen| {
        let status = &seen.target()[seen.target().len() - 3..];
        let location = match seen.target().split('/').nth(3) {
            Some("own") => format!("https://{}/v1/x/there?a=b", seen.header("host")),
            Some("path") => "/v1/x/there?a=b".to_owned(),
            _ => "https://elsewhere.example/v1/x/there".to_owned(),
        };
        if seen.target() == "/v1/x/next" {
            return ok("ok");
        }
        let fields = format!("Location: {location}\r\n");
        answer(&format!("{status} Moved"), &fields, "moved")
    });
    let target = route("/flowers", &upstream, "/v1/x");
    let scene = Scene::with(upstream, |config| config.routes = vec![target]);
    for status in [301, 302, 303, 307, 308] {
        for (to, expected) in [
            ("own", "http://localhost:1234/flowers/there?a=b"),
            ("path", "/flowers/there?a=b"),
            ("other", "https://elsewhere.example/v1/x/there"),
        ] {
            let before = scene.upstream.requests().len();
            let request =
                format!("GET /flowers/{to}/{status} HTTP/1.1\r\nHost: localhost:1234\r\n\r\n");
            let answer = scene.exchange(request);
            answer.assert_text(status, "moved");
            assert_eq!(answer.header("location"), expected);
            assert_eq!(
                scene.upstream.requests().len(),
                before + 1,
                "it was followed"
            );
        }
    }
    scene.passes(get("/flowers/next"));
}

#[test]
fn fault_61_alt_svc_is_dropped_and_cookies_are_passed_on() {
    let upstream = Upstream::replying(|_| {
        let fields = "Alt-Svc: h3=\":443\"\r\nSet-Cookie: a=1; Path=/\r\nX-Between: 1\r\nset-cookie: b=2\r\n";
        answer("200 OK", fields, ANSWERED)
    });
    let scene = Scene::before(upstream);
    let answer = scene.exchange(FAULT);
    answer.assert_without(&["alt-svc"]);
    assert_eq!(answer.all("set-cookie"), ["a=1; Path=/", "b=2"]);
    // All values of a name keep their order; names are in lower case.
    assert_eq!(
        answer.names(),
        [
            "set-cookie",
            "set-cookie",
            "x-between",
            "date",
            "content-length"
        ]
    );
    scene.serves();
}
