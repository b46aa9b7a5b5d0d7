//! Errors for gRPC callers, which find the status of a call in `grpc-status` and not in the HTTP status.
//!
//! The answer is of the form that gRPC calls trailers-only: a head with status 200 and no body.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::ResponseBody;
use crate::error::Error;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Turns the answer to an error into one that gRPC callers understand. Its other headers stay.
pub(super) fn answer(error: &Error, mut answer: Response<ResponseBody>) -> Response<ResponseBody> {
    let status = status(answer.status());
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.remove(CONTENT_LENGTH);
    headers.insert(GRPC_STATUS, status.into());
    let message = format!(
        "PROXY.{}: {}",
        error.answer().code,
        message(&error.to_string())
    );
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    answer.map(ResponseBody::emptied)
}

/// The code of gRPC for an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping", with more of them).
fn status(status: StatusCode) -> u16 {
    match status.as_u16() {
        401 => 16,                  // UNAUTHENTICATED
        403 => 7,                   // PERMISSION_DENIED
        404 | 405 | 501 => 12,      // UNIMPLEMENTED
        408 | 504 => 4,             // DEADLINE_EXCEEDED
        413 | 414 | 429 | 431 => 8, // RESOURCE_EXHAUSTED
        502 | 503 => 14,            // UNAVAILABLE
        _ => 13,                    // INTERNAL
    }
}

/// A text as `grpc-message` carries it: everything but visible ASCII, and `%`, is percent-encoded.
fn message(text: &str) -> String {
    let mut message = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            message.push(char::from(byte));
        } else {
            message.push_str(&format!("%{byte:02X}"));
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(message("100% \u{e9}\n"), "100%25 %C3%A9%0A");
    }

    #[test]
    fn each_status_of_the_proxy_has_a_code_of_grpc() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (413, 8),
            (502, 14),
            (500, 13),
            (504, 4),
        ] {
            assert_eq!(status(StatusCode::from_u16(http).unwrap()), grpc, "{http}");
        }
    }
}
