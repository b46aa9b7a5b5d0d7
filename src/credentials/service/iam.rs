//! IAM issues tokens to users with a password and keys to holders of an identity provider's token. It
//! also gives the project id of a region in the account of a key or token.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::answer::{Answer, milliseconds, post};
use super::{Protocol, Service, UNSIGNED, endpoint, path, signed_headers, variable};
use crate::config::{CredentialsConfig, Environment, IamUser, UpstreamUrl, project_id};
use crate::credentials::CredentialsError;
use crate::credentials::types::{Lease, Secret};
use crate::signature::SigningDate;
use crate::upstream::Network;

const PROVIDER: &str = "HUAWEICLOUD_SDK_IDP_ID";

/// The requested lifetime of keys in seconds, as in the SDKs.
const DURATION: u64 = 21600;

/// The lifetime of a token if the response does not say it (IAM, obtaining a token: 24 hours).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The variable with the endpoint, and the default.
const ENDPOINT: (&str, &str) = (
    "HUAWEICLOUD_SDK_IAM_ENDPOINT",
    "https://iam.myhuaweicloud.com",
);

/// IAM, for a token of this user.
pub(in crate::credentials) fn with_password(
    user: &IamUser,
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    Ok(Service {
        name: "IAM (token)",
        protocol: Protocol::Token(user.project.clone()),
        endpoint: endpoint(config.iam.as_ref(), environment, ENDPOINT)?,
        files: [&user.user, &user.password, &user.domain]
            .map(Clone::clone)
            .into(),
    })
}

/// IAM with a token of an identity provider, if the environment names one.
pub(in crate::credentials) fn with_idp(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let hint = "set it, and HUAWEICLOUD_SDK_ID_TOKEN_FILE";
    let provider = variable(environment, PROVIDER, hint)?;
    let is_visible = provider.bytes().all(|byte| byte.is_ascii_graphic());
    let provider = HeaderValue::from_str(provider).ok().filter(|_| is_visible);
    Ok(Service {
        name: "IAM (identity provider)",
        protocol: Protocol::Idp(provider.ok_or(CredentialsError::Variable {
            name: PROVIDER,
            expected: "expected visible ASCII characters without blanks",
        })?),
        endpoint: endpoint(config.iam.as_ref(), environment, ENDPOINT)?,
        files: vec![path(
            environment,
            PROVIDER,
            "HUAWEICLOUD_SDK_ID_TOKEN_FILE",
        )?],
    })
}

impl Service {
    pub(super) async fn ask_with_password(
        &self,
        network: &Network,
        project: Option<&str>,
    ) -> Result<Lease, CredentialsError> {
        let [user, password, domain] = [self.line(0)?, self.line(1)?, self.line(2)?];
        let domain = json!({ "name": domain.expose_secret() });
        let scope = match project {
            None => json!({ "domain": domain }),
            Some(project) => json!({ "project": { "name": project } }),
        };
        let fields = json!({ "auth": {
            "identity": {
                "methods": ["password"],
                "password": { "user": {
                    "name": user.expose_secret(),
                    "password": password.expose_secret(),
                    "domain": domain,
                } },
            },
            "scope": scope,
        } });
        let request = post("/v3/auth/tokens?nocatalog=true", fields);
        let hint = "check the files of user, password and domain, and iam_project";
        let answer = self.send(network, request).await?.accepted(hint)?;
        let token = answer.subject_token()?;
        let body: Value = answer.json().unwrap_or_default();
        let expires_at = body["token"]["expires_at"].as_str().and_then(milliseconds);
        let lifetime = expires_at.map_or(DEFAULT_LIFETIME, |end| answer.lifetime(end));
        Ok(answer.lease(Secret::Text(token), lifetime))
    }

    /// Exchanges the token of an identity provider for one of IAM, and that for a key.
    pub(super) async fn ask_with_idp(
        &self,
        network: &Network,
        provider: &HeaderValue,
    ) -> Result<Lease, CredentialsError> {
        let id_token = self.line(0)?;
        let fields = json!({ "auth": { "id_token": { "id": id_token.expose_secret() } } });
        let mut request = post("/v3.0/OS-AUTH/id-token/tokens", fields);
        request.headers_mut().insert("x-idp-id", provider.clone());
        let hint = "check HUAWEICLOUD_SDK_IDP_ID, and that IAM trusts the provider's token";
        let answer = self.send(network, request).await?.accepted(hint)?;
        let token = answer.subject_token()?;
        let fields = json!({ "auth": { "identity": {
            "methods": ["token"],
            "token": { "id": token.expose_secret(), "duration_seconds": DURATION },
        } } });
        let request = post("/v3.0/OS-CREDENTIAL/securitytokens", fields);
        let hint = "check what the provider's users may do";
        self.send(network, request).await?.accepted(hint)?.key()
    }
}

pub(crate) async fn project_of(
    region: &str,
    (network, iam): (&Network, &UpstreamUrl),
    secret: &Secret,
    date: &SigningDate,
    limit: Duration,
) -> Result<HeaderValue, CredentialsError> {
    let request = Request::get(format!("/v3/projects?name={region}")).body(Bytes::new());
    let mut request = request.expect("a region is a part of a host name");
    match secret {
        Secret::Key(key) => {
            let signed = signed_headers(iam, &request, key, date).map_err(|_| UNSIGNED)?;
            request.headers_mut().extend(signed);
        }
        Secret::Text(token) => {
            let token = HeaderValue::from_str(token.expose_secret()).map_err(|_| UNSIGNED)?;
            request.headers_mut().insert("x-auth-token", token);
        }
    }
    let answer = Answer::new(
        "IAM (projects)",
        network.oneshot(iam, request, limit).await?,
    );
    let answer = answer.accepted("let the user list projects (iam:projects:listProjects)")?;
    let body: Value = answer.json().unwrap_or_default();
    let mut projects = body["projects"].as_array().into_iter().flatten();
    let id = projects.find_map(|project| {
        let id = project["id"].as_str();
        project_id(id.filter(|_| project["name"] == region)?).ok()
    });
    id.ok_or(CredentialsError::Garbage("no project of this name"))
}
