//! Responses of the gateway. Refusals have its own words (APIG manual, error codes; FAQ on
//! APIG.0301 and APIG.0303).

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::key_store::Owner;
use crate::signature::Refusal;

/// A refusal, with the gateway's own code and message.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The canonical request that the signature does not match.
    canonical: Option<String>,
}

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("the gateway's status codes are valid"),
            code,
            message: message.into(),
            canonical: None,
        }
    }

    /// A body that is longer than the gateway accepts. The connection ends with it.
    pub(super) fn too_large() -> Self {
        Self::new(413, "APIG.0201", "Request entity too large.")
    }

    /// A key or a token of IAM that is not accepted.
    pub(super) fn iam(message: &str) -> Self {
        let message = format!("Incorrect IAM authentication information: {message}");
        Self::new(401, "APIG.0301", message)
    }

    /// A key or a code of an app that is not accepted.
    pub(super) fn app(message: &str) -> Self {
        let message = format!("Incorrect app authentication information: {message}");
        Self::new(401, "APIG.0303", message)
    }

    /// A signature that does not verify.
    pub(super) fn signature(refusal: &Refusal, owner: Owner) -> Self {
        let message = message(refusal, owner);
        let mut refused = match owner {
            Owner::Iam => Self::iam(&message),
            Owner::App => Self::app(&message),
        };
        if let Refusal::Mismatch { canonical } = refusal {
            refused.canonical = Some(canonical.clone());
        }
        refused
    }
}

fn message(refusal: &Refusal, owner: Owner) -> String {
    let is_iam = owner == Owner::Iam;
    let (aksk, fail) = match owner {
        Owner::Iam => ("aksk ", "calc aksk signature fail:"),
        Owner::App => ("", ""),
    };
    match refusal {
        Refusal::Authorization if is_iam => "x-auth-token not found".to_owned(),
        Refusal::UnknownKey { access_key } if is_iam => {
            format!("Get secretKey failed,ak:{access_key},err:ak not exist")
        }
        Refusal::UnknownKey { access_key } => format!("app not found, appkey {access_key}"),
        Refusal::Expired { signed, now } => {
            format!("{fail}signature expired, signature time:{signed},server time:{now}")
        }
        Refusal::Mismatch { canonical } => {
            let canonical = canonical.replace('\n', "|");
            format!("verify {aksk}signature fail, canonicalRequest:{canonical}")
        }
        Refusal::MissingHeader(name) | Refusal::RepeatedHeader(name) => {
            format!("{fail}signed header {name} not found")
        }
        Refusal::DateNotSigned => format!("{fail}x-sdk-date not signed"),
        Refusal::Authorization
        | Refusal::Malformed
        | Refusal::LegacyForm
        | Refusal::NotCanonical(_) => "Unauthorized".to_owned(),
    }
}

/// The code of a refusal, or what became of the request, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome(pub(crate) &'static str);

/// The canonical request of the gateway, with the security token, beside a refusal that quotes it.
#[derive(Clone, Debug)]
pub(crate) struct Canonical(pub(crate) String);

/// The response to a request: what was received, or why it was refused.
pub(super) fn response(judged: Result<Value, Refused>) -> Response<Bytes> {
    let request_id = format!("{:032x}", fastrand::u128(..));
    let mut response = Response::new(Bytes::new());
    let (outcome, mut body) = match judged {
        Ok(received) => ("verified", received),
        Err(refused) => {
            *response.status_mut() = refused.status;
            if let Some(canonical) = refused.canonical {
                response.extensions_mut().insert(Canonical(canonical));
            }
            if refused.status == StatusCode::PAYLOAD_TOO_LARGE {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            let body = json!({ "error_msg": refused.message, "error_code": refused.code });
            (refused.code, body)
        }
    };
    body["request_id"] = request_id.as_str().into();
    *response.body_mut() = format!("{body}\n").into();
    response.extensions_mut().insert(Outcome(outcome));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SERVER, HeaderValue::from_static("api-gateway"));
    let request_id = HeaderValue::try_from(request_id);
    let request_id = request_id.expect("hexadecimal digits are a header value");
    headers.insert("x-request-id", request_id);
    response
}
