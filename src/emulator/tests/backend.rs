//! The embedded gateway in front of a backend, which sends back what it receives. Streams of gRPC
//! are tested with its own client.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::running::{Answer, Running};
use super::{NOW, signed, with_authority};

/// The head of a request to the backend.
type Head = (Method, String, HeaderMap);

/// A backend with this version only, and the heads that it receives.
async fn backend(version: Version) -> (SocketAddr, mpsc::UnboundedReceiver<Head>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (heads, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let heads = heads.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (head, body) = request.into_parts();
                let _ = heads.send((head.method, head.uri.to_string(), head.headers));
                let mut response = Response::new(body);
                let hop = HeaderValue::from_static("x");
                response.headers_mut().insert("keep-alive", hop);
                async move { Ok::<_, Infallible>(response) }
            });
            let io = TokioIo::new(stream);
            if version == Version::HTTP_2 {
                let http2 = conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http2.serve_connection(io, service));
            } else {
                tokio::spawn(conn::http1::Builder::new().serve_connection(io, service));
            }
        }
    });
    (address, received)
}

#[tokio::test]
async fn a_signed_request_reaches_the_backend_in_its_version_without_its_signature() {
    for (version, uri) in [
        (Version::HTTP_11, "/v1/a%2Fb?x=1&a=2"),
        (Version::HTTP_2, "http://localhost/v1/a%2Fb?x=1&a=2"),
    ] {
        let (address, mut heads) = backend(version).await;
        let gateway = Running::start(Some(address));
        let send = async |request| {
            let response = if version == Version::HTTP_2 {
                gateway.over_http2(with_authority(request)).await
            } else {
                gateway.over_tls(request).await
            };
            Answer::read(response).await
        };
        let answer = send(signed("AK", "secret", b"{}", NOW, None)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
        assert!(!answer.headers.contains_key("keep-alive"));
        let (method, target, headers) = heads.recv().await.unwrap();
        assert_eq!((method, target.as_str()), (Method::POST, uri));
        assert!(version == Version::HTTP_2 || headers[HOST] == "localhost");
        assert!(!headers.contains_key(AUTHORIZATION));
        // What is refused does not reach it.
        assert_eq!(
            send(signed("AK", "wrong", b"{}", NOW, None)).await.status,
            401
        );
        assert!(heads.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_a_bad_gateway() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gateway = Running::start(Some(address));
    let refused = gateway
        .refused(signed("AK", "secret", b"{}", NOW, None))
        .await;
    let expected = (
        502,
        "APIG.0201".to_owned(),
        "Backend unavailable.".to_owned(),
    );
    assert_eq!(refused, expected);
}
