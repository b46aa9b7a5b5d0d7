//! IAM gives a token to a user with a password, and a key to whoever has a token of an identity
//! provider.

use std::time::Duration;

use http::HeaderValue;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::answer::{milliseconds, post};
use super::{Protocol, Service, endpoint, path, variable};
use crate::config::{CredentialsConfig, Environment, IamUser, UpstreamUrl};
use crate::credentials::CredentialsError;
use crate::credentials::types::{Lease, Secret};
use crate::upstream::Network;

const PROVIDER: &str = "HUAWEICLOUD_SDK_IDP_ID";
const TOKEN_FILE: &str = "HUAWEICLOUD_SDK_ID_TOKEN_FILE";

/// The requested lifetime of keys in seconds, as in the SDKs.
const DURATION: u64 = 21600;

/// The lifetime of a token if the response does not say it (IAM, obtaining a token: 24 hours).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// IAM, for a token of this user.
pub(in crate::credentials) fn with_password(
    user: &IamUser,
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    Ok(Service {
        name: "IAM (token)",
        protocol: Protocol::Token(user.project.clone()),
        endpoint: iam(config, environment)?,
        files: vec![
            user.user.clone(),
            user.password.clone(),
            user.domain.clone(),
        ],
    })
}

/// IAM with a token of an identity provider, if the environment names one.
pub(in crate::credentials) fn with_idp(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let provider = variable(
        environment,
        PROVIDER,
        "set it, and HUAWEICLOUD_SDK_ID_TOKEN_FILE",
    )?;
    let is_visible = provider.bytes().all(|byte| byte.is_ascii_graphic());
    let provider = HeaderValue::from_str(provider).ok().filter(|_| is_visible);
    Ok(Service {
        name: "IAM (identity provider)",
        protocol: Protocol::Idp(provider.ok_or(CredentialsError::Variable {
            name: PROVIDER,
            expected: "expected visible ASCII characters without blanks",
        })?),
        endpoint: iam(config, environment)?,
        files: vec![path(environment, PROVIDER, TOKEN_FILE)?],
    })
}

fn iam(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<UpstreamUrl, CredentialsError> {
    let default = "https://iam.myhuaweicloud.com";
    let configured = config.iam.as_ref();
    endpoint(
        configured,
        environment,
        "HUAWEICLOUD_SDK_IAM_ENDPOINT",
        default,
    )
}

/// Asks for a token of a user with a password.
pub(super) async fn ask_with_password(
    service: &Service,
    network: &Network,
    project: Option<&str>,
) -> Result<Lease, CredentialsError> {
    let [user, password, domain] = [service.line(0)?, service.line(1)?, service.line(2)?];
    let scope = match project {
        None => json!({ "domain": { "name": domain.expose_secret() } }),
        Some(project) => json!({ "project": { "name": project } }),
    };
    let fields = json!({ "auth": {
        "identity": {
            "methods": ["password"],
            "password": { "user": {
                "name": user.expose_secret(),
                "password": password.expose_secret(),
                "domain": { "name": domain.expose_secret() },
            } },
        },
        "scope": scope,
    } });
    let request = post("/v3/auth/tokens?nocatalog=true", fields);
    let answer = service.send(network, request).await?;
    let answer =
        answer.accepted("check the files of user, password and domain, and iam_project")?;
    let token = answer.subject_token()?;
    let body: Value = answer.json().unwrap_or_default();
    let expires_at = body["token"]["expires_at"].as_str().and_then(milliseconds);
    let lifetime = expires_at.map_or(DEFAULT_LIFETIME, |end| answer.lifetime(end));
    Ok(answer.lease(Secret::Text(token), lifetime))
}

/// Exchanges the token of an identity provider for one of IAM, and that for a key.
pub(super) async fn ask_with_idp(
    service: &Service,
    network: &Network,
    provider: &HeaderValue,
) -> Result<Lease, CredentialsError> {
    let id_token = service.line(0)?;
    let fields = json!({ "auth": { "id_token": { "id": id_token.expose_secret() } } });
    let mut request = post("/v3.0/OS-AUTH/id-token/tokens", fields);
    request.headers_mut().insert("x-idp-id", provider.clone());
    let answer = service.send(network, request).await?;
    let hint = "check HUAWEICLOUD_SDK_IDP_ID, and that IAM trusts the provider's token";
    let token = answer.accepted(hint)?.subject_token()?;
    let fields = json!({ "auth": { "identity": {
        "methods": ["token"],
        "token": { "id": token.expose_secret(), "duration_seconds": DURATION },
    } } });
    let request = post("/v3.0/OS-CREDENTIAL/securitytokens", fields);
    let answer = service.send(network, request).await?;
    answer
        .accepted("check what the provider's users may do")?
        .key()
}
