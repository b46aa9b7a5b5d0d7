//! IAM: tokens for users with passwords, and the projects of regions. For users of an identity provider, an identity token
//! becomes a token, and that a temporary key.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::answer::{json as respond, malformed};
use super::machines::is_signed;
use super::{Call, Cloud, is, text};
use crate::emulator::key_store::{State, lock};
use crate::signature::PayloadHash;

/// The allowed lifetimes of a key in seconds (IAM, temporary access keys).
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=86_400;

pub(super) fn user_token(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let body = call.json();
    let user = |name: &str| text(&body, &format!("/auth/identity/password/user/{name}"));
    let (Some(name), Some(password), Some(domain)) =
        (user("name"), user("password"), user("domain/name"))
    else {
        return Some(malformed());
    };
    if body.pointer("/auth/identity/methods") != Some(&json!(["password"])) {
        return Some(malformed());
    }
    let is_user = lock(&cloud.store).accounts.users.iter().any(|user| {
        user.name == name && user.domain == domain && is(&user.password, Some(password))
    });
    is_user.then_some(())?;
    let mut token = json!({
        "methods": ["password"],
        "user": { "name": name, "domain": { "name": domain } },
    });
    if let Some(project) = body.pointer("/auth/scope/project") {
        token["project"] = project.clone();
    }
    // It makes the real response long, and is left out on demand.
    if !call.query.split('&').any(|pair| pair == "nocatalog=true") {
        token["catalog"] = json!([]);
    }
    Some(cloud.issue_token(call.fault, token))
}

pub(super) fn idp_token(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let body = call.json();
    let (Some(idp), Some(id_token)) = (call.header("x-idp-id"), text(&body, "/auth/id_token/id"))
    else {
        return Some(malformed());
    };
    let federation = lock(&cloud.store).accounts.federation.clone()?;
    let is_trusted = federation.idp_id == idp && is(&federation.id_token, Some(id_token));
    is_trusted.then_some(())?;
    let user = json!({ "OS-FEDERATION": { "identity_provider": { "id": idp } } });
    let token = json!({ "methods": ["mapped"], "user": user });
    Some(cloud.issue_token(call.fault, token))
}

pub(super) fn key(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let body = call.json();
    let identity = |name: &str| body.pointer(&format!("/auth/identity/{name}"));
    let asked = identity("token/duration_seconds").map(|seconds| seconds.as_u64().unwrap_or(0));
    let is_duration = asked.is_none_or(|seconds| DURATIONS.contains(&seconds));
    if identity("methods") != Some(&json!(["token"])) || !is_duration {
        return Some(malformed());
    }
    // Either place is documented.
    let token = text(&body, "/auth/identity/token/id").or_else(|| call.header("x-auth-token"))?;
    let state = lock(&cloud.store).token(token.as_bytes(), cloud.clock.now());
    (state == State::Valid).then_some(())?;
    let key = cloud.issue_key(call.fault, asked.map(Duration::from_secs));
    Some(respond(StatusCode::CREATED, &key.credential()))
}

/// The project of the region that the query names. Every region has one, whose id depends on its name
/// alone.
pub(super) fn projects(cloud: &Cloud, call: &Call) -> Option<Response<Full<Bytes>>> {
    let store = lock(&cloud.store);
    let token = call.header("x-auth-token");
    let is_known = match token {
        Some(token) => store.token(token.as_bytes(), cloud.clock.now()) == State::Valid,
        None => is_signed(&store, cloud, call),
    };
    is_known.then_some(())?;
    let name = call.parameter("name").filter(|name| !name.is_empty());
    let project = |name: &str| {
        let hash = PayloadHash::new(name.as_bytes());
        json!({ "id": &hash.as_str()[..32], "name": name, "enabled": true, "is_domain": false })
    };
    let projects: Vec<_> = name.map(project).into_iter().collect();
    Some(respond(StatusCode::OK, &json!({ "projects": projects })))
}
