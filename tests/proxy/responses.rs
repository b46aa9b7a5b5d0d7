//! What of the gateway's answer reaches the caller.

use std::time::Duration;

use crate::support::{Proxy, Scene, Upstream, answer, config, pause, route};

const GET: &str = "GET /v1 HTTP/1.1\r\nHost: localhost:1234\r\n\r\n";

#[test]
fn the_gateway_s_own_errors_pass_through_unchanged() {
    let body =
        "{\"error_msg\":\"Incorrect IAM authentication information\",\"error_code\":\"APIG.0301\"}";
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "429 Too Many Requests",
        "503 Service Unavailable",
    ] {
        let upstream = Upstream::answering(&answer(
            status,
            "X-Request-Id: abc\r\nRetry-After: 7\r\nServer: api-gateway\r\n",
            body,
        ));
        let answer = Proxy::before(&upstream).exchange(GET);
        assert_eq!(
            (
                format!("{}", answer.status).as_str(),
                answer.text().as_str()
            ),
            (&status[..3], body)
        );
        assert_eq!(
            (
                answer.header("x-request-id").as_str(),
                answer.header("retry-after").as_str()
            ),
            ("abc", "7")
        );
        assert_eq!(answer.header("server"), "api-gateway");
        assert_eq!(upstream.requests().len(), 1, "{status} was retried");
    }
}

#[test]
fn hop_by_hop_headers_and_alt_svc_end_at_the_proxy() {
    let headers = "Connection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nAlt-Svc: h3=\":443\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Raw: \u{e9}\r\n";
    let upstream = Upstream::answering(&answer("200 OK", headers, "x"));
    let answer = Proxy::before(&upstream).exchange(GET);
    for name in ["connection", "x-private", "keep-alive", "alt-svc"] {
        assert!(answer.all(name).is_empty(), "{name}");
    }
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.text(), "x");
}

#[test]
fn a_location_at_the_upstream_becomes_the_local_one_and_is_not_followed() {
    let upstream = Upstream::scripted(|seen, out| {
        let host = seen.header("host");
        let location = match seen.target() {
            "/v1/infers/s/absolute" => format!("https://{host}/v1/infers/s/next?a=1"),
            "/v1/infers/s/path" => "/v1/infers/s/next?a=1".to_owned(),
            _ => "https://elsewhere.example/x".to_owned(),
        };
        out.write_all(
            answer(
                "307 Temporary Redirect",
                &format!("Location: {location}\r\n"),
                "",
            )
            .as_bytes(),
        )
    });
    let mut config = config(&upstream);
    config.routes = vec![route("/flowers", &upstream, "/v1/infers/s")];
    let proxy = Proxy::start(&config);
    let location = |path: &str| {
        let answer = proxy.exchange(format!(
            "GET /flowers/{path} HTTP/1.1\r\nHost: localhost:1234\r\n\r\n"
        ));
        assert_eq!(answer.status, 307);
        answer.header("location")
    };
    assert_eq!(
        location("absolute"),
        "http://localhost:1234/flowers/next?a=1"
    );
    assert_eq!(location("path"), "/flowers/next?a=1");
    assert_eq!(location("other"), "https://elsewhere.example/x");
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn pieces_of_an_answer_are_passed_on_as_they_come() {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let upstream = Upstream::scripted(move |_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        out.write_all(b"7\r\ndata: 1\r\n")?;
        out.flush()?;
        // The second piece is sent only after the caller has the first.
        went.lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(10))
            .map_err(std::io::Error::other)?;
        out.write_all(b"7\r\ndata: 2\r\n0\r\n\r\n")
    });
    let proxy = Proxy::before(&upstream);
    let mut client = proxy.client();
    client.send(GET.as_bytes());
    let head = client.exactly(12).unwrap();
    assert_eq!(head, b"HTTP/1.1 200");
    let mut text = Vec::new();
    while !text.ends_with(b"data: 1") {
        text.extend(client.exactly(1).unwrap());
    }
    go.send(()).unwrap();
    while !text.ends_with(b"0\r\n\r\n") {
        text.extend(client.exactly(1).unwrap());
    }
    assert!(String::from_utf8_lossy(&text).contains("data: 2"));
}

#[test]
fn an_answer_that_breaks_off_looks_broken_to_the_caller() {
    let broken = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ];
    for bytes in broken {
        let upstream = Upstream::scripted(move |_, out| {
            out.write_all(bytes.as_bytes())?;
            out.flush()?;
            Err(std::io::Error::other("the end"))
        });
        let proxy = Proxy::before(&upstream);
        assert!(
            proxy
                .client()
                .send(GET.as_bytes())
                .try_answer(false)
                .is_err(),
            "{bytes}"
        );
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn what_is_not_http_is_a_bad_response_and_a_silent_close_a_reset() {
    for (bytes, code) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "bad_response"),
        ("HTTP/1.1 xx\r\n\r\n", "bad_response"),
        ("", "upstream_reset"),
    ] {
        let upstream = Upstream::scripted(move |_, out| {
            out.write_all(bytes.as_bytes())?;
            out.flush()?;
            Err(std::io::Error::other("the end"))
        });
        let answer = Proxy::before(&upstream)
            .exchange("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, code),
            "{bytes}"
        );
        assert_eq!(upstream.requests().len(), 1, "sent twice");
    }
}

#[test]
fn a_gateway_that_does_not_answer_is_given_up() {
    let upstream = Upstream::scripted(|_, _| {
        #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    });
    let mut config = config(&upstream);
    config.timeouts.response = Duration::from_millis(100);
    let answer = Proxy::start(&config).exchange(GET);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "response_timeout")
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn an_unreachable_gateway_and_an_untrusted_one_are_told_apart() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.routes[0].upstream.port = 1;
    let answer = Proxy::start(&config).exchange(GET);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_unreachable")
    );

    let mut config = crate::support::config(&upstream);
    config.upstream_tls.extra_roots.clear();
    let answer = Proxy::start(&config).exchange(GET);
    assert_eq!((answer.status, answer.code().as_str()), (502, "tls_error"));
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn an_answer_before_the_body_is_complete_is_relayed() {
    let upstream = Upstream::scripted(|_, out| {
        out.write_all(answer("413 Payload Too Large", "", "big").as_bytes())
    });
    let proxy = Proxy::before(&upstream);
    let answer =
        proxy.exchange("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

#[test]
fn what_a_caller_sends_after_its_last_request_does_not_cost_it_the_answer() {
    let scene = Scene::plain();
    for host in ["localhost", "evil.example"] {
        for version in ["1.1", "1.0"] {
            let mut client = scene.client();
            let request = format!(
                "POST / HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            client.send(request.as_bytes());
            // The answer has come, and is read only after more was sent.
            client.wait_for_input();
            for _ in 0..3 {
                client.send(b"\r\n");
                pause(Duration::from_millis(50));
            }
            let answer = client.answer();
            if version == "1.1" {
                assert_eq!(answer.header("connection"), "close");
            }
            client.ends();
        }
    }
}
