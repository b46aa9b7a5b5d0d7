//! Responses of the inspector: whole ones, streams, and errors as JSON.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_DISPOSITION, CONTENT_TYPE, DATE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::clock;

pub(super) const JSON: &str = "application/json";

/// The body of a response.
#[derive(Debug)]
pub(crate) enum ApiBody {
    Whole(Option<Bytes>),
    /// Frames, until their sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Stream(frames) => frames.poll_recv(cx),
        };
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream(_) => SizeHint::new(),
        }
    }
}

/// A whole response. No cache keeps it, no browser guesses its type, and no page of another origin
/// gets it.
pub(super) fn respond(
    status: StatusCode,
    content_type: &'static str,
    content: Bytes,
) -> Response<ApiBody> {
    let body = Some(content).filter(|content| !content.is_empty());
    with_headers(status, content_type, ApiBody::Whole(body))
}

/// A response that streams.
pub(super) fn stream(
    content_type: &'static str,
    frames: mpsc::Receiver<Bytes>,
) -> Response<ApiBody> {
    with_headers(StatusCode::OK, content_type, ApiBody::Stream(frames))
}

fn with_headers(
    status: StatusCode,
    content_type: &'static str,
    body: ApiBody,
) -> Response<ApiBody> {
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
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'; sandbox",
        ),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let date = HeaderValue::try_from(clock::http_date());
    headers.insert(DATE, date.expect("a date is a header value"));
    response
}

/// A response with JSON.
pub(super) fn json_of(status: StatusCode, value: &Value) -> Response<ApiBody> {
    respond(status, JSON, value.to_string().into())
}

/// A response that a browser saves under a name and does not show.
pub(super) fn download(
    content_type: &'static str,
    name: &'static str,
    content: Bytes,
) -> Response<ApiBody> {
    let mut response = respond(StatusCode::OK, content_type, content);
    let headers = response.headers_mut();
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    response
}

/// Why a request to the inspector is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
}

impl Problem {
    /// A problem with a text like `what is wrong\nhint: what to do`.
    pub(super) fn new(status: StatusCode, code: &'static str, text: &str) -> Self {
        let (message, hint) = text.split_once("\nhint: ").unwrap_or((text, ""));
        Self {
            status,
            code,
            message: message.to_owned(),
            hint: hint.to_owned(),
        }
    }

    pub(super) fn response(&self) -> Response<ApiBody> {
        let Self {
            code,
            message,
            hint,
            ..
        } = self;
        let error = json!({"error": {"code": code, "message": message, "hint": hint}});
        let mut response = json_of(self.status, &error);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// The response to a method that a path does not take.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response<ApiBody> {
    let text = format!("this path is not used with this method\nhint: use {allowed}");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &text);
    let mut response = problem.response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The problem with an id.
pub(super) fn not_kept() -> Problem {
    const TEXT: &str = "no request with this id is kept\nhint: it may have made room for others; raise `inspect.requests` or `inspect.memory`";
    Problem::new(StatusCode::NOT_FOUND, "not_found", TEXT)
}
