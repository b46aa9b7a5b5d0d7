//! Responses of the inspector: complete ones, and streams.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
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
