//! Second step: the head is rewritten, and the body is hashed, or set up to be streamed.

use std::rc::Rc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};
use hyper::body::Incoming;

use super::Settings;
use super::body::{self, PreparedBody, SHORT};
use super::context::RequestContext;
use super::headers;
use super::route::Routed;
use crate::error::Error;
use crate::signature::{PayloadHash, SignatureError};
use crate::upstream::Mode;

/// A request that only has to be authenticated.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) method: Method,
    /// The target as it goes out, which is what is signed.
    pub(super) uri: Uri,
    /// What of the caller's headers goes out. The proxy's own are set for each attempt.
    pub(super) headers: HeaderMap,
    pub(super) body: PreparedBody,
    /// The hash of the body; `None` if it is not signed.
    pub(super) hash: Option<PayloadHash>,
    pub(super) is_websocket: bool,
    /// Index of the route.
    pub(super) route: usize,
    /// How it authenticates: a slot of the route credentials.
    pub(super) slot: usize,
    /// The value of `apig-proxy-hop`.
    pub(super) hops: HeaderValue,
    pub(super) context: Rc<RequestContext>,
}

/// Prepares a request.
///
/// # Errors
///
/// What a caller can do wrong with a body, and [`Error::Overloaded`] if it cannot be held.
pub(super) async fn prepare(
    settings: &Settings,
    routed: Routed,
    body: Incoming,
) -> Result<Prepared, Error> {
    let (head, rules) = (&routed.head.headers, routed.rules);
    let (body, hash) = body::prepare(settings, head, body, rules, &routed.context).await?;
    Prepared::new(routed, body, hash)
}

impl Prepared {
    /// A routed request with its body.
    ///
    /// # Errors
    ///
    /// [`Error::BadTarget`] if the target cannot be sent.
    pub(super) fn new(
        routed: Routed,
        body: PreparedBody,
        hash: Option<PayloadHash>,
    ) -> Result<Self, Error> {
        let target = PathAndQuery::try_from(routed.target).map_err(|_| SignatureError::RawByte)?;
        let mut headers = HeaderMap::with_capacity(routed.head.headers.len());
        headers::pass_request(&routed.head.headers, &mut headers);
        Ok(Self {
            method: routed.head.method,
            uri: target.into(),
            headers,
            body,
            hash,
            is_websocket: routed.is_websocket,
            route: routed.route,
            slot: routed.slot,
            hops: routed.hops,
            context: routed.context,
        })
    }

    /// The target as it goes out.
    pub(super) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// Which kind of connection it goes over. gRPC needs HTTP/2. A long body would hold others up, and costs
    /// less over a connection of its own. One that is streamed cannot be sent again, which a gateway may
    /// want at any time of what shares a connection.
    pub(super) fn mode(&self) -> Mode {
        let is_short = self.body.length().is_some_and(|length| length <= SHORT);
        if self.context.is_grpc {
            Mode::Http2
        } else if is_short && self.body.is_repeatable() && !self.is_websocket {
            Mode::Shared
        } else {
            Mode::Exclusive
        }
    }
}
