//! IAM: tokens for users with passwords.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::issuing::{IssuedToken, microseconds};
use super::{Call, Cloud, Endpoint, Service, answer, is, text};
use crate::emulator::known::lock;

pub(super) static TOKENS: Endpoint = Endpoint {
    service: Service::Iam,
    method: Method::POST,
    path: "/v3/auth/tokens",
    well: create_token,
    unauthorized: Some(wrong_password),
};

fn create_token(cloud: &Cloud, call: &Call) -> Response<Full<Bytes>> {
    let body = call.json();
    let user = |name: &str| {
        let pointer = format!("/auth/identity/password/user/{name}");
        text(&body, &pointer).map(str::to_owned)
    };
    let (Some(name), Some(password), Some(domain)) =
        (user("name"), user("password"), user("domain/name"))
    else {
        return malformed();
    };
    let methods = body.pointer("/auth/identity/methods");
    if methods != Some(&json!(["password"])) {
        return malformed();
    }
    let knows = lock(&cloud.accounts).users.iter().any(|user| {
        user.name == name && user.domain == domain && is(&user.password, Some(&password))
    });
    if !knows {
        return wrong_password();
    }
    let mut token = json!({
        "methods": ["password"],
        "user": { "name": name, "domain": { "name": domain } },
    });
    if let Some(project) = body.pointer("/auth/scope/project") {
        token["project"] = project.clone();
    }
    // What makes the real answer long, and is left out on demand.
    if !call.query.split('&').any(|pair| pair == "nocatalog=true") {
        token["catalog"] = json!([]);
    }
    created(cloud.issue_token(call.mood), token)
}

/// The answer with a token in its header and what is to be said of it in its body.
pub(super) fn created(issued: IssuedToken, mut token: Value) -> Response<Full<Bytes>> {
    token["issued_at"] = microseconds(issued.issued_at).into();
    token["expires_at"] = microseconds(issued.expires_at).into();
    let mut response = answer::json(StatusCode::CREATED, &json!({ "token": token }));
    issued.into_header_of(&mut response);
    response
}

fn wrong_password() -> Response<Full<Bytes>> {
    answer::refused_by_iam(
        StatusCode::UNAUTHORIZED,
        "The username or password is wrong.",
    )
}

pub(super) fn malformed() -> Response<Full<Bytes>> {
    answer::refused_by_iam(StatusCode::BAD_REQUEST, "The request body is invalid.")
}
