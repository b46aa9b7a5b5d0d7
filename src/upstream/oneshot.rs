//! A one-shot HTTP client: one request of the proxy's own, over one connection, to a service that
//! issues keys or tokens.
//!
//! Nothing is signed, pooled or streamed here. Every request is bounded in time and size, and the
//! answer, which holds secrets, is zeroized on drop.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::connector::{Network, Origin};
use crate::config::UpstreamUrl;
use crate::error::Error;

/// The most that is read of a response, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OneshotError {
    /// No connection could be made.
    #[error("it cannot be reached: {}", reached(.0))]
    Unreached(#[from] Error),
    /// It took too long.
    #[error(
        "it did not answer in time\nhint: check the network, and whether something else has its address"
    )]
    Silent,
    /// The connection broke off, or what came is not HTTP.
    #[error("its response broke off or is not HTTP\nhint: check the endpoint")]
    Broken(#[from] hyper::Error),
    /// The response is far longer than one should be.
    #[error("its response is far too long\nhint: check the endpoint")]
    TooLong,
}

fn reached(error: &Error) -> String {
    match error.cause() {
        cause if cause.is_empty() => "connecting took too long".to_owned(),
        cause => cause,
    }
}

impl Network {
    /// Sends a request to an endpoint and reads the response, all within `limit`. The path is taken
    /// relative to that of the endpoint. Dropping the future closes the connection.
    pub(crate) async fn oneshot(
        &self,
        endpoint: &UpstreamUrl,
        request: Request<Bytes>,
        limit: Duration,
    ) -> Result<Response<SecretBox<Vec<u8>>>, OneshotError> {
        let exchange = async {
            let origin = Origin::new(endpoint);
            let (host, port) = origin.first_hop();
            let addresses = self.resolver.addresses(host, port);
            let (transport, _) = origin.connect(self, addresses, false, limit).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(transport)).await?;
            let _task = AbortOnDropHandle::new(tokio::spawn(connection));
            let answer = sender.send_request(addressed(endpoint, request)).await?;
            let (head, mut body) = answer.into_parts();
            let mut read = SecretBox::new(Box::new(Vec::with_capacity(MAX_ANSWER)));
            while let Some(frame) = body.frame().await {
                let piece = frame?.into_data().unwrap_or_default();
                // It never grows, so that no copy is left behind.
                if read.expose_secret().len() + piece.len() > MAX_ANSWER {
                    return Err(OneshotError::TooLong);
                }
                read.expose_secret_mut().extend_from_slice(&piece);
            }
            Ok(Response::from_parts(head, read))
        };
        let answered = timeout(limit, exchange).await;
        answered.unwrap_or(Err(OneshotError::Silent))
    }
}

/// The request as it is sent: with the path of the endpoint, `Host`, and what else HTTP needs.
fn addressed(endpoint: &UpstreamUrl, request: Request<Bytes>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let base = endpoint.base_path.as_str();
    let path = match head.uri.path_and_query().map_or("/", PathAndQuery::as_str) {
        "/" if !base.is_empty() => "",
        path => path,
    };
    head.uri = Uri::try_from(format!("{base}{path}")).unwrap_or_default();
    let close = HeaderValue::from_static("close");
    head.headers.insert(HOST, endpoint.authority.clone());
    head.headers.insert(CONNECTION, close);
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    Request::from_parts(head, Full::new(body))
}
