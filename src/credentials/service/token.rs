//! IAM gives a token to a user with a password.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::answer::{milliseconds, post};
use super::{Protocol, Service, ServiceError, endpoint};
use crate::config::{CredentialsConfig, Endpoint, Environment, IamUser};
use crate::credentials::CredentialsError;
use crate::credentials::types::{Lease, Secret};
use crate::upstream::Network;

/// The lifetime of a token if the response does not say it (IAM, obtaining a token: 24 hours).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// IAM, for a token of this user.
pub(in crate::credentials) fn find(
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

/// The endpoint of IAM.
pub(super) fn iam(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Endpoint, CredentialsError> {
    let iam = "https://iam.myhuaweicloud.com";
    let configured = config.iam.as_ref();
    endpoint(configured, environment, "HUAWEICLOUD_SDK_IAM_ENDPOINT", iam)
}

pub(super) async fn ask(
    service: &Service,
    network: &Network,
    project: Option<&str>,
) -> Result<Lease, ServiceError> {
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
