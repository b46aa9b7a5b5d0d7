//! Refusals, in the gateway's own words (APIG manual, error codes; FAQ on APIG.0301 and APIG.0303).

use http::StatusCode;

use super::known::Owner;
use crate::signature::Refusal;

/// A refusal, with the gateway's own code and message.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
}

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: &str) -> Self {
        let status = StatusCode::from_u16(status).expect("the gateway's status codes are valid");
        Self {
            status,
            code,
            message: message.to_owned(),
            closes: false,
        }
    }

    /// A body that is longer than the gateway takes.
    pub(super) fn too_large() -> Self {
        Self {
            closes: true,
            ..Self::new(413, "APIG.0201", "Request entity too large.")
        }
    }

    /// A key or a token of IAM that is not accepted.
    pub(super) fn iam(message: &str) -> Self {
        let message = format!("Incorrect IAM authentication information: {message}");
        Self::new(401, "APIG.0301", &message)
    }

    /// A key or a code of an app that is not accepted.
    pub(super) fn app(message: &str) -> Self {
        let message = format!("Incorrect app authentication information: {message}");
        Self::new(401, "APIG.0303", &message)
    }

    /// An API key that is not accepted (MaaS, error codes).
    pub(super) fn api_key() -> Self {
        Self::new(401, "ModelArts.81003", "Invalid authorization header.")
    }

    /// A token that is to be replaced.
    pub(super) fn old_token() -> Self {
        Self::new(401, "APIG.0307", "The token must be updated.")
    }

    /// A key whose time is over.
    pub(super) fn expired_key() -> Self {
        Self::iam("calc ak sk signature fail:signature expired")
    }

    /// A signature that does not verify.
    pub(super) fn signature(refusal: &Refusal, owner: Owner) -> Self {
        match owner {
            Owner::Iam => Self::iam(&of_iam(refusal)),
            Owner::App => Self::app(&of_app(refusal)),
        }
    }
}

fn of_iam(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Authorization => "x-auth-token not found".to_owned(),
        Refusal::UnknownKey { access_key } => {
            format!("Get secretKey failed,ak:{access_key},err:ak not exist")
        }
        Refusal::Expired { signed, now } => format!(
            "calc aksk signature fail:signature expired, signature time:{signed},server time:{now}"
        ),
        Refusal::Mismatch { canonical } => format!(
            "verify aksk signature fail, canonicalRequest:{}",
            on_one_line(canonical)
        ),
        Refusal::MissingHeader(name) | Refusal::RepeatedHeader(name) => {
            format!("calc aksk signature fail:signed header {name} not found")
        }
        Refusal::DateNotSigned => "calc aksk signature fail:x-sdk-date not signed".to_owned(),
        Refusal::Malformed | Refusal::LegacyForm | Refusal::NotCanonical(_) => {
            "Unauthorized".to_owned()
        }
    }
}

fn of_app(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownKey { access_key } => format!("app not found, appkey {access_key}"),
        Refusal::Expired { signed, now } => {
            format!("signature expired, signature time:{signed},server time:{now}")
        }
        Refusal::Mismatch { canonical } => format!(
            "verify signature fail, canonicalRequest:{}",
            on_one_line(canonical)
        ),
        Refusal::MissingHeader(name) | Refusal::RepeatedHeader(name) => {
            format!("signed header {name} not found")
        }
        Refusal::DateNotSigned => "x-sdk-date not signed".to_owned(),
        Refusal::Authorization
        | Refusal::Malformed
        | Refusal::LegacyForm
        | Refusal::NotCanonical(_) => "Unauthorized".to_owned(),
    }
}

fn on_one_line(canonical: &str) -> String {
    canonical.replace('\n', "|")
}
