//! Web pages of listed origins (`access.origins`): what their browser has to be told.
//!
//! A browser shows a page no answer of another origin unless the answer says that it may, and before most
//! requests it asks. It is told so here, for listed origins only.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};

use super::Settings;
use super::body::ResponseBody;
use crate::error::Error;

const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";
const ALLOW_PRIVATE_NETWORK: &str = "access-control-allow-private-network";

/// How long a browser may keep the answer to its question, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Whether a request is a browser's question whether it may send another one.
pub(super) fn is_preflight(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a browser's question.
///
/// # Errors
///
/// [`Error::Internal`] if the configured methods are no header value.
pub(super) fn preflight(
    settings: &Settings,
    asked: &HeaderMap,
    origin: &HeaderValue,
) -> Result<Response<ResponseBody>, Error> {
    let mut answer = Response::new(ResponseBody::whole(Bytes::new(), None));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    allow(headers, origin);
    let methods = HeaderValue::try_from(settings.methods.names());
    let methods = methods.map_err(|_| Error::Internal("a method is no header value"))?;
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    for names in asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    if asked.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Ok(answer)
}

/// Tells the browser that the page may see the answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(VARY, HeaderValue::from_static("origin"));
}

/// Whether a header of the gateway's would contradict what the browser is told here.
pub(super) fn is_answered_here(name: &str) -> bool {
    name == ACCESS_CONTROL_ALLOW_ORIGIN
}
