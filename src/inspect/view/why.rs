//! Why a request ended as it did: what its code means, and what to do.

use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::note::Side;
use super::signature;
use crate::gateway::{Difference, GatewayError, Meaning};

/// The codes of the proxy's own responses.
const OWN: [(&str, &str); 32] = [
    (
        "bad_host",
        "the request needs exactly one well-formed Host header",
    ),
    ("bad_request", "the request is malformed"),
    (
        "bad_response",
        "the gateway's response is not well-formed HTTP, or its head is too large",
    ),
    (
        "bad_target",
        "gateways would read the path or the query differently, so it cannot be signed",
    ),
    ("body_timeout", "the request body stopped arriving"),
    (
        "body_too_large",
        "the body is larger than the gateway accepts",
    ),
    ("caller_limited", "this caller has to wait"),
    ("caller_not_allowed", "this caller may not do that"),
    ("caller_required", "this proxy serves known callers only"),
    ("caller_signature", "the signature of the caller is refused"),
    ("connect_timeout", "connecting to the gateway took too long"),
    ("dns_error", "the gateway's host name cannot be resolved"),
    ("header_too_large", "the request head is too large"),
    ("host_not_allowed", "this Host may not use the proxy"),
    ("internal", "the proxy failed"),
    (
        "key_locked",
        "the gateway would lock the key after more wrong signatures, so none is sent for some time",
    ),
    (
        "loop",
        "the request came back to this proxy, or has passed three others",
    ),
    ("method_not_allowed", "this method is not allowed"),
    (
        "no_credentials",
        "the proxy has no valid credentials at the moment",
    ),
    ("no_route", "no route takes this path"),
    (
        "origin_not_allowed",
        "web pages of this origin may not use the proxy",
    ),
    (
        "overloaded",
        "the proxy holds as many bodies or connections as it may",
    ),
    ("read_only", "only reading is allowed here"),
    ("response_timeout", "the gateway did not answer in time"),
    (
        "service_not_allowed",
        "this cloud service is not among those that the proxy serves",
    ),
    (
        "service_signs_otherwise",
        "this cloud service takes other signatures than the proxy makes",
    ),
    (
        "target_too_long",
        "path and query are longer than the gateway accepts",
    ),
    (
        "tls_error",
        "there is no trusted TLS connection to the gateway",
    ),
    (
        "token_required",
        "this proxy serves callers with a token only",
    ),
    (
        "upgrade_not_supported",
        "the proxy switches to `websocket` only",
    ),
    (
        "upstream_reset",
        "the connection to the gateway ended before it answered",
    ),
    ("upstream_unreachable", "the gateway cannot be reached"),
];

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
    let stated = entry
        .relayed
        .as_ref()
        .map(|relayed| relayed.gateway_request_id.as_str());
    let own = code
        .filter(|code| code.starts_with("PROXY."))
        .and_then(|_| own_message(entry));
    let (own_text, own_hint) = own.unwrap_or_default();
    let hint = [entry.hint(), &own_hint]
        .into_iter()
        .find(|hint| !hint.is_empty());
    let meaning = Some(own_text).filter(|text| !text.is_empty());
    json!({
        "code": code,
        "meaning": meaning.or_else(|| meaning_of(entry, code)),
        "hint": hint,
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

/// Message and hint of a response of the proxy's own.
fn own_message(entry: &Entry) -> Option<(String, String)> {
    let body: Value = serde_json::from_slice(&entry.body(Side::Out).bytes).ok()?;
    let text = body.get("error_msg")?.as_str()?;
    let (text, hint) = text.split_once("\nhint: ").unwrap_or((text, ""));
    Some((text.to_owned(), hint.to_owned()))
}

fn meaning_of(entry: &Entry, code: Option<&str>) -> Option<String> {
    if let Some(own) = code.and_then(|code| code.strip_prefix("PROXY.")) {
        return lookup(&OWN, own);
    }
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
