//! The server with services of the tests, against callers that write and read bytes.

mod eviction;
mod http2;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use h2::Reason;
use h2::client::{self, ResponseFuture, SendRequest};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;

use super::accept::{Accepted, ConnectionPermit};
use super::connection;
use super::registry::{ConnectionLimits, Registry, Shutdown};
use crate::config::ListenRules;
use crate::proxy::CallerConnection;

const LIMITS: ConnectionLimits = ConnectionLimits {
    header_read: Duration::from_secs(10),
    keep_alive: Duration::from_secs(75),
    write_idle: Duration::from_secs(300),
    max_header: 16 * 1024,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

type TestBody = Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>;

/// Answers a path.
trait Handler: Fn(&str, &CallerConnection) -> Response<TestBody> + 'static {}

impl<F: Fn(&str, &CallerConnection) -> Response<TestBody> + 'static> Handler for F {}

/// A worker whose connections are served by closures.
#[derive(Clone)]
struct Worker {
    registry: Rc<Registry>,
    permits: Arc<Semaphore>,
}

impl Worker {
    fn new() -> Self {
        Self::with_permits(100)
    }

    fn with_permits(permits: usize) -> Self {
        let permits = Arc::new(Semaphore::new(permits));
        let answer = |_: &_| Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let registry = Registry::new(LIMITS, Arc::clone(&permits), Rc::new(answer), false);
        spawn_local(Rc::clone(&registry).watch(Shutdown::default()));
        Self { registry, permits }
    }

    fn serve(
        &self,
        accepted: Accepted,
        permit: ConnectionPermit,
        handler: impl Handler,
    ) -> JoinHandle<()> {
        let make = |caller: Rc<CallerConnection>| {
            let answer = move |request: &Request<Incoming>| handler(request.uri().path(), &caller);
            tower::service_fn(move |request| std::future::ready(Ok(answer(&request))))
        };
        let registry = Rc::clone(&self.registry);
        let connected = (accepted, ListenRules::default());
        spawn_local(connection::serve(connected, permit, registry, make))
    }

    fn permit(&self) -> ConnectionPermit {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        (permit.expect("a permit is left"), Arc::default())
    }

    /// A caller in memory.
    fn connect(&self, handler: impl Handler) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.serve(Accepted::Duplex(near), self.permit(), handler);
        far
    }
}

/// Runs a test on one thread. Time that passes is virtual if the clock is paused.
async fn local<T>(test: impl Future<Output = T>) -> T {
    let test = tokio::time::timeout(Duration::from_secs(24 * 3600), test);
    LocalSet::new().run_until(test).await.expect("it ends")
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<TestBody> {
    let body = Full::new(body.into()).map_err(|never| -> io::Error { match never {} });
    let mut response = Response::new(Box::pin(body) as TestBody);
    *response.status_mut() = status;
    response
}

/// As [`answer`], with `Connection: close`.
fn last_answer(status: StatusCode, body: &'static str) -> Response<TestBody> {
    let mut response = answer(status, body);
    let close = "close".parse().unwrap();
    response.headers_mut().insert("connection", close);
    response
}

/// Answers without a body; refuses `/refused` as the guard does.
fn ok(path: &str, caller: &CallerConnection) -> Response<TestBody> {
    if path == "/refused" {
        caller.refused();
        return last_answer(StatusCode::FORBIDDEN, "");
    }
    answer(StatusCode::OK, "")
}

/// A body of so many equal pieces, which then ends or hangs.
fn pieces(count: usize, piece: Vec<u8>, ends: bool) -> Response<TestBody> {
    let frame = move || Ok(Frame::data(Bytes::from(piece.clone())));
    let frames = stream::repeat_with(frame).take(count);
    let body: TestBody = match ends {
        true => Box::pin(StreamBody::new(frames)),
        false => Box::pin(StreamBody::new(frames.chain(stream::pending()))),
    };
    Response::new(body)
}

/// Reads one answer without a body.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
}

/// Reads until the server closes.
async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

#[tokio::test(start_paused = true)]
async fn changed_limits_apply_to_open_connections() {
    local(async {
        let worker = Worker::new();
        let mut caller = worker.connect(ok);
        caller.write_all(GET).await.unwrap();
        read_answer(&mut caller).await;
        let mut limits = LIMITS;
        limits.keep_alive = Duration::from_secs(20);
        worker.registry.limits.set(limits);
        let start = Instant::now();
        assert_eq!(read_all(&mut caller).await, "");
        assert!((20..22).contains(&start.elapsed().as_secs()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_decides_how_long_the_connection_lingers() {
    type Prepare = fn(&CallerConnection);
    const POST: &str = "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n";
    let cases: [(&str, Prepare, u64); 4] = [
        ("GET / HTTP/1.1\r\n\r\n", |_| {}, 1),
        (POST, |_| {}, 10),
        (POST, |caller| caller.request_is_read.set(true), 1),
        (POST, CallerConnection::refused, 1),
    ];
    for (request, prepare, seconds) in cases {
        local(async {
            let (near, mut caller) = tokio::io::duplex(1024);
            let handler = move |_: &str, caller: &CallerConnection| {
                prepare(caller);
                last_answer(StatusCode::OK, "")
            };
            let worker = Worker::new();
            let served = worker.serve(Accepted::Duplex(near), worker.permit(), handler);
            caller.write_all(request.as_bytes()).await.unwrap();
            read_all(&mut caller).await;
            let start = Instant::now();
            served.await.unwrap();
            assert_eq!(start.elapsed().as_secs(), seconds, "{request:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn little_is_read_after_a_refusal_of_the_guard() {
    local(async {
        let mut caller = Worker::new().connect(ok);
        let head = b"POST /refused HTTP/1.1\r\ncontent-length: 90000000\r\n\r\n";
        caller.write_all(head).await.unwrap();
        let (piece, mut sent) = (vec![0; 16 * 1024], 0);
        while caller.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        assert!(sent < 400 * 1024, "{sent}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_400_of_the_service_passes_as_it_is() {
    local(async {
        let handler = |_: &str, _: &CallerConnection| last_answer(StatusCode::BAD_REQUEST, "");
        let mut caller = Worker::new().connect(handler);
        caller.write_all(GET).await.unwrap();
        let all = read_all(&mut caller).await;
        assert!(all.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{all}");
        assert!(all.contains("content-length: 0\r\n"), "{all}");
    })
    .await;
}
