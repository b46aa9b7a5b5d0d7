//! IAM gives a token to a user with a password.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::answer::{Answer, milliseconds, post};
use super::{FAR, Fetch, Service, ServiceError, endpoint};
use crate::config::{CredentialsConfig, Endpoint, Environment, IamUser};
use crate::credentials::types::{Lease, Secret};
use crate::credentials::{CredentialsError, file};
use crate::upstream::Network;

/// The lifetime of a token if the response does not say it (IAM, obtaining a token: 24 hours).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// IAM, for a token of this user.
pub(in crate::credentials) fn find(
    user: &IamUser,
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let files = [&user.user, &user.password, &user.domain].map(PathBuf::clone);
    let fetch: Fetch = |service, network| Box::pin(fetch(service, network));
    let endpoint = iam(config, environment)?;
    Ok(Service {
        parameters: json!(user.project),
        ..Service::new("IAM (token)", endpoint, files.into(), fetch)
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

async fn fetch(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    let user = file::read_line(&service.files[0])?;
    let password = file::read_line(&service.files[1])?;
    let domain = file::read_line(&service.files[2])?;
    let scope = match &service.parameters {
        Value::Null => json!({ "domain": { "name": domain.expose_secret() } }),
        project => json!({ "project": { "name": project } }),
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
    let answer = Answer::to(network, &service.endpoint, request, FAR).await?;
    let hint = "check the files of user, password and domain, and iam_project";
    let answer = answer.accepted(hint)?;
    let token = answer.subject_token()?;
    let body: Value = answer.json().unwrap_or_default();
    let expires_at = body["token"]["expires_at"].as_str().and_then(milliseconds);
    let lifetime = expires_at.map_or(DEFAULT_LIFETIME, |end| answer.lifetime(end));
    Ok(answer.lease(service.name, Secret::Text(token), lifetime))
}
