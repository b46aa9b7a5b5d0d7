//! The embedded gateway in front of a backend, which sends back what it receives.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::http2::with_authority;
use super::running::Running;
use super::{NOW, signed, signed_as};
use crate::signature::{Payload, UNSIGNED_PAYLOAD};

type Body = UnsyncBoxBody<Bytes, Infallible>;
/// What arrived at the backend, without the body.
type Head = (Method, String, Version, HeaderMap);

/// A backend that speaks this version only, and the heads that it got.
async fn backend(version: Version) -> (SocketAddr, mpsc::UnboundedReceiver<Head>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (heads, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let heads = heads.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (head, body) = request.into_parts();
                let uri = head.uri.to_string();
                let _ = heads.send((head.method, uri, head.version, head.headers));
                let mut response = Response::new(body);
                let connection = HeaderValue::from_static("x-of-the-connection");
                response.headers_mut().insert("connection", connection);
                async move { Ok::<_, Infallible>(response) }
            });
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                if version == Version::HTTP_2 {
                    let builder = conn::http2::Builder::new(TokioExecutor::new());
                    builder.serve_connection(io, service).await
                } else {
                    conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await
                }
            });
        }
    });
    (address, received)
}

/// A request whose body is not signed, and what sends its frames.
fn unsigned(content_type: &str) -> (Request<Body>, mpsc::UnboundedSender<Frame<Bytes>>) {
    let payload = Payload::Declared(UNSIGNED_PAYLOAD);
    let (mut parts, _) = signed_as("AK", "secret", b"", NOW, None, payload).into_parts();
    let content_type = HeaderValue::from_str(content_type).unwrap();
    parts.headers.insert(CONTENT_TYPE, content_type);
    let te = HeaderValue::from_static("trailers");
    parts.headers.insert("te", te);
    let (frames, received) = mpsc::unbounded_channel();
    let frames_of = stream::unfold(received, |mut received| async move {
        let frame = received.recv().await?;
        Some((Ok(frame), received))
    });
    let body = StreamBody::new(frames_of).boxed_unsync();
    (Request::from_parts(parts, body), frames)
}

#[tokio::test]
async fn a_signed_request_reaches_the_backend_without_its_signature() {
    let (address, mut heads) = backend(Version::HTTP_11).await;
    let gateway = Running::before(address);
    let response = gateway
        .over_tls(signed("AK", "secret", b"{}", NOW, None))
        .await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("connection"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{}");
    let (method, target, version, headers) = heads.recv().await.unwrap();
    assert_eq!(
        (method, target.as_str(), version),
        (Method::POST, "/v1/a%2Fb?x=1&a=2", Version::HTTP_11)
    );
    assert_eq!(
        [&headers[HOST], &headers["content-length"]],
        ["localhost", "2"]
    );
    assert!(!headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn http2_and_grpc_reach_the_backend_over_http2_and_stream_both_ways() {
    let (address, mut heads) = backend(Version::HTTP_2).await;
    let gateway = Running::before(address);
    for (content_type, is_http2) in [
        ("text/plain", true),
        ("application/grpc+proto", true),
        ("application/grpc", false),
    ] {
        let (request, frames) = unsigned(content_type);
        let response = if is_http2 {
            gateway.over_http2(with_authority(request)).await
        } else {
            gateway.over_tls(request).await
        };
        let mut body = response.into_body();
        for _ in 0..3 {
            // Each message is sent after the one before has come back.
            frames.send(Frame::data("ping".into())).unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "ping", "{content_type}");
        }
        let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(3))]);
        frames.send(Frame::trailers(sum.clone())).unwrap();
        drop(frames);
        if is_http2 {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_trailers().unwrap(), sum, "{content_type}");
        }
        assert!(body.frame().await.is_none());
        let (_, uri, version, headers) = heads.recv().await.unwrap();
        assert_eq!(
            (uri.as_str(), version, &headers["te"]),
            (
                "http://localhost/v1/a%2Fb?x=1&a=2",
                Version::HTTP_2,
                &HeaderValue::from_static("trailers")
            )
        );
    }
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_backend() {
    let (address, mut heads) = backend(Version::HTTP_2).await;
    let gateway = Running::before(address);
    let (mut forged, _frames) = unsigned("application/grpc");
    let date = HeaderValue::from_static("20200101T000000Z");
    forged.headers_mut().insert("x-sdk-date", date);
    // Refused from the head: the body never ends.
    let response = gateway.over_http2(with_authority(forged)).await;
    assert_eq!(response.status(), 401);
    let (mut parts, _) = signed("AK", "secret", b"{}", NOW, None).into_parts();
    parts.headers.remove("x-stage");
    let request = Request::from_parts(parts, Full::<Bytes>::from("{}"));
    assert_eq!(gateway.over_tls(request).await.status(), 404);
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_a_bad_gateway() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gateway = Running::before(address);
    let (status, code, message) = gateway.code(signed("AK", "secret", b"{}", NOW, None)).await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (502, "APIG.0201", "Backend unavailable.")
    );
}
