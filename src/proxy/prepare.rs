//! Second step: the head is rewritten, and the body is hashed, or set up to be streamed.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::Settings;
use super::auth::{PROJECT_ID, STAGE, ToSign};
use super::body::{PreparedBody, SHORT};
use super::double_slashes::{self, PathReading};
use super::headers;
use super::loop_detection::HOP_HEADER;
use super::page_origin;
use super::route::Routed;
use crate::error::Error;
use crate::signature::{PayloadHash, SigningDate};
use crate::upstream::Mode;

/// A request that is complete but for its authentication.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Its head has only those headers of the caller that are sent.
    pub(super) routed: Routed,
    pub(super) body: PreparedBody,
    /// The hash of the body; `None` if it is not signed.
    pub(super) hash: Option<PayloadHash>,
    /// The gateway may read several slashes in a row in the path.
    pub(super) has_ambiguous_path: bool,
    /// The reading that the last attempt was signed in.
    pub(super) path_reading: PathReading,
}

impl Prepared {
    /// A routed request with its body.
    pub(super) fn new(
        settings: &Settings,
        mut routed: Routed,
        body: PreparedBody,
        hash: Option<PayloadHash>,
    ) -> Self {
        let mut headers = HeaderMap::with_capacity(routed.head.headers.len());
        let route = settings.route(routed.route);
        headers::pass_to(route, &routed.head.headers, &mut headers);
        let context = &routed.context;
        if !route.keeps_origin
            && let Some(Ok(host)) = context.host.get().map(HeaderValue::to_str)
        {
            let prefix = if context.selected_route().is_some() {
                ""
            } else {
                &route.prefix
            };
            page_origin::to_upstream(&mut headers, route, context.caller.listener, host, prefix);
        }
        routed.head.headers = headers;
        Self {
            has_ambiguous_path: double_slashes::is_ambiguous(routed.target.path()),
            path_reading: PathReading::default(),
            routed,
            body,
            hash,
        }
    }

    /// The target as it goes out.
    pub(super) fn target(&self) -> &str {
        self.routed.target.as_str()
    }

    /// What a signature covers besides the headers.
    pub(super) fn to_sign<'a>(&'a self, settings: &'a Settings, date: SigningDate) -> ToSign<'a> {
        let route = settings.route(self.routed.route);
        ToSign {
            algorithm: route.signing.algorithm(),
            takes_own_project: route.service.is_none(),
            target: self.path_reading.apply(self.target()),
            hash: self.hash.as_ref(),
            date,
        }
    }

    /// The connection mode of the request. gRPC needs HTTP/2. A long body would hold up other requests,
    /// and costs less over a connection of its own. A streamed body cannot be sent again, as may become
    /// necessary at any time over a shared connection.
    pub(super) fn mode(&self) -> Mode {
        let is_short = self.body.length().is_some_and(|length| length <= SHORT);
        if self.routed.context.is_grpc {
            Mode::Http2
        } else if is_short && self.body.is_repeatable() && !self.routed.is_websocket {
            Mode::Shared
        } else {
            Mode::Exclusive
        }
    }

    /// The request of one attempt, with the headers that the proxy sets on every one but for what
    /// authenticates it.
    pub(super) fn outgoing<B>(&self, settings: &Settings, body: B, is_http2: bool) -> Request<B> {
        let (routed, length) = (&self.routed, self.body.length());
        let route = settings.route(routed.route);
        let mut request = Request::new(body);
        *request.method_mut() = routed.head.method.clone();
        *request.uri_mut() = routed.target.clone().into();
        let headers = request.headers_mut();
        headers.reserve(routed.head.headers.len() + 12);
        headers.insert(HOST, route.upstream.authority.clone());
        let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(&routed.head.method);
        // Without a length, gateways answer 411 to a method that is defined with a body.
        if let Some(length) = length.filter(|length| *length > 0 || expects_body) {
            headers.insert(CONTENT_LENGTH, length.into());
        } else if length.is_none() && !is_http2 {
            // Without it, hyper treats the body of a GET as empty.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if route.service.is_none() {
            headers.insert(STAGE, route.stage.clone());
        }
        headers.insert(HOP_HEADER, routed.hops.clone());
        headers.extend(routed.project_id.clone().map(|id| (PROJECT_ID, id)));
        if routed.is_websocket {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if is_http2 && routed.context.takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        request
    }

    /// Checks that a `101` switches to the protocol that the request asked for, which can only be
    /// WebSocket.
    pub(super) fn check_switch<B>(&self, response: &Response<B>) -> Result<(), Error> {
        let mut protocols = headers::elements(response.headers(), &UPGRADE);
        let is_asked = self.routed.is_websocket
            && (protocols.next()).is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
            && protocols.next().is_none();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && !is_asked {
            let unasked = "the protocol was switched unasked";
            return Err(Error::BadResponse(unasked.into()));
        }
        Ok(())
    }
}
