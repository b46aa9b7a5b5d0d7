//! One request of the proxy's own, over a connection of its own: to a service that gives keys or tokens.
//!
//! Apart from the way of callers' requests, since nothing is signed, kept open or passed on: what matters
//! is that it comes to an end, and that what is answered, which holds secrets, is wiped.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::connect::{Network, Offer, Origin};
use crate::config::{Endpoint, Scheme};
use crate::error::Error;

/// The most that is read of an answer, in bytes.
const READ: usize = 256 * 1024;

/// An answer that was read whole.
#[derive(Debug)]
pub struct Reply {
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
pub enum ErrandError {
    /// No connection could be made.
    #[error(transparent)]
    Unreached(Error),
    /// It took too long.
    #[error("no answer came in time")]
    Silent,
    /// The connection broke off, or what came is not HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The answer is far longer than one should be.
    #[error("the answer is longer than 256 KiB")]
    TooLong,
}

impl Network {
    /// Sends a request to an endpoint and reads the answer, all within `limit`. The path is taken relative
    /// to that of the endpoint.
    ///
    /// # Errors
    ///
    /// An [`ErrandError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn errand(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
        limit: Duration,
    ) -> Result<Reply, ErrandError> {
        let running = self.run_errand(endpoint, request);
        timeout(limit, running)
            .await
            .unwrap_or(Err(ErrandError::Silent))
    }

    async fn run_errand(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> Result<Reply, ErrandError> {
        let origin = Origin::to(&endpoint.url, endpoint.egress.clone())
            .map_err(|_| ErrandError::Unreached(Error::Internal("the host is no name")))?;
        let request = addressed(endpoint, request);
        let tcp = origin.dial(self).await.map_err(ErrandError::Unreached)?;
        match origin.scheme() {
            Scheme::Http => exchange(tcp, request).await,
            Scheme::Https => {
                let tls = self
                    .tls
                    .connect(origin.server_name(), Offer::Http1, tcp)
                    .await;
                let tls = tls.map_err(|error| ErrandError::Unreached(Error::Tls(error)))?;
                exchange(tls, request).await
            }
        }
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

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, ErrandError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let (parts, mut body) = response.into_parts();
        let mut read = SecretBox::new(Box::new(Vec::with_capacity(READ)));
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame?.into_data() else {
                continue;
            };
            // It never grows, so that no copy is left behind.
            if read.expose_secret().len() + piece.len() > READ {
                return Err(ErrandError::TooLong);
            }
            read.expose_secret_mut().extend_from_slice(&piece);
        }
        Ok(Reply {
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
