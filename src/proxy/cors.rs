//! CORS for web pages of listed origins (`access.origins`): the preflight response, and the header
//! that lets a page read a response. Other origins never get either.

use bytes::Bytes;
use http::header::{self, VARY};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};

use super::Settings;
use super::body::ResponseBody;
use crate::error::Error;

/// The headers of a response that a page may read beyond the usual ones.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-apig-proxy-hint, x-request-id");

/// How long a browser may cache a preflight response, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// True if a browser asks for permission to send another request.
pub(super) fn is_preflight(head: &request::Parts) -> bool {
    let asked = header::ACCESS_CONTROL_REQUEST_METHOD;
    head.method == Method::OPTIONS && head.headers.contains_key(asked)
}

/// The response to a preflight from a listed origin.
pub(super) fn preflight(
    settings: &Settings,
    asked: &HeaderMap,
    origin: &HeaderValue,
) -> Result<Response<ResponseBody>, Error> {
    let mut response = Response::new(ResponseBody::whole(Bytes::new(), None));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow(headers, origin);
    let methods = HeaderValue::try_from(settings.any_methods.names());
    let methods = methods.map_err(|_| Error::Internal("a method is no header value"))?;
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    for names in asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Ok(response)
}

/// Lets pages of a listed origin read a response.
pub(super) fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(VARY, HeaderValue::from_static("origin"));
}
