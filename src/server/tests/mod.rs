//! The server with services of the tests, against callers that write and read bytes.

mod accepting;
mod http1;
mod http2;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;

use super::accept::{Accepted, ConnectionPermit};
use super::connection;
use super::registry::{ConnectionLimits, Registry, Shutdown};
use crate::config::ListenRules;
use crate::proxy::{BareAnswer, CallerConnection};

const LIMITS: ConnectionLimits = ConnectionLimits {
    header_read: Duration::from_secs(10),
    keep_alive: Duration::from_secs(75),
    write_idle: Duration::from_secs(300),
    max_header: 16 * 1024,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

type TestBody = Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>;

/// A worker whose connections are served by closures.
#[derive(Clone)]
struct Worker {
    registry: Rc<Registry>,
    permits: Arc<Semaphore>,
    shutdown: Shutdown,
    bare_answers: Rc<RefCell<Vec<BareAnswer>>>,
}

impl Worker {
    fn new() -> Self {
        Self::with_permits(100)
    }

    fn with_permits(permits: usize) -> Self {
        let bare_answers = Rc::<RefCell<Vec<_>>>::default();
        let counted = Rc::clone(&bare_answers);
        let permits = Arc::new(Semaphore::new(permits));
        let answer = move |answer| {
            counted.borrow_mut().push(answer);
            let text = format!("{answer:?}");
            let length = text.len();
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n\r\n{text}").into()
        };
        let registry = Registry::new(LIMITS, Arc::clone(&permits), Rc::new(answer), false);
        let shutdown = Shutdown::default();
        spawn_local(Rc::clone(&registry).watch(shutdown.clone()));
        Self {
            registry,
            permits,
            shutdown,
            bare_answers,
        }
    }

    fn serve<F, Fut>(
        &self,
        accepted: Accepted,
        permit: Option<ConnectionPermit>,
        handler: F,
    ) -> JoinHandle<()>
    where
        F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
        Fut: Future<Output = Response<TestBody>> + 'static,
    {
        let make = |caller: Rc<CallerConnection>| {
            tower::service_fn(move |request| handler(request, Rc::clone(&caller)).map(Ok))
        };
        let registry = Rc::clone(&self.registry);
        let connected = (accepted, ListenRules::default());
        spawn_local(connection::serve(connected, permit, registry, make))
    }

    /// A caller in memory.
    fn connect<F, Fut>(&self, handler: F) -> DuplexStream
    where
        F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
        Fut: Future<Output = Response<TestBody>> + 'static,
    {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.serve(Accepted::Duplex(near), None, handler);
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

/// Answers with the path of the request.
async fn echo_path(request: Request<Incoming>, _: Rc<CallerConnection>) -> Response<TestBody> {
    answer(StatusCode::OK, request.uri().path().to_owned())
}

/// A body of so many equal pieces, which then ends or hangs.
struct Pieces {
    left: usize,
    piece: Bytes,
    ends: bool,
}

impl Pieces {
    fn response(left: usize, piece: impl Into<Bytes>, ends: bool) -> Response<TestBody> {
        let piece = piece.into();
        Response::new(Box::pin(Self { left, piece, ends }))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return if self.ends {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}

/// Reads one answer that has a length: its head, and its body.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Reads until the server closes.
async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}
