//! The backend behind the embedded gateway: forwards verified requests to a server on this machine.
//!
//! Not the connection pool of the proxy: each request gets a connection of its own, so that what the
//! backend does to one request never changes another.
//!
//! # What can go wrong
//!
//! A backend that cannot be reached, or breaks the connection before its response, is answered with
//! `APIG.0201` and status 502, as the gateway does. Later errors reset the caller's stream.

use std::error::Error;
use std::net::SocketAddr;
use std::str::FromStr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, TE};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, request, uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::refusal::Refused;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A body of either direction.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A server on this machine that gets the requests that were verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(SocketAddr);

/// Why a text is not the URL of a backend.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("give a loopback address with its port, such as http://127.0.0.1:8000, without a path")]
pub struct BackendUrlError;

/// Headers of one connection (RFC 9110 §7.6.1), and the caller's credentials, which end at the gateway.
const DROPPED: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    AUTHORIZATION,
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-security-token"),
    HeaderName::from_static("x-apig-appcode"),
    HeaderName::from_static("http2-settings"),
];

impl FromStr for Backend {
    type Err = BackendUrlError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let authority = url.strip_prefix("http://").ok_or(BackendUrlError)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let address: SocketAddr = authority.parse().map_err(|_| BackendUrlError)?;
        let is_valid = address.ip().is_loopback() && address.port() != 0;
        is_valid.then_some(Self(address)).ok_or(BackendUrlError)
    }
}

impl Backend {
    /// Forwards a request and returns the response, whose body streams.
    ///
    /// gRPC and what came over HTTP/2 goes out over HTTP/2 with prior knowledge, the rest over HTTP/1.1.
    pub(super) async fn send(self, request: Request<Body>) -> Result<Response<Body>, Refused> {
        let (mut parts, body) = request.into_parts();
        let is_http2 = parts.version == Version::HTTP_2 || is_grpc(&parts.headers);
        drop_hop_by_hop(&mut parts.headers);
        let response = if is_http2 {
            self.over_http2(parts, body).await
        } else {
            self.over_http1(parts, body).await
        };
        let mut response = response.map_err(|error| refused(&*error))?;
        drop_hop_by_hop(response.headers_mut());
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    async fn over_http1(
        self,
        mut parts: request::Parts,
        body: Body,
    ) -> Result<Response<hyper::body::Incoming>, BoxError> {
        let target = parts.uri.path_and_query().cloned();
        parts.uri = target.map_or_else(Uri::default, Uri::from);
        parts.version = Version::HTTP_11;
        let (mut sender, connection) = http1::handshake(self.connect().await?).await?;
        tokio::spawn(connection);
        let request = Request::from_parts(parts, body);
        Ok(sender.send_request(request).await?)
    }

    async fn over_http2(
        self,
        mut parts: request::Parts,
        body: Body,
    ) -> Result<Response<hyper::body::Incoming>, BoxError> {
        let host = parts.headers.remove(HOST);
        let authority = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let mut uri = uri::Parts::default();
        uri.scheme = Some(uri::Scheme::HTTP);
        uri.authority = Some(uri::Authority::try_from(authority)?);
        uri.path_and_query = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from_parts(uri)?;
        parts.version = Version::HTTP_2;
        let io = self.connect().await?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        let request = Request::from_parts(parts, body);
        Ok(sender.send_request(request).await?)
    }

    async fn connect(self) -> Result<TokioIo<TcpStream>, BoxError> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

/// Whether the body is gRPC, whose trailers need HTTP/2.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let prefix = content_type.and_then(|value| value.get(..16));
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"application/grpc"))
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let keeps_trailers = headers.get(TE).is_some_and(|value| value == "trailers");
    for name in listed.iter().chain(&DROPPED) {
        headers.remove(name);
    }
    headers.remove(TE);
    if keeps_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn refused(error: &(dyn Error + 'static)) -> Refused {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Refused::too_large();
        }
        cause = error.source();
    }
    tracing::debug!(error, "the backend did not respond");
    Refused::new(502, "APIG.0201", "Backend unavailable.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_a_loopback_address_over_plain_http() {
        for url in [
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "http://[::1]:8000",
        ] {
            assert!(url.parse::<Backend>().is_ok(), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:8000",
            "https://127.0.0.1:8000",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://10.0.0.1:8000",
            "http://127.0.0.1:8000/path",
            "http://user@127.0.0.1:8000",
        ] {
            assert!(url.parse::<Backend>().is_err(), "{url}");
        }
    }
}
