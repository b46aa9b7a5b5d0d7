//! Accepts connections and speaks HTTP on them, for the gateway and for the cloud's services.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::backend::{Backend, Body, BoxError};
use super::cloud::{Cloud, Door, Endpoint, missing};
use super::judgement::Gateway;
use super::reply;

/// How long a caller may take for a TLS handshake, and for a head.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long accepting pauses after it failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest head that is read: more than the gateway takes, so that its own limits answer and not the
/// parser's.
const HEAD: u32 = 512 * 1024;

/// Accepts connections for ever, and serves each. Those that run are dropped with it.
pub(super) async fn accept<F>(socket: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match socket.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream));
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves a connection to the gateway, behind which IAM and STS are found too.
pub(super) async fn gateway(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    gateway: Arc<Gateway>,
    cloud: Arc<Cloud>,
    backend: Option<Backend>,
) {
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
        tracing::debug!("a TLS handshake with the gateway failed");
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let answer = |request: Request<Incoming>| {
        let (gateway, cloud) = (Arc::clone(&gateway), Arc::clone(&cloud));
        async move {
            match Endpoint::find(Door::Gateway, request.method(), request.uri().path()) {
                Some(endpoint) => cloud.answer(endpoint, request).await.map(whole),
                None => answer(&gateway, backend, request).await,
            }
        }
    };
    if is_http2 {
        http2(stream, answer).await;
    } else {
        http1(stream, answer).await;
    }
}

/// Answers a request to the gateway itself.
async fn answer(
    gateway: &Gateway,
    backend: Option<Backend>,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some(backend) = backend else {
        return reply::response(gateway.judge(request).await).map(whole);
    };
    let response = match gateway.judge_for_backend(request).await {
        Ok(request) => backend.send(request).await,
        Err(refused) => Err(refused),
    };
    response.unwrap_or_else(|refused| reply::response(Err(refused)).map(whole))
}

fn whole(body: Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// Serves a connection to the cloud's services.
pub(super) async fn cloud(stream: TcpStream, cloud: Arc<Cloud>) {
    let answer = |request: Request<Incoming>| {
        let cloud = Arc::clone(&cloud);
        async move {
            match Endpoint::find(Door::Services, request.method(), request.uri().path()) {
                Some(endpoint) => cloud.answer(endpoint, request).await,
                None => missing(),
            }
        }
    };
    http1(stream, answer).await;
}

async fn http1<S, F, B>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<B>>,
    B: hyper::body::Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_header_size(HEAD as usize)
        .max_buf_size(HEAD as usize)
        .max_headers(1000)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    log_end(served);
}

async fn http2<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move {
            let mut response = answered.await;
            // HTTP/2 closes with GOAWAY, and has no such header.
            response.headers_mut().remove(CONNECTION);
            Ok::<_, Infallible>(response)
        }
    });
    // The limits against floods of resets, CONTINUATION and the like are hyper's own.
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    log_end(served);
}

fn log_end(served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the gateway ended early");
    }
}
