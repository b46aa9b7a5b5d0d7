//! Responses over HTTP/2, as callers receive them.

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Response};

use super::Http2Scene;
use crate::support::{ANSWERED, Exchange, Gateway, Plan, Protocol, get, request, send_all};

/// A gateway that answers `/next` and `/held` with 200, and runs the script for others.
fn answering<F>(script: impl Fn(Exchange) -> F + Clone + Send + Sync + 'static) -> Plan
where
    F: Future<Output = Result<(), h2::Error>> + 'static,
{
    Gateway::plan().script(move |exchange| {
        let script = script.clone();
        async move {
            if ["/held", "/next"].contains(&exchange.target()) {
                return exchange.answer(200, &[], ANSWERED).await;
            }
            script(exchange).await
        }
    })
}

#[test]
fn http2_responses_keep_status_headers_and_a_long_body() {
    let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let sent = Bytes::from(body.clone());
    let scene = Http2Scene::busy(answering(move |exchange| {
        let sent = sent.clone();
        async move {
            let length = sent.len().to_string();
            let alt_svc = ("alt-svc", "h3=\":443\"");
            let mut headers = vec![("x-a", "1"), alt_svc, ("x-a", "2"), ("x-empty", "")];
            if exchange.target() == "/declared" {
                headers.push(("content-length", &length));
            }
            exchange.answer(207, &headers, sent).await
        }
    }));
    for target in ["/declared", "/undeclared"] {
        let answer = scene.proxy.get(target);
        assert_eq!(answer.status, 207);
        assert_eq!(answer.all("x-a"), ["1", "2"]);
        assert_eq!(answer.all("x-empty"), [""]);
        answer.assert_without(&["alt-svc"]);
        assert!(answer.body == body, "{target}");
        let is_chunked = answer.all("transfer-encoding") == ["chunked"];
        assert_eq!(is_chunked, target == "/undeclared");
        assert_eq!(answer.all("content-length").is_empty(), is_chunked);
        assert_eq!(scene.only(target).protocol, Protocol::Http2);
    }
}

#[test]
fn http2_responses_without_a_body_keep_their_framing() {
    let scene = Http2Scene::busy(answering(|mut exchange| async move {
        let (status, headers): (u16, &[(&str, &str)]) = match exchange.target() {
            "/204" | "/204-late" => (204, &[]),
            "/304" | "/304-late" => (304, &[("content-length", "70"), ("etag", "\"a\"")]),
            "/empty" | "/empty-late" => (200, &[("content-length", "0")]),
            "/undeclared" => (200, &[]),
            _ => (200, &[("content-length", "70")]),
        };
        // Some gateways end a stream only after the head.
        let is_late = exchange.target().ends_with("-late");
        let mut stream = exchange.begin(status, headers, !is_late)?;
        if is_late {
            stream.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }));
    let mut client = scene.proxy.client();
    for late in ["", "-late"] {
        let mut asked = |method: &str, target: &str| {
            let request = get(target).replace("GET", method);
            client.send(&request);
            client.try_answer(method == "HEAD").unwrap()
        };
        let answer = asked("GET", &format!("/204{late}"));
        answer.assert_status(204);
        answer.assert_without(&["content-length"]);
        asked("GET", &format!("/304{late}")).assert_header(304, "etag", "\"a\"");
        asked("GET", &format!("/empty{late}")).assert_header(200, "content-length", "0");
        asked("HEAD", &format!("/head{late}")).assert_header(200, "content-length", "70");
        asked("GET", "/undeclared").assert_text(200, "");
    }
    let arrived = scene.gateway.arrived();
    assert_eq!(arrived.len(), 10);
    assert!(arrived.iter().all(|one| one.protocol == Protocol::Http2));
}

#[test]
fn http2_responses_keep_their_trailers_and_lose_interim_ones() {
    let scene = Http2Scene::busy(answering(|mut exchange| async move {
        let hints = Response::builder()
            .status(103)
            .header("link", "</a>; rel=preload");
        exchange
            .respond
            .send_informational(hints.body(()).unwrap())?;
        tokio::task::yield_now().await;
        let mut stream = exchange.begin(200, &[("trailer", "x-sum")], false)?;
        send_all(&mut stream, "one", false).await?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers.insert("x-stage", HeaderValue::from_static("theirs"));
        stream.send_trailers(trailers)
    }));
    let mut client = scene.proxy.client();
    client.send(request("GET /a", "TE: trailers", ""));
    let head = client.until("HTTP/1.1 200 OK\r\n", "\r\n\r\n");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let body = client.until("3\r\none\r\n0\r\n", "\r\n\r\n");
    assert_eq!(body, "3\r\none\r\n0\r\nx-sum: 1\r\n\r\n");
    assert_eq!(scene.only("/a").protocol, Protocol::Http2);
}

#[test]
fn http2_has_no_switch_of_protocols_and_bounds_interim_responses() {
    let scene = Http2Scene::busy(answering(|mut exchange| async move {
        let (status, count) = match exchange.target() {
            "/switch" => (101, 1),
            _ => (102, 100),
        };
        for _ in 0..count {
            let interim = Response::builder().status(status).body(()).unwrap();
            exchange.respond.send_informational(interim)?;
        }
        std::future::pending().await
    }));
    for target in ["/switch", "/endless"] {
        let answer = scene.proxy.get(target);
        answer.about(target).assert_refused(502, "bad_response");
        assert_eq!(scene.only(target).protocol, Protocol::Http2);
    }
    scene.proxy.get("/next").assert_text(200, ANSWERED);
}

#[test]
fn http2_responses_that_are_cut_off_look_aborted() {
    let scene = Http2Scene::busy(answering(|mut exchange| async move {
        let target = exchange.target().to_owned();
        let headers: &[(&str, &str)] = match target.as_str() {
            "/short" | "/declared" => &[("content-length", "100")],
            "/long" => &[("content-length", "5")],
            _ => &[],
        };
        let mut stream = exchange.begin(200, headers, false)?;
        let is_last = ["/short", "/long"].contains(&target.as_str());
        send_all(&mut stream, "0123456789", is_last).await?;
        // Until it was relayed.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let reason = match target.as_str() {
            "/no-error" => Reason::NO_ERROR,
            "/cancelled" => Reason::CANCEL,
            _ => Reason::INTERNAL_ERROR,
        };
        stream.send_reset(reason);
        Ok(())
    }));
    for target in "/declared /undeclared /no-error /cancelled /short /long".split_whitespace() {
        let mut client = scene.proxy.client();
        client.send(get(target));
        // An error that is noticed before the head was relayed is a 502.
        if let Ok(answer) = client.try_answer(false) {
            answer.about(target).assert_refused(502, "bad_response");
            assert_eq!(target, "/long");
        } else {
            assert!(client.is_closed(), "{target}");
        }
        assert_eq!(scene.only(target).protocol, Protocol::Http2);
    }
    assert_eq!(scene.serves(), Protocol::Http2);
}
