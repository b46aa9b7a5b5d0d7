//! The client against gateways that are raw sockets, so that they can break every rule.

mod http1;
mod http2;
mod pool;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::pool::*;
use super::*;
use crate::config::{UpstreamTls, with_upstream};
use crate::error::{Cause, Retry};

type TestBody = Pin<Box<dyn Body<Data = Bytes, Error = Cause>>>;

const LIMITS: AnswerLimits = AnswerLimits {
    bytes: 256 * 1024,
    fields: AnswerLimits::MAX_FIELDS,
};

const POOL: PoolConfig = PoolConfig {
    connections: 9,
    idle: Duration::from_secs(50),
    age: Duration::from_secs(600),
    http2: true,
};

/// Runs a test as a worker runs its tasks, for at most 20 seconds.
fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let limited = timeout(Duration::from_secs(20), test);
        limited.await.expect("the test has to come to an end");
    });
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// A gateway that the test plays.
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

    async fn dial(&self) -> Transport {
        Either::Left(TcpStream::connect(self.address).await.unwrap())
    }

    fn upstream(&self) -> Upstream<TestBody> {
        let config = with_upstream(&format!("http://{}", self.address)).unwrap();
        let network = Network {
            tls: TlsSettings::new(&UpstreamTls::default()).unwrap(),
            resolver: Resolver::system(),
        };
        let mut upstream = Upstream::new(network, &POOL, Duration::from_secs(5), LIMITS, 1);
        assert_eq!(upstream.add(&config.routes[0]), 0);
        upstream
    }

    /// A new connection, seen from both ends, and the statistics of its pool.
    async fn connected(&self) -> (Connection<TestBody>, Link, PoolStats) {
        let upstream = self.upstream();
        let acquired = upstream.acquire(0, Reuse::Any, Mode::Exclusive);
        let (acquired, link) = tokio::join!(acquired, self.accept());
        (acquired.unwrap().0, link, stats(&upstream))
    }
}

fn stats(upstream: &Upstream<TestBody>) -> PoolStats {
    upstream.pool_stats().next().unwrap().1
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
        // The client may close before it was written to its end.
        let _ = self.0.write_all(answer.as_bytes()).await;
    }

    /// Closes the connection with a reset.
    fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO))
    }
}

fn post(body: TestBody) -> Request<TestBody> {
    Request::builder()
        .method("POST")
        .uri("/v1/a?b=c")
        .header("host", "gateway.example")
        .header("authorization", "SDK-HMAC-SHA256 x")
        .body(body)
        .unwrap()
}

fn abc() -> Request<TestBody> {
    post(Box::pin(Full::from("abc").map_err(|never| match never {})))
}

fn get() -> Request<TestBody> {
    let mut request = post(Box::pin(Empty::new().map_err(|never| match never {})));
    *request.method_mut() = http::Method::GET;
    request
}

async fn text(answer: http::Response<GatewayBody>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
