//! The services, each of which takes what the SDKs send and refuses the rest.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;

use super::issuing::{CREDENTIAL, CREDENTIALS, json_response, refused, response};
use super::{Call, Cloud, is_secret, text};
use crate::clock;
use crate::emulator::accounts::random_text;
use crate::emulator::key_store::{KeyStore, State};
use crate::emulator::verification::{WINDOW, header_pairs, target};
use crate::lock::lock;
use crate::signature::{PayloadHash, ReceivedRequest, SigningDate, verify};

/// The answer to a call; `None` if its identity is not known.
pub(super) type Answered = Option<Response<Full<Bytes>>>;

/// IAM: a token for a user with a password.
pub(super) fn user_token(cloud: &Cloud, call: &Call) -> Answered {
    let body = call.json();
    let user = |name: &str| text(&body, &format!("/auth/identity/password/user/{name}"));
    let (Some(name), Some(password), Some(domain)) =
        (user("name"), user("password"), user("domain/name"))
    else {
        return Some(malformed("the name, the password or the domain of a user"));
    };
    let is_user = lock(&cloud.store).accounts.users.iter().any(|user| {
        user.name == name && user.domain == domain && is_secret(&user.password, Some(password))
    });
    is_user.then_some(())?;
    let mut token = json!({ "methods": ["password"] });
    if let Some(project) = body.pointer("/auth/scope/project") {
        token["project"] = project.clone();
    }
    Some(cloud.issue_token(call.fault, token))
}

/// IAM: a token for a user of an identity provider.
pub(super) fn idp_token(cloud: &Cloud, call: &Call) -> Answered {
    let body = call.json();
    let (Some(idp), Some(id_token)) = (call.header("x-idp-id"), text(&body, "/auth/id_token/id"))
    else {
        return Some(malformed("X-Idp-Id or an identity token"));
    };
    let federation = lock(&cloud.store).accounts.federation.clone()?;
    let is_trusted = federation.idp_id == idp && is_secret(&federation.id_token, Some(id_token));
    is_trusted.then(|| cloud.issue_token(call.fault, json!({ "methods": ["mapped"] })))
}

/// IAM: a temporary key for a token.
pub(super) fn token_key(cloud: &Cloud, call: &Call) -> Answered {
    let body = call.json();
    let token = text(&body, "/auth/identity/token/id").or_else(|| call.header("x-auth-token"))?;
    let state = lock(&cloud.store).token(token.as_bytes(), clock::timestamp());
    (state == State::Valid).then_some(())?;
    let asked = body.pointer("/auth/identity/token/duration_seconds");
    let asked = asked.and_then(serde_json::Value::as_u64);
    let key = cloud.issue_key(call.fault, asked, CREDENTIAL);
    Some(json_response(StatusCode::CREATED, &key))
}

/// IAM: the project of the region that the query names. Every region has one, whose id depends on
/// its name alone.
pub(super) fn projects(cloud: &Cloud, call: &Call) -> Answered {
    let store = lock(&cloud.store);
    let is_known = match call.header("x-auth-token") {
        Some(token) => store.token(token.as_bytes(), clock::timestamp()) == State::Valid,
        None => is_signed(&store, call),
    };
    is_known.then_some(())?;
    let mut pairs = call.query().split('&');
    let name = pairs.find_map(|pair| pair.strip_prefix("name="));
    let project = |name: &str| {
        let hash = PayloadHash::new(name.as_bytes());
        json!({ "id": &hash.as_str()[..32], "name": name, "enabled": true, "is_domain": false })
    };
    let projects: Vec<_> = name.map(project).into_iter().collect();
    let body = json!({ "projects": projects });
    Some(json_response(StatusCode::OK, &body))
}

/// The metadata service: a token of its own, which it gives to every caller.
pub(super) fn metadata_token(cloud: &Cloud, call: &Call) -> Answered {
    let lifetime = call.header("x-metadata-token-ttl-seconds");
    let Some(lifetime) = lifetime.and_then(|seconds| seconds.parse().ok()) else {
        return Some(malformed("X-Metadata-Token-Ttl-Seconds"));
    };
    let expires_at = clock::timestamp().checked_add(Duration::from_secs(lifetime));
    let expires_at = expires_at.unwrap_or(Timestamp::MAX);
    let token = random_text(64).expose_secret().to_owned();
    lock(&cloud.metadata_tokens).insert(token.clone(), expires_at);
    Some(response(StatusCode::OK, "text/plain", token))
}

/// The metadata service: the temporary key of a machine.
pub(super) fn machine_key(cloud: &Cloud, call: &Call) -> Answered {
    let token = call.header("x-metadata-token");
    let expires_at = token.and_then(|token| lock(&cloud.metadata_tokens).get(token).copied());
    if expires_at.is_none_or(|expires_at| expires_at <= clock::timestamp()) {
        return Some(refused(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    let key = cloud.issue_key(call.fault, None, CREDENTIAL);
    Some(json_response(StatusCode::OK, &key))
}

/// Pod identity: the temporary key of a pod.
pub(super) fn pod_key(cloud: &Cloud, call: &Call) -> Answered {
    let token = lock(&cloud.store).accounts.pod_token.clone()?;
    is_secret(&token, call.header("authorization")).then_some(())?;
    let key = cloud.issue_key(call.fault, None, CREDENTIALS);
    Some(json_response(StatusCode::OK, &key))
}

/// STS: a temporary key of an agency, for an identity token or for a signature.
pub(super) fn agency_key(cloud: &Cloud, call: &Call) -> Answered {
    let body = call.json();
    let field = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let is_oidc = call.path() != super::ASSUME_PATH;
    let names: &[_] = match is_oidc {
        true => &[
            "agency_urn",
            "agency_session_name",
            "provider_urn",
            "id_token",
        ],
        false => &["agency_urn", "agency_session_name"],
    };
    if let Some(name) = names.iter().find(|name| field(name).is_none()) {
        return Some(malformed(name));
    }
    let (is_known, is_agency) = {
        let store = lock(&cloud.store);
        let federation = store.accounts.federation.as_ref()?;
        let is_provider = field("provider_urn") == Some(&federation.provider_urn);
        let is_known = match is_oidc {
            true => is_provider && is_secret(&federation.id_token, field("id_token")),
            false => is_signed(&store, call),
        };
        let is_agency = field("agency_urn") == Some(&federation.agency_urn);
        (is_known, is_agency)
    };
    is_known.then_some(())?;
    if !is_agency {
        let message = "the agency may not be assumed";
        return Some(refused(StatusCode::FORBIDDEN, message));
    }
    let asked = body["duration_seconds"].as_u64();
    let key = cloud.issue_key(call.fault, asked, CREDENTIALS);
    Some(json_response(StatusCode::OK, &key))
}

fn is_signed(store: &KeyStore, call: &Call) -> bool {
    let request = ReceivedRequest {
        method: call.head.method.as_str(),
        target: target(&call.head),
        headers: &header_pairs(&call.head.headers, usize::MAX),
        body: &PayloadHash::new(&call.body),
    };
    let token = call.header("x-security-token").map(str::as_bytes);
    let date = SigningDate::from_unix_seconds(clock::unix_seconds());
    date.is_ok_and(|date| verify(&request, |key| store.signer(key, token), &date, WINDOW).is_ok())
}

fn malformed(what: &str) -> Response<Full<Bytes>> {
    let message = format!("the request lacks {what}");
    refused(StatusCode::BAD_REQUEST, &message)
}
