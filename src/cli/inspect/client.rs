//! The client of the inspector's API, at the admin listener.
//!
//! The token is read from its file for each request, because it changes when the proxy restarts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::timeout;

use super::super::Failure;
use super::super::admin_client::{AdminArguments, is_other_program, send};
use crate::config::{self, Environment, FileError, Listen, read_secret_file};
use crate::inspect::token::file_for;

/// The longest silence of the API. The feed sends at least a comment every 15 seconds.
const MAX_SILENCE: Duration = Duration::from_secs(40);

/// The longest JSON that is read: far more than a store of the usual size holds.
const MAX_JSON: usize = 256 * 1024 * 1024;

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API's own words.
    #[error("{message}")]
    Refused { code: String, message: String },
    #[error("the result cannot be written: {0}")]
    Output(#[from] std::io::Error),
    #[error("{0}")]
    Failed(String),
}

/// Where the token is.
#[derive(Debug)]
pub(super) enum Token {
    /// In a file that the user names, or that the proxy writes when it starts.
    File(PathBuf),
    /// Read with the configuration.
    Configured(SecretString),
}

impl Token {
    /// The file that is named, or else the token of the configuration, or else the file of the
    /// proxy at this address.
    pub(super) fn find(
        named: Option<&Path>,
        admin: &AdminArguments,
        address: &Listen,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        if let Some(path) = named {
            return Ok(Self::File(path.to_owned()));
        }
        let (overrides, key) = (admin.overrides(), "inspect.token_file");
        let token = config::load_part(&overrides, environment, key, |config| config.inspect.token)?;
        let configured = token.map(Self::Configured);
        Ok(configured.unwrap_or_else(|| Self::File(file_for(address, environment))))
    }

    /// The value of `Authorization`, or why there is none.
    fn header(&self) -> Result<HeaderValue, String> {
        let token = match self {
            Self::Configured(token) => return Ok(bearer(token.expose_secret().as_bytes())),
            Self::File(path) => read_secret_file(path),
        };
        match token {
            Ok(token) => Ok(bearer(token.expose_secret())),
            Err(FileError::Missing) => Err(format!(
                "{self} does not exist\nhint: run this command as the user that runs the proxy, or name the file with `--token-file`"
            )),
            Err(error) => Err(format!("{self} {error}")),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(_) => f.write_str("`inspect.token_file`"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

fn bearer(token: &[u8]) -> HeaderValue {
    let value = Zeroizing::new([b"Bearer ", token.trim_ascii()].concat());
    let value = HeaderValue::from_bytes(&value);
    // A text that cannot be a token is refused like a wrong one.
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

/// Asks the API of one proxy.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: Listen,
    pub(super) token: Token,
}

impl Client {
    /// Reads JSON at a path below `/inspect/v1/`.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Error> {
        let response = self.open("GET", path, "").await?;
        let answer = self.json(response).await?;
        // At another address, the proxy itself may answer what the gateway says.
        match answer["seq"].is_u64() || answer["summary"].is_object() {
            true => Ok(answer),
            false => Err(self.other_program()),
        }
    }

    /// Sends a request, and returns a successful response, whose body is still to be read.
    pub(super) async fn open(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Response<Incoming>, Error> {
        let token = self.token.header();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/inspect/v1/{path}"))
            .header(CONTENT_TYPE, "application/json");
        if let Ok(token) = &token {
            request = request.header(AUTHORIZATION, token);
        }
        let sent = send(&self.address, request, body.to_owned().into());
        let response = self.within_limit(sent).await?;
        let response = response.map_err(|error| match is_other_program(&error) {
            true => self.other_program(),
            false => self.unreachable(&error.to_string()),
        })?;
        match (response.status().as_u16(), token) {
            (200..=299, _) => Ok(response),
            (401, Err(missing)) => Err(Error::Failed(format!(
                "the inspector's token is missing: {missing}"
            ))),
            (401, Ok(_)) => Err(Error::Failed(format!(
                "the inspector at {} does not accept the token in {}\nhint: name the file with the token of this proxy with `--token-file`",
                self.address, self.token
            ))),
            (status, _) => Err(self.refusal(status, response).await),
        }
    }

    async fn refusal(&self, status: u16, response: Response<Incoming>) -> Error {
        let answer = self.json(response).await;
        let text = |name: &str| Some(answer.as_ref().ok()?["error"][name].as_str()?.to_owned());
        match (text("code"), text("message"), text("hint")) {
            (Some(code), Some(message), hint) => {
                let hint = hint.filter(|hint| !hint.is_empty());
                let hint = hint.map(|hint| format!("\nhint: {hint}"));
                let message = message + &hint.unwrap_or_default();
                Error::Refused { code, message }
            }
            _ if answer.is_err() && status == 404 => Error::Failed(format!(
                "the inspector of the proxy at {} is off\nhint: start the proxy with `--inspect`, or set `inspect.enabled = true` and send it SIGHUP",
                self.address
            )),
            _ => self.other_program(),
        }
    }

    pub(super) async fn json(&self, response: Response<Incoming>) -> Result<Value, Error> {
        let body = Limited::new(response.into_body(), MAX_JSON).collect();
        let body = self.within_limit(body).await?;
        let body = body.map_err(|_| self.broken_off())?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| self.other_program())
    }

    /// The next piece of a body; `None` at its end.
    pub(super) async fn next(&self, body: &mut Incoming) -> Result<Option<Bytes>, Error> {
        let Some(frame) = self.within_limit(body.frame()).await? else {
            return Ok(None);
        };
        let frame = frame.map_err(|_| self.broken_off())?;
        Ok(Some(frame.into_data().unwrap_or_default()))
    }

    /// Waits for the next data of the API, with a time limit.
    async fn within_limit<T>(&self, next: impl Future<Output = T>) -> Result<T, Error> {
        let waited = timeout(MAX_SILENCE, next).await;
        waited.map_err(|_| self.unreachable("timed out"))
    }

    fn unreachable(&self, error: &str) -> Error {
        Error::Failed(format!(
            "no proxy answers at {} ({error})\nhint: start the proxy with `--inspect`, or name its admin address with `--admin`",
            self.address
        ))
    }

    fn other_program(&self) -> Error {
        Error::Failed(format!(
            "what answers at {} is not the inspector of a proxy\nhint: name the admin address of the proxy with `--admin`",
            self.address
        ))
    }

    fn broken_off(&self) -> Error {
        Error::Failed(format!(
            "the response of the inspector at {} ended early\nhint: try again; the log of the proxy may say more",
            self.address
        ))
    }
}

/// A value for a query.
pub(super) fn query(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
