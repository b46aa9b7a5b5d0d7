//! Requests to be counted in instructions: a signed GET, and a signed POST with 1 KiB of JSON.
//!
//! A time on a machine that others use says little; how many instructions a request takes says the same
//! each time. `instructions.py` runs this under Valgrind for few requests and for many: the difference is
//! what the requests took, without the start. What is counted is the pipeline, from the bytes of a request
//! to the last byte of its answer, and the runtime below it, but not TLS. The upstream is a process of its
//! own, which Valgrind leaves alone.
//!
//! ```text
//! instructions get|post COUNT    sends so many requests through the pipeline
//! instructions upstream          answers requests on a free loopback port, until its input ends
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on has failed, and it speaks to whoever runs it"
)]

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use apig_proxy::clock;
use apig_proxy::config::with_upstream;
use apig_proxy::credentials::{Credentials, Supply, needs};
use apig_proxy::guard::{Guard, ListenerKind};
use apig_proxy::http1::{Caller, Incoming, RequestHead, Scanner, Transport, Wire};
use apig_proxy::listener::network;
use apig_proxy::proxy::{Current, Keyring, Pipeline, Proxy, Request, Response, Settings};
use apig_proxy::telemetry::access::End;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::LocalSet;
use tower::Service;

const GET: &str = "GET /v1/items?limit=10&marker=13551d6b-755d-4757-b956-536f674975c0 HTTP/1.1\r\n\
    Host: localhost:8080\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n\
    Accept-Encoding: gzip\r\n\r\n";

const POST: &str = "POST /v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53 HTTP/1.1\r\n\
    Host: localhost:8080\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n\
    Accept-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n";

const ANSWER: &str = r#"{"request_id":"7c1d5a7e0f6b4b0f9f5c2f0f7d1a2b3c","status":"ACTIVE","items":[{"id":1,"name":"alpha","size":1024},{"id":2,"name":"beta","size":2048}],"total":2}"#;

/// How many requests are sent to see that all is well, when nothing is to be counted.
const FEW: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["upstream"] => upstream(),
        ["get", count] => send(GET.as_bytes(), count.parse().unwrap()),
        ["post", count] => send(&post(), count.parse().unwrap()),
        _ => {
            send(GET.as_bytes(), FEW);
            send(&post(), FEW);
            println!("requests are answered; tests/bench/instructions.py counts what they take");
        }
    }
}

fn post() -> Vec<u8> {
    let body = format!("{{\"data\":\"{}\"}}", "abcdefghijklmnop".repeat(64));
    let body = [&body.as_bytes()[..1022], b"\"}"].concat();
    [POST.as_bytes(), &body].concat()
}

/// Sends a request so many times, each when the one before was answered.
fn send(request: &[u8], count: usize) {
    let upstream = Upstream::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let pipeline = pipeline(&upstream.url);
        let tended = Rc::clone(pipeline.upstream());
        tokio::task::spawn_local(async move { tended.tend().await });
        let mut service = Proxy::layered(Rc::new(Current::new(pipeline)));
        let caller = Rc::new(RefCell::new(Caller::new(Wire::new(Silent))));
        for _ in 0..count {
            exchange(&mut service, &caller, request).await;
        }
    });
}

fn pipeline(url: &str) -> Pipeline {
    let config = with_upstream(url).unwrap();
    let credentials = Credentials {
        access_key: "QTWAOYTTINDUT2QVKYUC".to_owned(),
        secret_key: "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc".into(),
        security_token: None,
    };
    let supply = Supply::fixed(needs(&config)[0], "default", &credentials);
    let guard = Guard::new(&config.access, &["127.0.0.1:8080".parse().unwrap()]);
    let settings = Settings::new(&config, guard, Keyring::new(&config, &[supply]));
    Pipeline::new(Arc::new(settings), network(&config).unwrap(), 1).unwrap()
}

/// Has one request answered, from its bytes as a caller's connection has them.
async fn exchange<S>(service: &mut S, caller: &Rc<RefCell<Caller>>, request: &[u8])
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let head = {
        let mut caller = caller.borrow_mut();
        let input = caller.wire.input();
        input.extend_from_slice(request);
        let span = Scanner::default().find(input, request.len()).unwrap();
        let head = input.split_to(span.unwrap().end).freeze();
        let head = RequestHead::parse(&head).unwrap();
        caller.begin(&head);
        head
    };
    let body = Incoming::new(Rc::clone(caller), head.framing);
    let answering = service.call(Request {
        head,
        body,
        listener: ListenerKind::Tcp,
    });
    let Ok(mut response) = answering.await;
    let mut length = 0;
    while let Some(piece) = poll_fn(|cx| response.body.poll_piece(cx)).await {
        length += piece.unwrap().len();
    }
    assert_eq!((response.status, length), (200, ANSWER.len()));
    response.flight.take().unwrap().ended(End::Whole);
    caller.borrow_mut().wire.rest();
}

/// A caller's connection on which nothing comes but what was put into its input.
#[derive(Debug)]
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Silent {
    fn reset_on_close(&mut self) {}

    fn end_on_close(&mut self) {}

    fn has_failed(&mut self) -> bool {
        false
    }
}

/// The upstream as a process of its own. It ends with this one.
struct Upstream {
    url: String,
    process: Child,
}

impl Upstream {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("upstream")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut port).unwrap();
        Self {
            url: format!("http://127.0.0.1:{}", port.trim()),
            process,
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has nothing to do but to end.
        let _ = self.process.wait();
    }
}

/// Answers whatever comes, until the input ends.
fn upstream() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Answers the requests of one connection, each once it has come as a whole.
fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let (mut input, mut piece) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(read) = stream.read(&mut piece)
        && read > 0
    {
        input.extend_from_slice(&piece[..read]);
        if length(&input) == Some(input.len()) {
            input.clear();
            stream.write_all(answer().as_bytes()).unwrap();
        }
    }
}

/// How long a request is whose head has come.
fn length(input: &[u8]) -> Option<usize> {
    let span = Scanner::default().find(input, input.len()).unwrap()?;
    let head = RequestHead::parse(&input[..span.end].to_vec().into()).unwrap();
    assert!(head.fields.first("authorization").is_some());
    let body = head.fields.first("content-length");
    let body = body.map_or(0, |text| str::from_utf8(text).unwrap().parse().unwrap());
    Some(span.end + body)
}

fn answer() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nserver: bench\r\ndate: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nx-request-id: 7c1d5a7e0f6b4b0f9f5c2f0f7d1a2b3c\r\n\
         strict-transport-security: max-age=31536000\r\n\r\n{ANSWER}",
        clock::http_date(),
        ANSWER.len()
    )
}
