//! The client against gateways that are raw sockets, so that they can break every rule.

mod egress;
mod http1;
mod http2;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::config::{Config, with_upstream};

type TestBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

const LIMITS: AnswerLimits = AnswerLimits {
    bytes: 256 * 1024,
    fields: AnswerLimits::MAX_FIELDS,
};

/// Runs a test as a worker runs its tasks, for at most 20 seconds.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let limited = timeout(Duration::from_secs(20), test);
        limited.await.expect("the test has to come to an end");
    });
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// A gateway of which the test plays the part.
struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
}

impl Gateway {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    async fn accept(&self) -> Link {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Link(stream)
    }

    fn config(&self, scheme: &str) -> Config {
        with_upstream(&format!("{scheme}://{}", self.address)).unwrap()
    }

    fn upstream(&self) -> (Rc<Upstream<TestBody>>, OriginId) {
        self.upstream_with("http", &[], |_| {})
    }

    fn upstream_with(
        &self,
        scheme: &str,
        roots: &[CertificateDer<'static>],
        change: impl FnOnce(&mut PoolConfig),
    ) -> (Rc<Upstream<TestBody>>, OriginId) {
        let mut config = self.config(scheme);
        change(&mut config.pool);
        let network = Network {
            tls: TlsSettings::new(roots).unwrap(),
            resolver: Resolver::system(),
        };
        let limit = Duration::from_secs(5);
        let mut upstream = Upstream::new(network, &config.pool, limit, LIMITS, 1);
        let origin = upstream.add(&config.routes[0]).unwrap();
        (Rc::new(upstream), origin)
    }

    /// A new connection, seen from both ends.
    async fn connected(&self) -> (Connection<TestBody>, Link) {
        let (upstream, origin) = self.upstream();
        let acquired = upstream.acquire(origin, Reuse::Any, Mode::Exclusive);
        let (acquired, link) = tokio::join!(acquired, self.accept());
        (acquired.unwrap().0, link)
    }
}

/// A connection, on the gateway's side.
struct Link(TcpStream);

impl Link {
    /// Reads the head of a request.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads a request without a body and answers it.
    async fn answer(&mut self, answer: &str) {
        self.head().await;
        self.write(answer).await;
    }

    /// Whether the client has closed the connection.
    async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = timeout(Duration::from_secs(5), self.0.read(&mut byte)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }
}

fn empty() -> TestBody {
    Box::pin(Empty::new().map_err(|never| match never {}))
}

fn full(bytes: impl Into<Bytes>) -> TestBody {
    Box::pin(Full::new(bytes.into()).map_err(|never| match never {}))
}

type Pieces = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

/// A body of which the test sends the pieces.
fn streamed() -> (Pieces, TestBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let pieces = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, Box::pin(StreamBody::new(pieces)))
}

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(bytes.into()))
}

fn request(method: &str, body: TestBody) -> Request<TestBody> {
    Request::builder()
        .method(method)
        .uri("/v1/a?b=c")
        .header("host", "gateway.example")
        .header("authorization", "SDK-HMAC-SHA256 x")
        .body(body)
        .unwrap()
}

fn get() -> Request<TestBody> {
    request("GET", empty())
}

async fn text(answer: http::Response<hyper::body::Incoming>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[derive(Debug, thiserror::Error)]
#[error("the caller went away")]
struct CallerGone;

fn has_body_error(error: &SendError) -> bool {
    matches!(error, SendError::RequestBody(cause) if cause.is::<CallerGone>())
}

/// Closes a connection with a reset.
fn reset(link: Link) -> io::Result<()> {
    socket2::SockRef::from(&link.0).set_linger(Some(Duration::ZERO))?;
    drop(link);
    Ok(())
}
