//! The server with toy services, against callers that write and read bytes.

mod accepting;
mod closing;
mod draining;
mod http1;
mod http2;
mod malformed;
mod tls;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, LocalSet};
use tower::Service;

use super::accept::Accepted;
use super::connection::{ConnectionContext, serve};
use super::registry::{Drain, Registry};
use super::tracked::IdleLimits;
use crate::proxy::{BareAnswer, CallerConnection};

/// Nothing in these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

const LIMITS: IdleLimits = IdleLimits {
    header_read: Duration::from_secs(10),
    keep_alive: Duration::from_secs(75),
    write_idle: Duration::from_secs(300),
};

type ToyBody = Pin<Box<dyn Body<Data = Bytes, Error = io::Error>>>;

/// A worker whose connections are served with toy services.
#[derive(Clone)]
struct Toy {
    context: Rc<ConnectionContext>,
    drain: Drain,
    bare_answers: Rc<RefCell<Vec<BareAnswer>>>,
}

impl Toy {
    fn new() -> Self {
        Self::with(LIMITS, 100)
    }

    fn with(limits: IdleLimits, permits: usize) -> Self {
        let bare_answers = Rc::<RefCell<Vec<_>>>::default();
        let counted = Rc::clone(&bare_answers);
        let context = ConnectionContext {
            registry: Rc::new(Registry::new(limits)),
            permits: Arc::new(Semaphore::new(permits)),
            max_header: Cell::new(16 * 1024),
            bare_answer: Rc::new(move |answer| {
                counted.borrow_mut().push(answer);
                let text = format!("{answer:?}");
                let length = text.len();
                format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}").into()
            }),
            is_admin: false,
        };
        let (toy, drain) = (Rc::new(context), Drain::default());
        let (context, watched) = (Rc::clone(&toy), drain.clone());
        tokio::task::spawn_local(async move { context.registry.watch(watched).await });
        Self {
            context: toy,
            drain,
            bare_answers,
        }
    }

    fn serve<F, Fut>(&self, accepted: Accepted, handler: F) -> JoinHandle<()>
    where
        F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
        Fut: Future<Output = Response<ToyBody>> + 'static,
    {
        let context = Rc::clone(&self.context);
        tokio::task::spawn_local(async move {
            serve(accepted, &context, |caller| ToyService { handler, caller }).await;
        })
    }

    /// A caller in memory, with room for so many bytes on the way.
    fn connect<F, Fut>(&self, handler: F) -> DuplexStream
    where
        F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
        Fut: Future<Output = Response<ToyBody>> + 'static,
    {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.serve(Accepted::Duplex(near), handler);
        far
    }

    async fn connect_tcp<F, Fut>(&self, handler: F) -> TcpStream
    where
        F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
        Fut: Future<Output = Response<ToyBody>> + 'static,
    {
        let (near, far) = tcp_pair().await;
        self.serve(Accepted::Tcp(near), handler);
        far
    }
}

async fn tcp_pair() -> (std::net::TcpStream, TcpStream) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(address), socket.accept());
    (near.unwrap().0.into_std().unwrap(), far.unwrap())
}

struct ToyService<F> {
    handler: F,
    caller: Rc<CallerConnection>,
}

impl<F, Fut> Service<Request<Incoming>> for ToyService<F>
where
    F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut,
    Fut: Future<Output = Response<ToyBody>>,
{
    type Response = Response<ToyBody>;
    type Error = Infallible;
    type Future = Answered<Fut>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Answered(Box::pin((self.handler)(request, Rc::clone(&self.caller))))
    }
}

struct Answered<Fut>(Pin<Box<Fut>>);

impl<Fut: Future<Output = Response<ToyBody>>> Future for Answered<Fut> {
    type Output = Result<Response<ToyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

/// Runs a test on one thread, within the deadline.
async fn local<T>(test: impl Future<Output = T>) -> T {
    let test = tokio::time::timeout(Duration::from_secs(24 * 3600), test);
    LocalSet::new().run_until(test).await.expect("it ends")
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<ToyBody> {
    let body = Full::new(body.into()).map_err(|never| -> io::Error { match never {} });
    let mut response = Response::new(Box::pin(body) as ToyBody);
    *response.status_mut() = status;
    response
}

/// Answers with the path of the request.
async fn echo_path(request: Request<Incoming>, _: Rc<CallerConnection>) -> Response<ToyBody> {
    answer(StatusCode::OK, request.uri().path().to_owned())
}

/// A body that gives so many pieces, then ends, fails or hangs.
struct Pieces {
    left: usize,
    piece: Bytes,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Broken,
    Hanging,
}

impl Pieces {
    fn response(left: usize, piece: impl Into<Bytes>, end: End) -> Response<ToyBody> {
        let piece = piece.into();
        Response::new(Box::pin(Self { left, piece, end }))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))));
        }
        match self.end {
            End::Good => Poll::Ready(None),
            End::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            End::Hanging => Poll::Pending,
        }
    }
}

/// Tells whether a future was dropped.
#[derive(Clone, Default)]
struct Dropped(Rc<Cell<usize>>);

impl Dropped {
    fn guard(&self) -> impl Drop + use<> {
        struct Guard(Rc<Cell<usize>>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        Guard(Rc::clone(&self.0))
    }

    fn count(&self) -> usize {
        self.0.get()
    }

    async fn reaches(&self, count: usize) {
        for _ in 0..2000 {
            if self.count() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} of {count} futures were dropped", self.count());
    }
}

/// Reads one answer that has a length: its head, and its body.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
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
