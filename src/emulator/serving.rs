//! Accepts connections and speaks HTTP on them, for the gateway and for the cloud's services.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::cloud::{Cloud, Door, Endpoint, missing};
use super::judgement::Gateway;
use super::reply;

/// How long a caller may take for a TLS handshake, and for a head.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long accepting pauses after it failed.
const PAUSE: Duration = Duration::from_millis(100);

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
) {
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
        tracing::debug!("a TLS handshake with the gateway failed");
        return;
    };
    let answer = |request: Request<Incoming>| {
        let (gateway, cloud) = (Arc::clone(&gateway), Arc::clone(&cloud));
        async move {
            match Endpoint::find(Door::Gateway, request.method(), request.uri().path()) {
                Some(endpoint) => cloud.answer(endpoint, request).await,
                None => reply::response(gateway.judge(request).await),
            }
        }
    };
    http(stream, answer).await;
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
    http(stream, answer).await;
}

async fn http<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // More than the gateway takes, so that its own limits answer and not the parser's.
        .max_header_size(512 * 1024)
        .max_buf_size(512 * 1024)
        .max_headers(1000)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the gateway ended early");
    }
}
