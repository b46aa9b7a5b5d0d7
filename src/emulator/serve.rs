//! Accepts connections and speaks HTTP on them, for the gateway and for the cloud's services.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::Counts;
use super::cloud::{Cloud, missing};
use super::key_store::KeyStore;
use super::limits::Readings;
use super::observer::{Observation, ReceivedBody};
use super::refusal::{self, Outcome};

/// Time limit for a TLS handshake, and for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest head that is read: more than the gateway accepts, so that its own limits answer and
/// not the parser's.
const MAX_HEAD: u32 = 512 * 1024;

/// What answers requests.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) store: Arc<Mutex<KeyStore>>,
    pub(super) counts: Arc<Counts>,
    pub(super) readings: Readings,
    pub(super) observer: Option<Sender<Observation>>,
    pub(super) cloud: Arc<Cloud>,
}

/// Accepts connections and serves each in a task. The tasks are dropped with the future.
pub(crate) async fn accept<F>(socket: TcpListener, serve: impl Fn(TcpStream) -> F)
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
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection to the gateway, at whose address IAM and STS are too.
pub(super) async fn gateway(stream: TcpStream, acceptor: TlsAcceptor, services: Arc<Services>) {
    let accepting = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream));
    let Ok(Ok(stream)) = accepting.await else {
        tracing::debug!("a TLS handshake with the gateway failed");
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let answer = |request: Request<Incoming>| {
        let services = Arc::clone(&services);
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let response = match services.cloud.answer(request, true).await {
                Ok(response) => response,
                Err(request) => services.answer(request).await,
            };
            let outcome = response.extensions().get::<Outcome>();
            let outcome = outcome.map_or("", |outcome| outcome.0);
            tracing::info!("gateway: {line} {} {outcome}", response.status().as_u16());
            response
        }
    };
    serve(stream, is_http2, answer).await;
}

/// Serves a connection to the cloud's services.
pub(super) async fn cloud(stream: TcpStream, services: Arc<Services>) {
    let answer = |request: Request<Incoming>| {
        let services = Arc::clone(&services);
        async move {
            let answered = services.cloud.answer(request, false).await;
            answered.unwrap_or_else(|_| missing())
        }
    };
    serve(stream, false, answer).await;
}

impl Services {
    /// Answers a request to the gateway, and tells the observer of it.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let (mut head, incoming) = request.into_parts();
        let mut body = ReceivedBody::default();
        let judged = self.verify(start, &mut head, incoming, &mut body).await;
        let response = refusal::response(judged);
        if let Some(observer) = &self.observer {
            // It may have ended, or be too slow: then the observation is lost.
            let _ = observer.try_send(Observation {
                start,
                head,
                body,
                response: response.clone(),
            });
        }
        response.map(Full::from)
    }
}

/// Speaks HTTP on a connection. The limits against floods of resets, CONTINUATION and the like are
/// hyper's own.
pub(crate) async fn serve<S, F, B>(
    stream: S,
    is_http2: bool,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let io = TokioIo::new(stream);
    let served = if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD);
        builder.serve_connection(io, service).await
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(MAX_HEAD as usize)
            .max_buf_size(MAX_HEAD as usize)
            .max_headers(1000);
        builder.serve_connection(io, service).await
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the gateway ended early");
    }
}
