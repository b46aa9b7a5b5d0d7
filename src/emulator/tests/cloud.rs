//! The cloud's services, called as the SDKs call them. How a proxy takes their faults is tested with
//! the proxy.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::emulator::{Accounts, Federation, User};

const IAM: &str = "POST /v3/auth/tokens?nocatalog=true";
const IDP: &str = "POST /v3.0/OS-AUTH/id-token/tokens";
const IDP_KEY: &str = "POST /v3.0/OS-CREDENTIAL/securitytokens";
const STS: &str = "POST /v5/agencies/assume-with-oidc";
const POD: &str = "POST /v1/pod-identity/credentials";
const METADATA_TOKEN: &str = "PUT /meta-data/latest/api/token";
const METADATA_KEY: &str = "GET /openstack/latest/securitykey";

/// Accounts with an identity for every service. What they issue lives for two seconds.
fn accounts() -> Accounts {
    Accounts {
        keys: vec![key("AK", None)],
        tokens: vec!["static".into()],
        users: vec![User {
            domain: "domain".to_owned(),
            name: "user".to_owned(),
            password: "password".into(),
        }],
        pod_token: Some("pod token".into()),
        federation: Some(Federation {
            idp_id: "idp".to_owned(),
            provider_urn: "provider".to_owned(),
            agency_urn: "agency".to_owned(),
            id_token: "id token".into(),
        }),
        key_lifetime: Duration::from_secs(2),
        token_lifetime: Duration::from_secs(2),
        ..Accounts::default()
    }
}

/// A request to a service: method and path, at most one header as `name: value`, and a body.
fn request(line: &str, header: &str, body: &Value) -> Request<Full<Bytes>> {
    let (method, path) = line.split_once(' ').unwrap();
    let (name, value) = header.split_once(": ").unwrap_or(("x-none", ""));
    let request = Request::builder().method(method).uri(path);
    let request = request.header(HOST, "cloud").header(name, value);
    request.body(Full::from(body.to_string())).unwrap()
}

fn for_user_token(password: &str) -> Request<Full<Bytes>> {
    let user = json!({ "name": "user", "password": password, "domain": { "name": "domain" } });
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "name": "cn-north-4" } },
    } });
    request(IAM, "", &body)
}

fn for_idp_token(idp: &str, id_token: &str) -> Request<Full<Bytes>> {
    let body = json!({ "auth": { "id_token": { "id": id_token } } });
    request(IDP, &format!("x-idp-id: {idp}"), &body)
}

fn for_idp_key(token: &str, seconds: u64) -> Request<Full<Bytes>> {
    let token = json!({ "id": token, "duration_seconds": seconds });
    let body = json!({ "auth": { "identity": { "methods": ["token"], "token": token } } });
    request(IDP_KEY, "", &body)
}

/// A request to STS, with this in place of the right value.
fn for_agency_key(field: &str, value: &str) -> Request<Full<Bytes>> {
    let mut body = json!({
        "provider_urn": "provider",
        "agency_urn": "agency",
        "agency_session_name": "oidc-sts-session",
        "id_token": "id token",
        "duration_seconds": 3600,
    });
    body[field] = value.into();
    request(STS, "", &body)
}

fn for_metadata_token(lifetime: &str) -> Request<Full<Bytes>> {
    let header = format!("x-metadata-token-ttl-seconds: {lifetime}");
    request(METADATA_TOKEN, &header, &Value::Null)
}

/// The parts of an issued key: id, secret, token, expiry.
fn parts(answer: &Answer) -> [String; 4] {
    let body = answer.json();
    let [pointer, names @ ..] = if body.get("credential").is_some() {
        [
            "credential",
            "access",
            "secret",
            "securitytoken",
            "expires_at",
        ]
    } else {
        [
            "credentials",
            "access_key_id",
            "secret_access_key",
            "security_token",
            "expiration",
        ]
    };
    names.map(|name| body[pointer][name].as_str().expect(&answer.text).to_owned())
}

