//! Why a request ended as it did: what its code means, and what to do.

use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::note::Side;
use super::signature;
use crate::gateway::{Difference, GatewayError, Meaning};

/// How a request ended, if not with a whole response.
const ENDS: [(&str, &str); 3] = [
    (
        "caller_gone",
        "the caller disconnected before it had the whole response",
    ),
    (
        "broken_off",
        "the gateway's side ended before the end of the response",
    ),
    (
        "cut_off",
        "the proxy stopped before the end of the response",
    ),
];

/// The answer to "why" for the API.
pub(in crate::inspect) fn why(entry: &Entry) -> Value {
    let code = entry.code();
    let relayed = entry.relayed.as_ref();
    let stated = relayed.map(|relayed| relayed.gateway_request_id.as_str());
    let own = relayed.map(|relayed| relayed.message.clone());
    let meaning = own.filter(|message| !message.is_empty());
    json!({
        "code": code,
        "meaning": meaning.or_else(|| meaning_of(entry, code)),
        "hint": Some(entry.hint()).filter(|hint| !hint.is_empty()),
        "gateway_request_id": stated.filter(|id| !id.is_empty()),
        "difference": difference(entry).as_ref().map(signature::json),
    })
}

/// The first difference that any attempt has shown.
fn difference(entry: &Entry) -> Option<Difference> {
    entry.attempts.iter().rev().find_map(|attempt| {
        let signed = signature::signed_texts(entry, attempt)?;
        signature::first_difference(&signed, attempt)
    })
}

fn meaning_of(entry: &Entry, code: Option<&str>) -> Option<String> {
    if let Some(code) = code {
        let body = &entry.body(Side::Out).bytes;
        let status = entry
            .status()
            .filter(|status| *status >= 400)
            .unwrap_or(401);
        // Without its words, a refusal is known by its code only.
        let bare = json!({"error_code": code}).to_string();
        let error = GatewayError::read(status, body);
        let error = error.or_else(|| GatewayError::read(status, bare.as_bytes()))?;
        return Some(describe(&error.meaning).to_owned());
    }
    let ended = entry.ended.as_ref()?;
    lookup(&ENDS, ended.end).or_else(|| lookup(&ENDS, ended.outcome))
}

fn lookup(table: &[(&str, &str)], name: &str) -> Option<String> {
    let found = table.iter().find(|(known, _)| *known == name)?;
    Some(found.1.to_owned())
}

/// What a refusal of the gateway means.
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
