//! Requests to be counted in instructions: a signed GET, and a signed POST with 1 KiB of JSON.
//!
//! A time on a machine that others use says little; how many instructions a request takes says the same
//! each time. `instructions.py` runs this under Valgrind for few requests and for many: the difference is
//! what the requests took, without the start. What is counted is hyper and the pipeline, from the bytes of a request
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

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use apig_proxy::clock;
use apig_proxy::config::with_upstream;
use apig_proxy::credentials::{Credentials, Source, requirements};
use apig_proxy::proxy::guard::{Guard, ListenerKind};
use apig_proxy::proxy::{self, CallerConnection, Current, Pipeline, RouteCredentials, Settings};
use apig_proxy::server::network;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};

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
        let caller = CallerConnection::new(ListenerKind::Tcp, Default::default()).into();
        let service = proxy::service(Rc::new(Current::new(pipeline.into())), caller);
        let (near, mut far) = duplex(64 * 1024);
        let service = TowerToHyperService::new(service);
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(near), service));
        for _ in 0..count {
            exchange(&mut far, request).await;
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
    let source = Source::fixed(requirements(&config)[0], "default", &credentials);
    let guard = Guard::new(&config.access, &["127.0.0.1:8080".parse().unwrap()]);
    let settings = Settings::new(&config, guard, RouteCredentials::new(&config, &[source]));
    Pipeline::new(Arc::new(settings), network(&config).unwrap(), 1, None)
}

/// Sends one request, and reads its answer to the end.
async fn exchange(caller: &mut DuplexStream, request: &[u8]) {
    caller.write_all(request).await.unwrap();
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(ANSWER.as_bytes()) {
        assert!(caller.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
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
    let head = input.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = str::from_utf8(&input[..head]).unwrap();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    assert!(value("authorization: ").is_some());
    let body = value("content-length: ").map_or(0, |length| length.parse().unwrap());
    Some(head + body)
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
