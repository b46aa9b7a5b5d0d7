//! Asks a running proxy whether it is alive or ready, or to stop: for images that have no shell and no curl.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::AdminAddress;
use crate::server::QUIT_IS_OFF;

/// The longest that connecting may take, and then the answer. Probes have a limit of their own, usually
/// shorter.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// The shortest limit, so that a proxy on this machine can answer at all.
const MIN_WAIT: Duration = Duration::from_millis(10);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4096;

/// What a proxy can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether the process serves.
    Live,
    /// Whether it takes requests.
    Ready,
    /// To finish running requests and end.
    Quit,
}

impl Question {
    fn request(self, host: &str) -> http::Result<Request<Empty<Bytes>>> {
        let (method, path) = match self {
            Self::Live => (Method::GET, "/livez"),
            Self::Ready => (Method::GET, "/readyz"),
            Self::Quit => (Method::POST, "/quitquitquit"),
        };
        let mut request = Request::builder().uri(path).header(HOST, host);
        if method == Method::POST {
            request = request.header(CONTENT_LENGTH, "0");
        }
        let request = request.method(method).header(CONNECTION, "close");
        request.body(Empty::new())
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Quit => "stopping",
        })
    }
}

/// Why the answer is not yes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum AskError {
    /// It does not answer in time.
    #[error("what listens at {0} does not answer in time; the proxy may hang, or be busy")]
    Silent(AdminAddress),
    /// Nobody answers.
    #[error("nobody answers at {0} ({1}); start the proxy, or name its admin address with --admin")]
    Unreachable(AdminAddress, #[source] io::Error),
    /// The proxy says no.
    #[error("{0}")]
    Refused(String),
    /// Another program answers.
    #[error(
        "what answers at {0} is not the admin listener of a proxy; name its address with --admin"
    )]
    Stranger(AdminAddress),
    /// The proxy is not to be stopped in this way.
    #[error(
        "the proxy at {0} does not take POST /quitquitquit\nhint: set admin_quit = true in its configuration, or send SIGTERM"
    )]
    QuitIsOff(AdminAddress),
}

/// Asks the proxy whose admin listener has this address.
///
/// # Errors
///
/// An [`AskError`], unless it says yes.
pub(super) fn ask(address: &AdminAddress, question: Question) -> Result<(), AskError> {
    ask_within(address, question, MAX_WAIT)
}

/// As [`ask`], with another limit for each step; it is never longer than that of [`ask`], and never none.
///
/// # Errors
///
/// As [`ask`].
pub(super) fn ask_within(
    address: &AdminAddress,
    question: Question,
    limit: Duration,
) -> Result<(), AskError> {
    let limit = limit.clamp(MIN_WAIT, MAX_WAIT);
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Io)
        .and_then(|runtime| runtime.block_on(exchange(address, question, limit)));
    let (status, text) = answer.map_err(|failure| failure.at(address))?;
    let line = text.lines().next().unwrap_or_default();
    let is_plain = line
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    match status.as_u16() {
        200 if line == "ok" => Ok(()),
        403 | 503 if is_plain && !line.is_empty() => Err(AskError::Refused(line.to_owned())),
        404 if question == Question::Quit && line == QUIT_IS_OFF => {
            Err(AskError::QuitIsOff(address.clone()))
        }
        _ => Err(AskError::Stranger(address.clone())),
    }
}

/// Why there is no answer.
enum Failure {
    Io(io::Error),
    /// The answer is not one of HTTP, or too long.
    NotHttp,
}

impl Failure {
    fn at(self, address: &AdminAddress) -> AskError {
        let address = address.clone();
        match self {
            Self::NotHttp => AskError::Stranger(address),
            // A unix socket whose queue is full says that it would block.
            Self::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                AskError::Silent(address)
            }
            Self::Io(error) => AskError::Unreachable(address, error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() || error.is_incomplete_message() {
            return Self::NotHttp;
        }
        Self::Io(io::Error::other(error))
    }
}

/// Where a listener is reached from its own machine: "any address" is none to connect to.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn exchange(
    address: &AdminAddress,
    question: Question,
    limit: Duration,
) -> Result<(StatusCode, String), Failure> {
    match address {
        AdminAddress::Tcp(address) => {
            let address = reached(*address);
            let host = address.to_string();
            let stream = timeout(limit, TcpStream::connect(address)).await;
            let stream = stream.map_err(io::Error::from)??;
            let answer = timeout(limit, send(stream, question, &host));
            answer.await.map_err(io::Error::from)?
        }
        AdminAddress::Unix(path) => {
            let stream = timeout(limit, UnixStream::connect(path)).await;
            let stream = stream.map_err(io::Error::from)??;
            let answer = timeout(limit, send(stream, question, "localhost"));
            answer.await.map_err(io::Error::from)?
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: Question,
    host: &str,
) -> Result<(StatusCode, String), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = question.request(host).map_err(io::Error::other)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| Failure::NotHttp)?.to_bytes();
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The answer knows more about how the connection ended.
        _ = &mut connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is made of these bytes.
    fn asked(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let said = ask(&AdminAddress::Tcp(address), Question::Ready)
            .map_or_else(|error| error.to_string(), |()| String::new());
        let expected =
            format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        assert_eq!(answering.join().unwrap(), expected);
        said
    }

    #[test]
    fn only_an_answer_like_the_proxy_s_own_counts() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\na: b\r\n\r\nok\n"), "");
        assert_eq!(
            asked("HTTP/1.1 503 x\r\n\r\nstopping: soon\n"),
            "stopping: soon"
        );
        for stranger in [
            "",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 503 x\r\n\r\n\u{1b}[31m\n",
            "HTTP/1.1 404 x\r\n\r\nok\n",
        ] {
            let said = asked(stranger);
            assert!(said.contains("--admin"), "{stranger:?}: {said}");
        }
    }

    #[test]
    fn where_nobody_listens_the_answer_says_so() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let asked = ask(&AdminAddress::Tcp(address), Question::Live);
        let said = asked.unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("nobody answers at {address}")),
            "{said}"
        );
    }
}
