//! Asks the admin listener of a running proxy: for `check live`, `check ready`, `wait` and `quit`, in
//! images that have no shell and no curl.
//!
//! Another program may listen at the address; only a response like the proxy's own counts.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{Request, Response};
use http_body_util::Full;
use secrecy::SecretString;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;

use super::exchange::exchange;
use super::{Failure, block_on};
use crate::config::{self, Environment, Listen, Overrides, local_address};
use crate::server::QUIT_IS_OFF;

/// The longest that an exchange may take. Probes have a limit of their own, usually shorter.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(3);

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
        let address = config::load_part(&overrides, environment, "admin", |config| config.admin);
        address.map_err(Failure::configuration)?.ok_or_else(|| {
            Failure::configuration(
                "`admin` is off in the configuration, so the proxy cannot be asked\nhint: set `admin` to an address, or name one with --admin",
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

/// A request to the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdminRequest {
    Live,
    Ready,
    Quit,
}

/// Why a request to the admin listener failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error(
        "what listens at {0} does not answer in time\nhint: the proxy may hang or be busy; see its log"
    )]
    Timeout(Listen),
    #[error(
        "no proxy answers at {0} ({1})\nhint: start the proxy, or name its admin address with --admin"
    )]
    Unreachable(Listen, String),
    /// The proxy's own words.
    #[error("{0}")]
    Refused(String),
    #[error(
        "what answers at {0} is not the admin listener of a proxy\nhint: name its address with --admin"
    )]
    OtherProgram(Listen),
    #[error(
        "the proxy at {0} does not take `POST /quitquitquit`\nhint: set `admin_quit = true` in its configuration, or send SIGTERM"
    )]
    QuitIsOff(Listen),
}

impl AdminRequest {
    /// Sends the request, with a timeout that is clamped to what probes can bear.
    ///
    /// # Errors
    ///
    /// An [`AdminError`], unless the listener responds with success.
    pub(super) fn send(self, address: &Listen, limit: Duration) -> Result<(), AdminError> {
        let limit = limit.clamp(MIN_TIMEOUT, MAX_TIMEOUT);
        let response = block_on(async { timeout(limit, self.exchange(address)).await })
            .map_err(|failure| AdminError::Unreachable(address.clone(), failure.message))?
            .map_err(|_| AdminError::Timeout(address.clone()))??;
        let text = String::from_utf8_lossy(response.body());
        let line = text.lines().next().unwrap_or_default();
        let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        match response.status().as_u16() {
            200 if line == "ok" => Ok(()),
            403 | 503 if !line.is_empty() && line.bytes().all(is_plain) => {
                Err(AdminError::Refused(line.to_owned()))
            }
            404 if self == Self::Quit && line == QUIT_IS_OFF => {
                Err(AdminError::QuitIsOff(address.clone()))
            }
            _ => Err(AdminError::OtherProgram(address.clone())),
        }
    }

    /// Sends the request repeatedly until `is_done` or the timeout; the last outcome.
    #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
    pub(super) fn poll(
        self,
        address: &Listen,
        limit: Duration,
        is_done: fn(&Result<(), AdminError>) -> bool,
    ) -> Result<(), AdminError> {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let outcome = self.send(address, left);
            if is_done(&outcome) || start.elapsed() >= limit {
                return outcome;
            }
            std::thread::sleep(POLL_INTERVAL.min(left));
        }
    }

    /// Connects, sends the request and reads the response; the connection ends after it.
    async fn exchange(self, address: &Listen) -> Result<Response<Bytes>, AdminError> {
        let (stream, host) = connect(address).await.map_err(|error| match error.kind() {
            // A unix socket whose queue is full.
            io::ErrorKind::WouldBlock => AdminError::Timeout(address.clone()),
            _ => AdminError::Unreachable(address.clone(), error.to_string()),
        })?;
        let request = match self {
            Self::Live => Request::get("/livez"),
            Self::Ready => Request::get("/readyz"),
            Self::Quit => Request::post("/quitquitquit").header(CONTENT_LENGTH, "0"),
        };
        let request = request.header(HOST, host).header(CONNECTION, "close");
        let request = request.body(Full::default());
        let request = request.expect("an address is a valid header value");
        let response = exchange(stream, request).await;
        response.map_err(|_| AdminError::OtherProgram(address.clone()))
    }
}

impl fmt::Display for AdminRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Quit => "stopping",
        })
    }
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
            ("", "--admin"),
            ("SSH-2.0-x\r\n", "--admin"),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", "--admin"),
            ("HTTP/1.1 503 x\r\n\r\n\u{1b}[31m\n", "--admin"),
            ("HTTP/1.1 404 x\r\n\r\nok\n", "--admin"),
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
            let sent = AdminRequest::Ready.send(&Listen::Tcp(address), MAX_TIMEOUT);
            let request =
                format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            assert_eq!(answering.join().unwrap(), request);
            let outcome = sent.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert!(outcome.ends_with(expected), "{response:?}: {outcome}");
        }
    }
}
