//! Responses of the services, each in the shape of the real one.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Service;

/// JSON.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    with(status, "application/json;charset=UTF-8", body.to_string())
}

/// Text.
pub(super) fn plain(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=UTF-8", body.to_owned())
}

/// The response to a path that no service has.
pub(in crate::emulator) fn missing() -> Response<Full<Bytes>> {
    refused(StatusCode::NOT_FOUND, "404", "not found")
}

/// The response of a captive portal to everything.
pub(super) fn captive_portal() -> Response<Full<Bytes>> {
    let page = "<html><body>welcome to the network</body></html>\n".to_owned();
    with(StatusCode::OK, "text/html", page)
}

/// The response of a service to an identity that it does not know.
pub(super) fn unauthorized(service: Service) -> Response<Full<Bytes>> {
    let status = StatusCode::UNAUTHORIZED;
    match service {
        Service::Iam => by_iam(status, "The username or password is wrong."),
        Service::Idp => by_iam(status, "The request you have made requires authentication."),
        Service::Sts => refused(status, "STS5.401", "the identity token is not accepted"),
        // The real one has no agency then. Callers know it by this text, and do not ask again.
        Service::Metadata => plain(status, "Please configure Cloud Service Agency first"),
        Service::PodIdentity => refused(status, "401", "the pod's token is not accepted"),
    }
}

/// The response to a request that lacks something.
pub(super) fn malformed() -> Response<Full<Bytes>> {
    by_iam(StatusCode::BAD_REQUEST, "The request body is invalid.")
}

/// A refusal of the services that name a code and a message.
pub(super) fn refused(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "error_code": code, "error_msg": message }))
}

/// A refusal of IAM's version 3.
fn by_iam(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
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
