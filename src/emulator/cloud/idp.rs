//! IAM, for users of an identity provider: an identity token becomes a token, and that a temporary key.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::{Call, Cloud, Endpoint, Service, answer, iam, is, text};
use crate::emulator::known::{TokenState, lock};

/// How long a key may be asked for, in seconds (IAM, temporary access keys).
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=86_400;

pub(super) static TOKENS: Endpoint = Endpoint {
    service: Service::Idp,
    method: Method::POST,
    path: "/v3.0/OS-AUTH/id-token/tokens",
    well: create_token,
    unauthorized: Some(unauthorized),
};

pub(super) static SECURITY_TOKENS: Endpoint = Endpoint {
    service: Service::Idp,
    method: Method::POST,
    path: "/v3.0/OS-CREDENTIAL/securitytokens",
    well: create_key,
    unauthorized: Some(unauthorized),
};

fn create_token(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    let body = call.json();
    let (Some(idp), Some(id_token)) = (call.header("x-idp-id"), text(&body, "/auth/id_token/id"))
    else {
        return iam::malformed();
    };
    let trusts = lock(&cloud.accounts)
        .federation
        .as_ref()
        .is_some_and(|federation| {
            federation.idp_id == idp && is(&federation.id_token, Some(id_token))
        });
    if !trusts {
        return unauthorized();
    }
    let token = json!({ "methods": ["mapped"], "user": { "OS-FEDERATION": { "identity_provider": { "id": idp } } } });
    iam::created(cloud.issue_token(call.mood), token)
}

fn create_key(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    let body = call.json();
    let identity = |name: &str| body.pointer(&format!("/auth/identity/{name}"));
    if identity("methods") != Some(&json!(["token"])) {
        return iam::malformed();
    }
    let seconds = identity("token/duration_seconds");
    let asked = seconds.map(|seconds| seconds.as_u64().filter(|asked| DURATIONS.contains(asked)));
    if asked == Some(None) {
        return iam::malformed();
    }
    // Either place is documented.
    let token = text(&body, "/auth/identity/token/id").or_else(|| call.header("x-auth-token"));
    let known = token.map(|token| cloud.known.token(token.as_bytes(), cloud.clock.now()));
    if known != Some(TokenState::Valid) {
        return unauthorized();
    }
    let key = cloud.issue_key(call.mood, asked.flatten().map(Duration::from_secs));
    answer::json(StatusCode::CREATED, &key.credential())
}

fn unauthorized() -> Response<Full<Bytes>> {
    answer::refused_by_iam(
        StatusCode::UNAUTHORIZED,
        "The request you have made requires authentication.",
    )
}
