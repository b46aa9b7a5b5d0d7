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
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use crate::support::{SOCKET_TIMEOUT, runtime, send_all};

/// Runs a test on a thread of its own; the proxy and its upstream have theirs.
fn run(test: impl Future<Output = ()>) {
    let runtime = runtime();
    let test = async { timeout(2 * SOCKET_TIMEOUT, test).await };
    LocalSet::new().block_on(&runtime, test).unwrap();
}

/// A caller that speaks HTTP/2 at once.
struct Caller {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer that was read to its end.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Caller {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // One stream that is not read must not take the room of the others.
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

    async fn get(&self, url: &str) -> Reply {
        let request = Request::get(url).body(()).unwrap();
        self.exchange(request, "").await.unwrap()
    }

    /// Sends a request and reads the answer.
    async fn exchange(
        &self,
        request: Request<()>,
        body: impl Into<Bytes>,
    ) -> Result<Reply, h2::Error> {
        let body = body.into();
        let (answer, mut stream) = self.begin(request, body.is_empty()).await?;
        if !body.is_empty() {
            send_all(&mut stream, body, true).await?;
        }
        Reply::read(answer.await?).await
    }
}

impl Reply {
    async fn read(answer: Response<RecvStream>) -> Result<Self, h2::Error> {
        let (head, mut rest) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(piece) = rest.data().await {
            let piece = piece?;
            rest.flow_control().release_capacity(piece.len())?;
            body.extend_from_slice(&piece);
        }
        Ok(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            trailers: rest.trailers().await?,
        })
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Status and code of an answer of the proxy's own, whose shape is checked.
    fn refused(&self) -> (u16, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("x-request-id"), body["request_id"]);
        assert!(!self.headers.contains_key("connection"), "{self:?}");
        let code = body["error_code"].as_str().unwrap();
        (self.status, code.strip_prefix("PROXY.").unwrap().to_owned())
    }
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
