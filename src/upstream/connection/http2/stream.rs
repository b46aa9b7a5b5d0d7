//! One request over a shared connection.

use std::error::Error as _;
use std::rc::Rc;

use bytes::Bytes;
use h2::Reason;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use super::super::body::{BodyFailure, TrackedBody};
use super::super::{BoxError, SendError, Unsent};
use super::Http2Connection;
use super::support::Http2Support;

/// Headers that neither side may keep in its table (RFC 7541 §7.1.3): secrets, and what never repeats.
const NEVER_INDEXED: [&str; 4] = [
    "authorization",
    "x-security-token",
    "x-auth-token",
    "x-apig-appcode",
];

/// The place of one request on a shared connection.
#[derive(Debug)]
pub(in crate::upstream) struct Http2Stream<B> {
    connection: Rc<Http2Connection<B>>,
    is_reused: bool,
}

impl<B> Http2Stream<B> {
    pub(super) fn new(connection: Rc<Http2Connection<B>>) -> Self {
        connection.in_flight.set(connection.in_flight.get() + 1);
        Self {
            is_reused: connection.has_answered.get(),
            connection,
        }
    }

    /// Whether the connection has carried an answer before.
    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Prevents further requests over the connection.
    pub(in crate::upstream) fn mark_unusable(&self) {
        self.connection.is_unusable.set(true);
    }

    fn http1_required(&self) {
        self.connection.support.set(Http2Support::Http1Required);
        self.mark_unusable();
    }

    fn to_http2<T>(&self, request: &mut Request<T>) -> Result<(), http::Error> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(self.connection.authority.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()?;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        for name in [HOST, CONNECTION, UPGRADE] {
            headers.remove(name);
        }
        for (name, value) in headers.iter_mut() {
            if NEVER_INDEXED.contains(&HeaderName::as_str(name)) {
                value.set_sensitive(true);
            }
        }
        Ok(())
    }
}

impl<B> Http2Stream<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(in crate::upstream::connection) async fn send(
        &self,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, Unsent<B>> {
        if let Err(error) = self.to_http2(&mut request) {
            return Err(SendError::NotSent(error.into()).into());
        }
        let (head, body) = request.into_parts();
        let (body, failure) = TrackedBody::new(body, None);
        let request = Request::from_parts(head, body);
        let answer = self
            .connection
            .sender
            .borrow_mut()
            .try_send_request(request);
        match answer.await {
            Ok(answer) => {
                self.connection.has_answered.set(true);
                if self.connection.limits.are_exceeded(answer.headers()) {
                    return Err(SendError::AnswerHeadTooLarge.into());
                }
                Ok(answer)
            }
            Err(error) => Err(self.failed(error, &failure)),
        }
    }

    fn failed(
        &self,
        mut error: TrySendError<Request<TrackedBody<B>>>,
        failure: &BodyFailure,
    ) -> Unsent<B> {
        if let Some(request) = error.take_message() {
            // The connection takes no more requests.
            self.mark_unusable();
            return Unsent {
                error: SendError::NotSent(error.into_error().into()),
                body: Some(request.into_body().into_inner()),
            };
        }
        if let Some(error) = failure.take() {
            return SendError::RequestBody(error).into();
        }
        let error = error.into_error();
        let Some(cause) = error.source().and_then(|cause| cause.downcast_ref()) else {
            self.mark_unusable();
            return if error.is_user() {
                // hyper dropped the request while it waited for a stream of its own.
                SendError::NotSent(error.into()).into()
            } else {
                // hyper unwraps errors of the connection.
                SendError::NoAnswer(error.into()).into()
            };
        };
        let classified = self.classify(cause);
        classified(error.into()).into()
    }

    fn classify(&self, cause: &h2::Error) -> fn(BoxError) -> SendError {
        let reason = cause.reason();
        if !cause.is_reset() {
            // The connection has ended, or is going to.
            self.mark_unusable();
        }
        match (cause.is_remote(), reason) {
            (true, Some(Reason::HTTP_1_1_REQUIRED)) => {
                self.http1_required();
                SendError::NotSent
            }
            (true, Some(Reason::REFUSED_STREAM)) => {
                self.mark_unusable();
                SendError::NotSent
            }
            // To requests up to the one that GOAWAY names, the end of the connection is another error.
            (true, _) if cause.is_go_away() => SendError::NotSent,
            // What the gateway sent is against the protocol.
            (false, Some(_)) => SendError::BadResponse,
            _ => SendError::NoAnswer,
        }
    }
}

impl<B> Drop for Http2Stream<B> {
    fn drop(&mut self) {
        let in_flight = self.connection.in_flight.get() - 1;
        self.connection.in_flight.set(in_flight);
        if in_flight == 0 {
            self.connection.idle_since.set(Instant::now());
        }
    }
}
