//! Answers in the gateway's shape.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::judgement::{Accepted, Proof};
use super::refusal::Refused;

/// The answer to a judged request: what was received, or why it was refused.
pub(super) fn response(judged: Result<Accepted, Refused>) -> Response<Full<Bytes>> {
    let request_id = format!("{:032x}", fastrand::u128(..));
    let (status, closes, body) = match judged {
        Ok(accepted) => (StatusCode::OK, false, received(accepted, &request_id)),
        Err(Refused {
            status,
            code,
            message,
            closes,
        }) => {
            let body =
                json!({ "error_msg": message, "error_code": code, "request_id": request_id });
            (status, closes, body)
        }
    };
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SERVER, HeaderValue::from_static("api-gateway"));
    let request_id =
        HeaderValue::try_from(request_id).expect("hexadecimal digits are a header value");
    headers.insert("x-request-id", request_id);
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn received(accepted: Accepted, request_id: &str) -> Value {
    let Accepted {
        method,
        path,
        query,
        headers,
        body,
        proof: Proof { mode, verified },
    } = accepted;
    let signature = verified.as_ref();
    json!({
        "verified": true,
        "auth": mode.as_str(),
        "method": method,
        "path": path,
        "query": query,
        "headers": headers,
        "body_bytes": body.length,
        "body_sha256": body.hash.as_str(),
        "body_signed": signature.is_some_and(|signature| signature.body_signed),
        "access_key": signature.map(|signature| &signature.access_key),
        "signed_headers": signature.map(|signature| &signature.signed_headers),
        "request_id": request_id,
    })
}
