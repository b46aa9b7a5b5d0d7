//! The backend behind the embedded gateway: forwards verified requests to a server on this machine.
//!
//! Each request has a connection of its own, so that what the backend does to one never changes
//! another.
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
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::refusal::Refused;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A body of either direction.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A server on this machine that receives verified requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(SocketAddr);

/// Headers of one connection (RFC 9110 §7.6.1), and the caller's credentials, which end at the
/// gateway.
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
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let authority = url.strip_prefix("http://").unwrap_or_default();
        let address = authority.trim_end_matches('/').parse::<SocketAddr>();
        let address = address
            .ok()
            .filter(|at| at.ip().is_loopback() && at.port() != 0);
        address.map(Self).ok_or(
            "give a loopback address with its port, such as http://127.0.0.1:8000, without a path",
        )
    }
}

impl Backend {
    /// Forwards a request and returns the response, whose body streams.
    ///
    /// gRPC and requests that came over HTTP/2 go out over HTTP/2 with prior knowledge, the rest
    /// over HTTP/1.1.
    pub(super) async fn send(self, request: Request<Body>) -> Result<Response<Body>, Refused> {
        let is_http2 = request.version() == Version::HTTP_2 || is_grpc(request.headers());
        let response = self.exchange(request, is_http2).await;
        let mut response = response.map_err(|error| refused(&*error))?;
        drop_hop_by_hop(response.headers_mut());
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    async fn exchange(
        self,
        mut request: Request<Body>,
        is_http2: bool,
    ) -> Result<Response<Incoming>, BoxError> {
        drop_hop_by_hop(request.headers_mut());
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        let target = request.uri().path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if is_http2 {
            let host = request.headers_mut().remove(HOST);
            let authority = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
            let uri = Uri::builder().scheme("http").authority(authority);
            *request.uri_mut() = uri.path_and_query(target).build()?;
            *request.version_mut() = Version::HTTP_2;
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Ok(sender.send_request(request).await?)
        } else {
            *request.uri_mut() = target.into();
            *request.version_mut() = Version::HTTP_11;
            let (mut sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Ok(sender.send_request(request).await?)
        }
    }
}

/// True if the body is gRPC, whose trailers need HTTP/2.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let prefix = content_type.and_then(|value| value.get(..16));
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"application/grpc"))
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.filter_map(|line| line.to_str().ok());
    let names = names.flat_map(|names| names.split(','));
    let listed: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
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
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.any(|error| error.is::<LengthLimitError>()) {
        return Refused::too_large();
    }
    tracing::debug!(error, "the backend did not respond");
    Refused::new(502, "APIG.0201", "Backend unavailable.")
}
