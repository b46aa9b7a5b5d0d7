//! Callers with HTTP/2: numbers 81 to 89.

mod floods;
mod frames;
mod grpc;
mod guarded;
mod streams;

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use crate::support::{Answer, SOCKET_TIMEOUT, fields, read_to_end, runtime, send_all};

/// Runs a test on a thread of its own; the proxy and its upstream have theirs.
fn run(test: impl Future<Output = ()>) {
    let runtime = runtime();
    let test = async { timeout(2 * SOCKET_TIMEOUT, test).await };
    LocalSet::new().block_on(&runtime, test).unwrap();
}

/// A caller with HTTP/2 and prior knowledge.
struct Caller {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Caller {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // A stream that is not read must not use up the window of the connection.
        let (sender, connection) = client::Builder::new()
            .initial_window_size(64 * 1024)
            .initial_connection_window_size(16 << 20)
            .handshake(stream)
            .await
            .unwrap();
        Self {
            sender,
            connection: spawn_local(connection),
        }
    }

    /// Sends a head.
    async fn begin(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(request, is_whole)
    }

    /// Sends a GET without waiting for the answer.
    async fn start(&self, url: &str) -> ResponseFuture {
        self.begin(get(url), true).await.unwrap().0
    }

    async fn get(&self, url: &str) -> Answer {
        self.exchange(get(url), "").await
    }

    /// Sends a request and reads the answer.
    async fn exchange(&self, request: Request<()>, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let (answer, mut stream) = self.begin(request, body.is_empty()).await.unwrap();
        if !body.is_empty() {
            send_all(&mut stream, body, true).await.unwrap();
        }
        read(answer.await.unwrap()).await.unwrap()
    }
}

/// Reads an answer to its end.
async fn read(answer: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, body) = answer.into_parts();
    assert!(!head.headers.contains_key("connection"), "{head:?}");
    let (body, trailers) = read_to_end(body).await?;
    Ok(Answer {
        line: String::new(),
        status: head.status.as_u16(),
        headers: [fields("", &head.headers), trailers].concat(),
        body,
    })
}

fn get(url: &str) -> Request<()> {
    Request::get(url).body(()).unwrap()
}

fn post(url: &str, content_type: &str) -> Request<()> {
    Request::post(url)
        .header("content-type", content_type)
        .body(())
        .unwrap()
}