/// The status and the gateway's words for a request that is signed with an issued key.
async fn signed_with(gateway: &Running, parts: &[String; 4], at: i64) -> (u16, String) {
    let [access_key, secret, token, _] = parts;
    let request = signed(access_key, secret, b"{}", at, Some(token));
    let (status, _, message) = gateway.refused(request).await;
    (status, message)
}

/// The status and the code of a request with a token.
async fn sent_with(gateway: &Running, token: &str) -> (u16, String) {
    let mut request = request("POST /v1/a", &format!("x-auth-token: {token}"), &json!({}));
    request
        .headers_mut()
        .insert("x-stage", "RELEASE".parse().unwrap());
    let (status, code, _) = gateway.refused(request).await;
    (status, code)
}

#[tokio::test]
async fn every_service_gives_a_key_that_the_gateway_accepts_until_it_expires() {
    let gateway = Running::with(accounts());
    let metadata_token = gateway.ask(for_metadata_token("21600")).await.text;
    let metadata_token = format!("x-metadata-token: {metadata_token}");
    let idp_token = gateway.ask(for_idp_token("idp", "id token")).await;
    let agency = || for_agency_key("agency_session_name", "session");
    let mut issued = Vec::new();
    for (request, status, fraction) in [
        (agency(), 200, "000Z"),
        (
            request(POD, "authorization: pod token", &json!({})),
            200,
            "000Z",
        ),
        (
            request(METADATA_KEY, &metadata_token, &Value::Null),
            200,
            "000000Z",
        ),
        (for_idp_key(idp_token.token(), 900), 201, "000000Z"),
    ] {
        let answer = gateway.ask(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let parts = parts(&answer);
        assert_eq!(parts[3], format!("2026-11-24T08:00:02.{fraction}"));
        issued.push(parts);
    }
    // STS answers at the gateway's address too.
    issued.push(parts(&gateway.send(agency()).await));
    gateway.wait(1999);
    for key in &issued {
        assert_eq!(signed_with(&gateway, key, NOW + 1).await.0, 200);
    }
    // A key needs its own token.
    let mut mixed = issued[0].clone();
    mixed[2].clone_from(&issued[1][2]);
    let (_, message) = signed_with(&gateway, &mixed, NOW + 1).await;
    assert!(message.ends_with("err:ak not exist"), "{message}");
    gateway.wait(1);
    for key in &issued {
        let (status, message) = signed_with(&gateway, key, NOW + 2).await;
        let expired =
            "Incorrect IAM authentication information: calc ak sk signature fail:signature expired";
        assert_eq!((status, message.as_str()), (401, expired));
    }
    assert_eq!(gateway.counts.refused_expired.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_user_gets_a_token_that_the_gateway_accepts_until_it_expires() {
    let gateway = Running::with(accounts());
    gateway.wait(231);
    let answer = gateway.send(for_user_token("password")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let token = &answer.json()["token"];
    assert_eq!(token["issued_at"], "2026-11-24T08:00:00.231000Z");
    assert_eq!(token["expires_at"], "2026-11-24T08:00:02.231000Z");
    assert_eq!(token["project"]["name"], "cn-north-4");
    assert!(token.get("catalog").is_none());
    assert_eq!(sent_with(&gateway, answer.token()).await.0, 200);
    gateway.wait(2000);
    let expired = (401, "APIG.0307".to_owned());
    assert_eq!(sent_with(&gateway, answer.token()).await, expired);
    // Every token can be made to expire at once, also one that never does.
    let answer = gateway.ask(for_user_token("password")).await;
    gateway.cloud.expire_tokens();
    for token in [answer.token(), "static"] {
        assert_eq!(sent_with(&gateway, token).await, expired);
    }
    let counted = gateway
        .counts
        .refused_expired_tokens
        .load(Ordering::Relaxed);
    assert_eq!(counted, 3);
    let answer = gateway.ask(for_user_token("password")).await;
    assert_eq!(sent_with(&gateway, answer.token()).await.0, 200);
}

#[tokio::test]
async fn services_refuse_other_identities_and_incomplete_requests() {
    let gateway = Running::with(accounts());
    let idp_token = gateway.ask(for_idp_token("idp", "id token")).await;
    let wrong = gateway.ask(for_user_token("wrong")).await;
    let message = "The username or password is wrong.";
    let error = json!({ "code": 401, "message": message, "title": "Unauthorized" });
    assert_eq!(
        (wrong.status, wrong.json()),
        (401, json!({ "error": error }))
    );
    for (request, status) in [
        (request(IAM, "", &json!({ "auth": {} })), 400),
        (for_agency_key("provider_urn", "other"), 401),
        (for_agency_key("agency_urn", "other"), 401),
        (for_agency_key("id_token", "other"), 401),
        (for_agency_key("id_token", ""), 400),
        (for_idp_token("idp", "other"), 401),
        (for_idp_token("other", "id token"), 401),
        (for_idp_key("other", 900), 401),
        (for_idp_key(idp_token.token(), 899), 400),
        (for_idp_key(idp_token.token(), 86_401), 400),
        (request(POD, "authorization: other", &json!({})), 401),
        (
            request(METADATA_KEY, "x-metadata-token: other", &Value::Null),
            401,
        ),
        (for_metadata_token("0"), 400),
        (for_metadata_token("21601"), 400),
        (for_metadata_token(""), 400),
        (request("GET /", "", &Value::Null), 404),
    ] {
        let path = request.uri().path().to_owned();
        assert_eq!(gateway.ask(request).await.status, status, "{path}");
    }
    let metadata_token = gateway.ask(for_metadata_token("1")).await.text;
    gateway.wait(2000);
    let metadata_token = format!("x-metadata-token: {metadata_token}");
    let refused = gateway
        .ask(request(METADATA_KEY, &metadata_token, &Value::Null))
        .await;
    assert_eq!(
        (refused.status, refused.text.as_str()),
        (401, "Unauthorized")
    );
    let expired = gateway.ask(for_idp_key(idp_token.token(), 900)).await;
    assert_eq!(expired.status, 401);
    // Services within the cloud are not at the gateway's address, where everything is verified.
    let pod = request(POD, "authorization: pod token", &json!({}));
    for internal in [for_metadata_token("60"), pod] {
        assert_eq!(gateway.refused(internal).await.1, "APIG.0101");
    }
}

#[tokio::test]
async fn the_project_of_a_region_is_told_to_keys_and_tokens_and_a_service_needs_no_stage() {
    let gateway = Running::with(accounts());
    let ask = |query: &str, header: &str| {
        let line = format!("GET /v3/projects{query}");
        let request = request(&line, header, &Value::Null);
        gateway.send(request)
    };
    let answer = ask("?name=cn-north-4", "x-auth-token: static").await;
    let project = answer.json()["projects"][0].clone();
    assert_eq!(project["name"], "cn-north-4");
    assert_eq!(project["id"].as_str().map(str::len), Some(32));
    let other = ask("?name=eu-west-101", "x-auth-token: static").await;
    assert_ne!(other.json()["projects"][0]["id"], project["id"]);
    let none = ask("", "x-auth-token: static").await;
    assert_eq!(none.json(), json!({ "projects": [] }));
    for header in ["", "x-auth-token: other"] {
        assert_eq!(ask("?name=cn-north-4", header).await.status, 401);
    }
    let mut to_service = request("GET /v1/p/vpcs", "x-auth-token: static", &Value::Null);
    let id = project["id"].as_str().unwrap().parse().unwrap();
    to_service.headers_mut().insert("x-project-id", id);
    assert_eq!(gateway.send(to_service).await.status, 200);
}
