//! The cloud's services, asked as the SDKs ask them. How a proxy takes their faults is tested with
//! the proxy.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::emulator::{Accounts, Federation, POD_IDENTITY_PATH, User};

const PROVIDER: &str = "iam::1:oidcProvider:p";
const AGENCY: &str = "iam::1:agency:a";

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
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in [("host", "cloud")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_string())).unwrap()
}

fn for_user_token(password: &str) -> Request<Full<Bytes>> {
    let user = json!({ "name": "user", "password": password, "domain": { "name": "domain" } });
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "name": "cn-north-4" } },
    } });
    request("POST", "/v3/auth/tokens?nocatalog=true", &[], &body)
}

fn for_idp_token(idp: &str, id_token: &str) -> Request<Full<Bytes>> {
    let body = json!({ "auth": { "id_token": { "id": id_token } } });
    request(
        "POST",
        "/v3.0/OS-AUTH/id-token/tokens",
        &[("x-idp-id", idp)],
        &body,
    )
}

fn for_idp_key(token: &str, seconds: u64) -> Request<Full<Bytes>> {
    let token = json!({ "id": token, "duration_seconds": seconds });
    let body = json!({ "auth": { "identity": { "methods": ["token"], "token": token } } });
    request("POST", "/v3.0/OS-CREDENTIAL/securitytokens", &[], &body)
}

fn for_pod_key(token: &str) -> Request<Full<Bytes>> {
    request(
        "POST",
        POD_IDENTITY_PATH,
        &[("authorization", token)],
        &json!({}),
    )
}

/// A request to STS, with this in place of the right value.
fn for_agency_key(field: &str, value: &str) -> Request<Full<Bytes>> {
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

fn for_metadata_token(lifetime: &str) -> Request<Full<Bytes>> {
    let headers = [("x-metadata-token-ttl-seconds", lifetime)];
    request("PUT", "/meta-data/latest/api/token", &headers, &Value::Null)
}

fn for_server_key(token: &str) -> Request<Full<Bytes>> {
    let headers = [("x-metadata-token", token)];
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
    let (object, names) = match body.get("credential") {
        Some(key) => (key, ["access", "secret", "securitytoken", "expires_at"]),
        None => (
            &body["credentials"],
            [
                "access_key_id",
                "secret_access_key",
                "security_token",
                "expiration",
            ],
        ),
    };
    names.map(|name| object[name].as_str().expect(&answer.text).to_owned())
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
    let headers = [("x-auth-token", token), ("x-stage", "RELEASE")];
    let refused = gateway
        .refused(request("POST", "/v1/a", &headers, &json!({})))
        .await;
    (refused.0, refused.1)
}

#[tokio::test]
async fn every_service_gives_a_key_that_the_gateway_accepts_until_it_expires() {
    let gateway = Running::with(accounts());
    let metadata_token = gateway.ask(for_metadata_token("21600")).await.text;
    let idp_token = gateway.ask(for_idp_token("idp", "id token")).await;
    let keys = [
        (
            for_agency_key("agency_session_name", "session"),
            200,
            "2026-11-24T08:00:02.000Z",
        ),
        (for_pod_key("pod token"), 200, "2026-11-24T08:00:02.000Z"),
        (
            for_server_key(&metadata_token),
            200,
            "2026-11-24T08:00:02.000000Z",
        ),
        (
            for_idp_key(idp_token.token(), 900),
            201,
            "2026-11-24T08:00:02.000000Z",
        ),
    ];
    let mut issued = Vec::new();
    for (request, status, expiry) in keys {
        let answer = gateway.ask(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let parts = parts(&answer);
        assert_eq!(parts[3], expiry);
        issued.push(parts);
    }
    // STS answers at the gateway's address too.
    let over_tls = gateway
        .send(for_agency_key("agency_session_name", "session"))
        .await;
    issued.push(parts(&over_tls));
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
        assert_eq!(status, 401);
        assert!(
            message.ends_with("calc ak sk signature fail:signature expired"),
            "{message}"
        );
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
    assert_eq!(
        gateway
            .counts
            .refused_expired_tokens
            .load(Ordering::Relaxed),
        3
    );
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
        (
            request("POST", "/v3/auth/tokens", &[], &json!({ "auth": {} })),
            400,
        ),
        (for_agency_key("provider_urn", "other"), 401),
        (for_agency_key("agency_urn", "other"), 401),
        (for_agency_key("id_token", "other"), 401),
        (for_agency_key("id_token", ""), 400),
        (for_idp_token("idp", "other"), 401),
        (for_idp_token("other", "id token"), 401),
        (for_idp_key("other", 900), 401),
        (for_idp_key(idp_token.token(), 899), 400),
        (for_idp_key(idp_token.token(), 86_401), 400),
        (for_pod_key("other"), 401),
        (for_server_key("other"), 401),
        (for_metadata_token("0"), 400),
        (for_metadata_token("21601"), 400),
        (for_metadata_token(""), 400),
        (request("GET", "/", &[], &Value::Null), 404),
    ] {
        let path = request.uri().path().to_owned();
        assert_eq!(gateway.ask(request).await.status, status, "{path}");
    }
    let metadata_token = gateway.ask(for_metadata_token("1")).await.text;
    gateway.wait(2000);
    let refused = gateway.ask(for_server_key(&metadata_token)).await;
    assert_eq!(
        (refused.status, refused.text.as_str()),
        (401, "Unauthorized")
    );
    let expired = gateway.ask(for_idp_key(idp_token.token(), 900)).await;
    assert_eq!(expired.status, 401);
    // Services within the cloud are not at the gateway's address, where everything is verified.
    for internal in [for_metadata_token("60"), for_pod_key("pod token")] {
        assert_eq!(gateway.refused(internal).await.1, "APIG.0101");
    }
}
