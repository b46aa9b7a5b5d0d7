//! The cloud's services, asked as the SDKs ask them.

mod federation;
mod iam;
mod lifetimes;
mod machines;
mod moods;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::running::{Answer, Running};
use super::{NOW, key, signed};
use crate::emulator::{Accounts, Federation, POD_IDENTITY_PATH, User};

const PROVIDER: &str = "iam::1:oidcProvider:p";
const AGENCY: &str = "iam::1:agency:a";

/// Accounts that every service knows somebody of; what they issue lives for two seconds.
fn accounts() -> Accounts {
    Accounts {
        keys: vec![key("AK", None)],
        users: vec![User {
            domain: "domain".to_owned(),
            name: "user".to_owned(),
            password: "password".into(),
        }],
        pod_token: Some("pod token".into()),
        federation: Some(Federation {
            idp_id: "idp".to_owned(),
            provider_urn: PROVIDER.to_owned(),
            agency_urn: AGENCY.to_owned(),
            id_token: "id token".into(),
        }),
        key_lifetime: Duration::from_secs(2),
        token_lifetime: Duration::from_secs(2),
        ..Accounts::default()
    }
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "cloud");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Full::from(body.to_string())).unwrap()
}

/// A request for a user's token.
fn for_token(password: &str) -> Request<Full<Bytes>> {
    let user = json!({ "name": "user", "password": password, "domain": { "name": "domain" } });
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "name": "cn-north-4" } },
    } });
    request("POST", "/v3/auth/tokens?nocatalog=true", &[], &body)
}

/// A request of a pod for its key.
fn of_pod(token: &str) -> Request<Full<Bytes>> {
    let headers = [("authorization", token)];
    request("POST", POD_IDENTITY_PATH, &headers, &json!({}))
}

/// A request to STS, with this in place of what is right.
fn to_sts(field: &str, value: &str) -> Request<Full<Bytes>> {
    let mut body = json!({
        "provider_urn": PROVIDER,
        "agency_urn": AGENCY,
        "agency_session_name": "oidc-sts-session",
        "id_token": "id token",
        "duration_seconds": 3600,
    });
    body[field] = value.into();
    request("POST", "/v5/agencies/assume-with-oidc", &[], &body)
}

/// A request for a token of the metadata service's own.
fn for_metadata_token(lifetime: &str) -> Request<Full<Bytes>> {
    let headers = [("x-metadata-token-ttl-seconds", lifetime)];
    request("PUT", "/meta-data/latest/api/token", &headers, &Value::Null)
}

/// A request for a machine's key.
fn of_machine(token: Option<&str>) -> Request<Full<Bytes>> {
    let headers: Vec<_> = token
        .into_iter()
        .map(|token| ("x-metadata-token", token))
        .collect();
    request(
        "GET",
        "/openstack/latest/securitykey",
        &headers,
        &Value::Null,
    )
}

/// The parts of an issued key: id, secret, token, expiry.
fn parts(answer: &Answer) -> [String; 4] {
    let body = answer.json();
    let names = match body.get("credential") {
        Some(_) => ["access", "secret", "securitytoken", "expires_at"],
        None => [
            "access_key_id",
            "secret_access_key",
            "security_token",
            "expiration",
        ],
    };
    let object = body
        .get("credential")
        .unwrap_or_else(|| &body["credentials"]);
    names.map(|name| object[name].as_str().unwrap().to_owned())
}

/// The status and the gateway's words for a request that is signed with an issued key.
async fn signed_with(gateway: &Running, parts: &[String; 4], at: i64) -> (u16, String) {
    let [access_key, secret, token, _] = parts;
    let request = signed(access_key, secret, b"{}", at, Some(token));
    let (status, _, message) = gateway.code(request).await;
    (status, message)
}
