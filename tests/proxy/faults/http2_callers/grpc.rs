//! gRPC: number 87.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::{Caller, read, run};
use crate::support::{Exchange, Gateway, Protocol, Proxy, config_to, send_all};
use apig_proxy::config::{Config, MediaRange};

/// A gateway that answers a call with three messages and a status in the trailers, and one for `/refused`
/// with the status alone. What is not published, it refuses as it refuses every request.
async fn echo(mut exchange: Exchange) -> Result<(), h2::Error> {
    if exchange.target() == "/refused" {
        let status = [("content-type", "application/grpc"), ("grpc-status", "5")];
        exchange.begin(200, &status, true)?;
        return Ok(());
    }
    if exchange.target() == "/unpublished" {
        let mut stream = exchange.begin(404, &[("content-type", "application/json")], false)?;
        return send_all(&mut stream, NOT_PUBLISHED, true).await;
    }
    let mut stream = exchange.begin(200, &[("content-type", "application/grpc")], false)?;
    for message in ["one", "two", "three"] {
        send_all(&mut stream, message, false).await?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("grpc-message", HeaderValue::from_static("fine"));
    stream.send_trailers(trailers)
}

const NOT_PUBLISHED: &str = r#"{"error_code":"APIG.0101","error_msg":"not published"}"#;

fn call(url: &str) -> Request<()> {
    let request = Request::post(url).header("te", "trailers");
    let request = request.header("content-type", "application/grpc+proto");
    request.body(()).unwrap()
}

fn config(gateway: &Gateway) -> Config {
    let mut config = config_to(gateway.address);
    let grpc = MediaRange::Exact("application/grpc".to_owned());
    config.unsigned.push(grpc);
    config
}

#[test]
fn fault_87_trailers_of_a_call_pass_without_the_headers_that_proxy_and_route_set() {
    let gateway = Gateway::plan().script(echo).start();
    let mut config = config(&gateway);
    let tenant = HeaderName::from_static("x-tenant");
    config.routes[0].headers = vec![(tenant, HeaderValue::from_static("blue"))];
    let proxy = Proxy::start(&config);
    run(async {
        let caller = Caller::connect(proxy.address).await;
        let call = call("http://localhost/test.Echo/Unary");
        let (reply, mut stream) = caller.begin(call, false).await.unwrap();
        stream.send_data(Bytes::from("message"), false).unwrap();
        let mut trailers = HeaderMap::new();
        for name in ["x-sum", "x-tenant", "x-stage", "authorization"] {
            trailers.insert(name, HeaderValue::from_static("callers"));
        }
        stream.send_trailers(trailers).unwrap();
        assert_eq!(reply.await.unwrap().status(), 200);
    });
    let call = gateway.arrived().pop().unwrap();
    assert_eq!(call.header("x-tenant"), "blue");
    let mut names = call.names();
    names.retain(|name| name.starts_with("trailer "));
    assert_eq!(names, ["trailer x-sum"]);
}

#[test]
fn fault_87_calls_of_both_kinds_reach_the_gateway_over_http2_and_get_their_status() {
    let gateway = Gateway::plan().script(echo).start();
    let proxy = Proxy::start(&config(&gateway));
    run(async {
        let caller = Caller::connect(proxy.address).await;
        let url = "http://localhost/test.Echo/Unary";
        let reply = caller.exchange(call(url), "message").await;
        reply.assert_text(200, "onetwothree");
        assert_eq!(reply.header("content-type"), "application/grpc");
        assert_eq!(reply.header("trailer grpc-status"), "0");
        assert_eq!(reply.header("trailer grpc-message"), "fine");

        let streaming = call("http://localhost/test.Echo/Streaming");
        let (reply, mut stream) = caller.begin(streaming, false).await.unwrap();
        for message in ["a", "b", "c"] {
            stream.send_data(Bytes::from(message), false).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let reply = read(reply.await.unwrap()).await.unwrap();
        assert_eq!(reply.header("trailer grpc-status"), "0");

        let refused = caller.exchange(call("http://localhost/refused"), "message");
        refused.await.assert_header(200, "grpc-status", "5");
        let unpublished = caller.exchange(call("http://localhost/unpublished"), "message");
        unpublished.await.assert_text(404, NOT_PUBLISHED);
    });
    let arrived = gateway.arrived();
    assert_eq!(arrived.len(), 4);
    for (call, body) in arrived.iter().zip(["message", "abc", "message", "message"]) {
        assert_eq!(call.protocol, Protocol::Http2);
        assert_eq!(call.header("te"), "trailers");
        assert_eq!(call.header("content-type"), "application/grpc+proto");
        assert_eq!(call.body, body.as_bytes());
        assert!(!call.verified().body_signed);
    }
}

#[test]
fn fault_87_errors_of_the_proxy_carry_a_grpc_status() {
    let gateway = Gateway::plan().script(echo).start();
    let proxy = Proxy::start(&config(&gateway));
    let mut down = config_to("127.0.0.1:1".parse().unwrap());
    down.unsigned = vec![MediaRange::Any];
    let down = Proxy::start(&down);
    run(async {
        for (proxy, url, status, code) in [
            (&proxy, "http://evil.example/a/b", "7", "host_not_allowed"),
            (&proxy, "http://localhost/a/../b", "13", "bad_target"),
            (&down, "http://localhost/a/b", "14", "upstream_unreachable"),
        ] {
            let caller = Caller::connect(proxy.address).await;
            let reply = caller.exchange(call(url), "message").await;
            reply.about(code).assert_header(200, "grpc-status", status);
            assert_eq!(reply.header("content-type"), "application/grpc");
            let message = reply.header("grpc-message");
            assert!(message.starts_with(&format!("PROXY.{code}: ")), "{message}");
            assert!(reply.body.is_empty());
        }
    });
    assert!(gateway.arrived().is_empty());
}
