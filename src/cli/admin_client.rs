//! Asks the admin listener of a running proxy: for `check live`, `check ready`, `wait` and `quit`, in
//! images that have no shell and no curl.
//!
//! Another program may listen at the address; only a response like the proxy's own counts.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};
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

    /// The address of the admin listener.
    pub(super) fn address(&self, environment: &Environment) -> Result<Listen, Failure> {
        let overrides = self.overrides();
        let address = config::load_part(&overrides, environment, "admin", |config| config.admin)?;
        address.ok_or_else(|| {
            Failure::configuration(
                "`admin` is off in the configuration, so the proxy cannot be asked\nhint: set `admin` to an address, or name one with `--admin`",
            )
        })
    }

    /// The token of the inspector, if the configuration names a file with it.
    pub(super) fn inspector_token(
        &self,
        environment: &Environment,
    ) -> Result<Option<SecretString>, Failure> {
        let (overrides, key) = (self.overrides(), "inspect.token_file");
        let token = config::load_part(&overrides, environment, key, |config| config.inspect.token);
        token.map_err(Failure::configuration)
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

/// Asks the proxy once.
pub(super) fn ask(path: &str, address: &Listen) -> Result<Result<(), AdminError>, Failure> {
    block_on(send(path, address, MAX_TIMEOUT))
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
        let answer = send(path, address, left.clamp(MIN_TIMEOUT, MAX_TIMEOUT)).await;
        if is_done(&answer) || start.elapsed() >= limit {
            return answer;
        }
        sleep(POLL_INTERVAL.min(left)).await;
    }
}

/// Sends a request; an error, unless the listener responds with success.
async fn send(path: &str, address: &Listen, limit: Duration) -> Result<(), AdminError> {
    let response = timeout(limit, request(path, address)).await;
    let response = response.map_err(|_| AdminError::Timeout(address.clone()))??;
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

/// Connects, sends the request and reads the response; the connection ends after it.
async fn request(path: &str, address: &Listen) -> Result<Response<Bytes>, AdminError> {
    let (stream, host) = connect(address).await.map_err(|error| match error.kind() {
        // A unix socket whose queue is full.
        io::ErrorKind::WouldBlock => AdminError::Timeout(address.clone()),
        _ => AdminError::Unreachable(address.clone(), error),
    })?;
    let request = match path {
        QUIT => Request::post(path).header(CONTENT_LENGTH, "0"),
        _ => Request::get(path),
    };
    let request = request.header(HOST, host).header(CONNECTION, "close");
    let request = request.body(Full::default());
    let request = request.expect("an address is a valid header value");
    let response = exchange(stream, request).await;
    response.map_err(|_| AdminError::OtherProgram(address.clone()))
}

/// Connects to the listener: the connection, and the value of `Host`.
pub(super) async fn connect(
    address: &Listen,
) -> io::Result<(Either<TcpStream, UnixStream>, String)> {
    Ok(match address {
        Listen::Tcp(address) | Listen::Tls(address) => {
            let address = local_address(*address);
            let stream = TcpStream::connect(address).await?;
            (Either::Left(stream), address.to_string())
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            (Either::Right(stream), "localhost".to_owned())
        }
    })
}

/// One HTTP/1.1 exchange on one connection, with listeners of this machine. Not the clients of
/// `upstream`: those pool, sign and use TLS.
///
/// # Errors
///
/// If the connection fails, or what is received is not HTTP or too long.
pub(super) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Bytes>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let response = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_RESPONSE).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    tokio::pin!(connection, response);
    tokio::select! {
        response = &mut response => response,
        // The response knows why the connection ended.
        _ = &mut connection => response.await,
    }
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
