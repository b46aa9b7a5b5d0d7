//! Answers of the services, and those that are none.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// JSON.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    with(status, "application/json;charset=UTF-8", body.to_string())
}

/// Text.
pub(super) fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=UTF-8", body)
}

/// What answers where nothing is.
pub(in crate::emulator) fn missing() -> Response<Full<Bytes>> {
    refused(StatusCode::NOT_FOUND, "404", "not found")
}

pub(super) fn broken() -> Response<Full<Bytes>> {
    refused(
        StatusCode::INTERNAL_SERVER_ERROR,
        "500",
        "internal server error",
    )
}

pub(super) fn unreadable() -> Response<Full<Bytes>> {
    refused(StatusCode::BAD_REQUEST, "400", "the body cannot be read")
}

/// What a captive portal answers to everything.
pub(super) fn garbage() -> Response<Full<Bytes>> {
    let page = "<html><body>welcome to the network</body></html>\n".to_owned();
    with(StatusCode::OK, "text/html", page)
}

/// A refusal of the services that name a code and a message.
pub(super) fn refused(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "error_code": code, "error_msg": message }))
}

/// A refusal of IAM's version 3.
pub(super) fn refused_by_iam(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or_default();
    let error = json!({ "code": status.as_u16(), "message": message, "title": title });
    json(status, &json!({ "error": error }))
}

fn with(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
