//! Why a request ended as it did: what its code means, and what to do.

use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::note::{Relayed, Side};
use super::signature;
use crate::gateway::{GatewayError, Meaning};

/// The answer to "why" for the API.
pub(in crate::inspect) fn why(entry: &Entry) -> Value {
    let known = |text: fn(&Relayed) -> &str| {
        let text = entry.relayed.as_ref().map(|relayed| text(relayed));
        text.filter(|text| !text.is_empty())
    };
    // The first difference that any attempt has shown.
    let difference = entry.attempts.iter().rev().find_map(|attempt| {
        let (canonical, _) = signature::signed_texts(entry, attempt)?;
        signature::first_difference(&canonical, attempt)
    });
    json!({
        "code": entry.code(),
        "meaning": known(|relayed| &relayed.message).or_else(|| meaning(entry)),
        "hint": known(|relayed| &relayed.hint),
        "gateway_request_id": known(|relayed| &relayed.gateway_request_id),
        "difference": difference,
    })
}

fn meaning(entry: &Entry) -> Option<&'static str> {
    let code = entry.code()?;
    let status = entry.status().filter(|status| *status >= 400);
    let status = status.unwrap_or(401);
    // Without its words, a refusal is known by its code only.
    let bare = json!({"error_code": code}).to_string();
    let error = GatewayError::read(status, &entry.body(Side::Out).bytes);
    let error = error.or_else(|| GatewayError::read(status, bare.as_bytes()))?;
    Some(describe(&error.meaning))
}

fn describe(meaning: &Meaning) -> &'static str {
    match meaning {
        Meaning::SignatureMismatch { .. } => {
            "the gateway computed another signature than the proxy"
        }
        Meaning::Expired { .. } => {
            "the date of the signature is too far from the gateway's clock, or the temporary key has expired"
        }
        Meaning::KeyLocked => {
            "the gateway has locked the access key for five minutes after too many wrong signatures"
        }
        Meaning::UnknownKey => "the gateway does not know the access key",
        Meaning::InvalidToken => {
            "the gateway does not take the token, or found no signature that it takes"
        }
        Meaning::UnknownApp => "the gateway does not know the app of this key or app code",
        Meaning::Unauthorized => {
            "the gateway did not authenticate the request, and does not say why"
        }
        Meaning::Forbidden => "the gateway knows the caller, which may not call this API",
        Meaning::Arrears => "the account or the resource is in arrears, frozen or restricted",
        Meaning::ApiNotFound => "no API is published under this host, stage, path and method",
        Meaning::MethodNotAllowed => "the API does not take this method",
        Meaning::Throttled => "too many calls, or a quota is used up",
        Meaning::BodyTooLarge => "the body is larger than the gateway takes",
        Meaning::TargetTooLong => "path and query are longer than the gateway takes",
        Meaning::HeadersTooLarge => "the headers are larger than the gateway takes",
        Meaning::BackendUnavailable => "the gateway cannot reach the service behind the API",
        Meaning::BackendTimeout => "the service behind the API did not answer in time",
        Meaning::TlsVersion => "the gateway does not take the TLS version of the connection",
        Meaning::ClientCertificate => "the gateway asks for a client certificate, or another one",
        Meaning::IamUnavailable => "the service that checks keys and tokens is down",
        Meaning::Other => "the gateway refused the request; its message says more",
    }
}
