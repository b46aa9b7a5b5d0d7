//! A one-shot HTTP client: one request of the proxy's own, over one connection, to a service that issues keys or
//! tokens.
//!
//! Nothing is signed, pooled or streamed here. Every request is bounded in time and size, and the answer, which
//! holds secrets, is zeroized on drop.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use tokio::time::timeout;

use super::connector::{Network, Origin, Transport};
use crate::config::Endpoint;
use crate::error::Error;

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// A complete answer.
#[derive(Debug)]
pub struct OneshotResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: SecretBox<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OneshotError {
    /// No connection could be made.
    #[error("it cannot be reached: {}", reached(.0))]
    Unreached(#[source] Error),
    /// It took too long.
    #[error(
        "it did not answer in time; check the network, or whether something else has its address"
    )]
    Silent,
    /// The connection broke off, or what came is not HTTP.
    #[error("its answer broke off or is not http; check the endpoint")]
    Broken(#[from] hyper::Error),
    /// The answer is far longer than one should be.
    #[error("its answer is not the one expected (it is too long); check the endpoint")]
    TooLong,
}

fn reached(error: &Error) -> String {
    match error.cause() {
        cause if cause.is_empty() => "connecting took too long".to_owned(),
        cause => cause,
    }
}

impl Network {
    /// Sends a request to an endpoint and reads the answer, all within `limit`. The path is taken relative
    /// to that of the endpoint.
    ///
    /// # Errors
    ///
    /// A [`OneshotError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn oneshot(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
        limit: Duration,
    ) -> Result<OneshotResponse, OneshotError> {
        let sending = self.send_oneshot(endpoint, request);
        timeout(limit, sending)
            .await
            .unwrap_or(Err(OneshotError::Silent))
    }

    async fn send_oneshot(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> Result<OneshotResponse, OneshotError> {
        let origin = Origin::from_url(&endpoint.url, endpoint.egress.clone())
            .map_err(|_| OneshotError::Unreached(Error::Internal("the host is no name")))?;
        let request = addressed(endpoint, request);
        let transport = origin.connect_once(self).await;
        exchange(transport.map_err(OneshotError::Unreached)?, request).await
    }
}

/// A request with the path as it goes out, and what every request needs.
fn addressed(endpoint: &Endpoint, request: Request<Bytes>) -> Request<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let base = endpoint.url.base_path.as_str();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path == "/" && !base.is_empty() {
        base.to_owned()
    } else {
        format!("{base}{path}")
    };
    parts.uri = Uri::try_from(path).unwrap_or_default();
    parts.headers.insert(HOST, endpoint.url.authority.clone());
    parts
        .headers
        .insert(CONNECTION, HeaderValue::from_static("close"));
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Request::from_parts(parts, Full::new(body))
}

async fn exchange(
    transport: Transport,
    request: Request<Full<Bytes>>,
) -> Result<OneshotResponse, OneshotError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(transport)).await?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let (parts, mut body) = response.into_parts();
        let mut read = SecretBox::new(Box::new(Vec::with_capacity(MAX_ANSWER)));
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame?.into_data() else {
                continue;
            };
            // It never grows, so that no copy is left behind.
            if read.expose_secret().len() + piece.len() > MAX_ANSWER {
                return Err(OneshotError::TooLong);
            }
            read.expose_secret_mut().extend_from_slice(&piece);
        }
        Ok(OneshotResponse {
            status: parts.status,
            headers: parts.headers,
            body: read,
        })
    };
    // The connection only moves while it is driven; how it ends does not matter once the answer is here.
    tokio::pin!(answered);
    tokio::select! {
        biased;
        answered = &mut answered => answered,
        ended = connection => {
            ended?;
            answered.await
        }
    }
}
