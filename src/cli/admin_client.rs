//! Asks the admin listener of a running proxy: for `check live`, `check ready`, `wait` and `quit`, in
//! images that have no shell and no curl.
//!
//! Another program may listen at the address; only a response like the proxy's own counts.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{CONNECTION, HOST};
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::either::Either;

use super::{Failure, block_on};
use crate::config::{self, Environment, Listen, Overrides, local_address};
use crate::server::QUIT_IS_OFF;

/// The paths that are asked for.
pub(super) const LIVE: &str = "/livez";
pub(super) const READY: &str = "/readyz";
pub(super) const QUIT: &str = "/quitquitquit";

/// The longest that an exchange may take. Probes have a limit of their own, usually shorter.
const MAX_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest response that is read, in bytes.
const MAX_RESPONSE: usize = 512 * 1024;

/// The interval between two polls of a proxy.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The shortest timeout, so that a proxy on this machine can respond at all.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);

/// The options that name the proxy to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct AdminArguments {
    /// Configuration file of the proxy [default: as for serve] [env: APIG_PROXY_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of its health and metrics, or unix:/path [default: that of the configuration, or 127.0.0.1:8081]
    /// [env: APIG_PROXY_ADMIN].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

impl AdminArguments {
    /// The options as overrides of the configuration.
    pub(super) fn overrides(&self) -> Overrides {
        let overrides = Overrides::new(self.config.clone());
        overrides.text("admin", "--admin", self.admin.as_deref())
    }

    pub(super) fn address(&self, environment: &Environment) -> Result<Listen, Failure> {
        let overrides = self.overrides();
        let address = config::load_part(&overrides, environment, "admin", |config| config.admin)?;
        address.ok_or_else(|| {
            Failure::configuration(
                "`admin` is off in the configuration, so the proxy cannot be asked\nhint: set `admin` to an address, or name one with `--admin`",
            )
        })
    }
}

/// Why a request to the admin listener failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error(
        "what listens at {0} does not answer in time\nhint: the proxy may hang or be busy; see its log"
    )]
    Timeout(Listen),
    #[error(
        "no proxy answers at {0} ({1})\nhint: start the proxy, or name its admin address with `--admin`"
    )]
    Unreachable(Listen, io::Error),
    /// The proxy's own words.
    #[error("{0}")]
    Refused(String),
    #[error(
        "what answers at {0} is not the admin listener of a proxy\nhint: name its address with `--admin`"
    )]
    OtherProgram(Listen),
    #[error(
        "the proxy at {0} does not take `POST /quitquitquit`\nhint: set `admin_quit = true` in its configuration, or send SIGTERM"
    )]
    QuitIsOff(Listen),
}

pub(super) fn ask(path: &str, address: &Listen) -> Result<Result<(), AdminError>, Failure> {
    block_on(request(path, address, MAX_TIMEOUT))
}

/// Asks the proxy until `is_done` or the timeout; the last answer.
pub(super) async fn poll(
    path: &str,
    address: &Listen,
    limit: Duration,
    is_done: fn(&Result<(), AdminError>) -> bool,
) -> Result<(), AdminError> {
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        let answer = request(path, address, left.clamp(MIN_TIMEOUT, MAX_TIMEOUT)).await;
        if is_done(&answer) || start.elapsed() >= limit {
            return answer;
        }
        sleep(POLL_INTERVAL.min(left)).await;
    }
}

/// Sends a request; an error, unless the listener responds with success.
async fn request(path: &str, address: &Listen, limit: Duration) -> Result<(), AdminError> {
    let request = match path {
        QUIT => Request::post(path),
        _ => Request::get(path),
    };
    let response = match timeout(limit, exchange(address, request, Bytes::new())).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if is_other_program(&error) => {
            return Err(AdminError::OtherProgram(address.clone()));
        }
        // That is a unix socket whose queue is full.
        Ok(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
            return Err(AdminError::Unreachable(address.clone(), error));
        }
        _ => return Err(AdminError::Timeout(address.clone())),
    };
    let text = String::from_utf8_lossy(response.body());
    let line = text.lines().next().unwrap_or_default();
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    match response.status().as_u16() {
        200 if line == "ok" => Ok(()),
        403 | 503 if !line.is_empty() && line.bytes().all(is_plain) => {
            Err(AdminError::Refused(line.to_owned()))
        }
        404 if line == QUIT_IS_OFF => Err(AdminError::QuitIsOff(address.clone())),
        _ => Err(AdminError::OtherProgram(address.clone())),
    }
}

/// Sends a request to a listener of this machine, over a connection of its own: the response, whose body
/// is still to be read. Not the clients of `upstream`: those pool, sign and use TLS.
///
/// # Errors
///
/// That of the system if nothing listens there; see [`is_other_program`] for what is not HTTP.
pub(super) async fn send(
    address: &Listen,
    request: request::Builder,
    body: Bytes,
) -> io::Result<Response<Incoming>> {
    let (stream, host) = match address {
        Listen::Tcp(address) | Listen::Tls(address) => {
            let address = local_address(*address);
            let stream = TcpStream::connect(address).await?;
            (Either::Left(stream), address.to_string())
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            (Either::Right(stream), "localhost".to_owned())
        }
    };
    let request = request.header(HOST, host).header(CONNECTION, "close");
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(not_http)?;
    // The task ends with the response, or when that is dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(not_http)
}

/// Sends a request like [`send`], and reads the response.
pub(super) async fn exchange(
    address: &Listen,
    request: request::Builder,
    body: Bytes,
) -> io::Result<Response<Bytes>> {
    let (head, body) = send(address, request, body).await?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await;
    let body = body.map_err(not_http)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

fn not_http(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// `true` for the error of a listener that does not answer as a proxy does.
pub(super) fn is_other_program(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn only_a_response_of_the_proxy_counts() {
        for (response, expected) in [
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\nok\n", "ok"),
            ("HTTP/1.1 503 x\r\n\r\nstopping: soon\n", "stopping: soon"),
            ("", "`--admin`"),
            ("SSH-2.0-x\r\n", "`--admin`"),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", "`--admin`"),
            ("HTTP/1.1 503 x\r\n\r\n\u{1b}[31m\n", "`--admin`"),
            ("HTTP/1.1 404 x\r\n\r\nok\n", "`--admin`"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let answering = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                stream.write_all(response.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            });
            let sent = ask(READY, &Listen::Tcp(address)).unwrap();
            let request =
                format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            assert_eq!(answering.join().unwrap(), request);
            let outcome = sent.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert!(outcome.ends_with(expected), "{response:?}: {outcome}");
        }
    }
}
