//! Responses of the inspector: complete ones, streams, and errors as JSON.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ALLOW, CONTENT_TYPE, DATE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::clock;

pub(super) const JSON: &str = "application/json";

/// The body of a response.
pub(crate) type ApiBody = UnsyncBoxBody<Bytes, Infallible>;

/// A complete response. Caches do not keep it, browsers do not guess its type, and pages of other
/// origins cannot read it.
pub(super) fn respond(
    status: StatusCode,
    content_type: &'static str,
    content: Bytes,
) -> Response<ApiBody> {
    with_headers(status, content_type, Full::new(content).boxed_unsync())
}

/// A response that streams frames, until their sender is dropped.
pub(super) fn streamed(
    content_type: &'static str,
    mut frames: mpsc::Receiver<Bytes>,
) -> Response<ApiBody> {
    let frames = stream::poll_fn(move |context| {
        let frame = frames.poll_recv(context);
        frame.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    with_headers(StatusCode::OK, content_type, body)
}

fn with_headers(
    status: StatusCode,
    content_type: &'static str,
    body: ApiBody,
) -> Response<ApiBody> {
    const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let date = HeaderValue::try_from(clock::http_date());
    headers.insert(DATE, date.expect("a date is a header value"));
    response
}

pub(super) fn json_of(status: StatusCode, value: &Value) -> Response<ApiBody> {
    respond(status, JSON, value.to_string().into())
}

/// Why a request to the inspector is refused: the status, the code, and a text like
/// `what is wrong\nhint: what to do`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem(
    pub(super) u16,
    pub(super) &'static str,
    pub(super) &'static str,
);

impl Problem {
    /// What is wrong.
    pub(super) fn message(self) -> &'static str {
        self.2.split("\nhint: ").next().unwrap_or_default()
    }

    /// The response that refuses the request.
    pub(crate) fn response(self) -> Response<ApiBody> {
        let Self(status, code, text) = self;
        let hint = text.split_once("\nhint: ").map_or("", |(_, hint)| hint);
        let error = json!({"error": {"code": code, "message": self.message(), "hint": hint}});
        let status = StatusCode::from_u16(status).expect("the statuses of problems are valid");
        let mut response = json_of(status, &error);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<ApiBody> {
    const TEXT: &str = "this path does not allow this method\nhint: use one of those in `Allow`";
    let mut response = Problem(405, "method_not_allowed", TEXT).response();
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The error for an id that is not known.
pub(super) const NOT_KEPT: Problem = Problem(
    404,
    "not_found",
    "no request with this id is kept\nhint: it may have been evicted; raise `inspect.requests` or `inspect.memory`",
);
