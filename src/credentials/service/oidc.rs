//! STS exchanges an OpenID Connect token, like the one of a Kubernetes service account, for a key.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::answer::post;
use super::{Protocol, Service, ServiceError, endpoint, path};
use crate::config::{CredentialsConfig, Endpoint, Environment};
use crate::credentials::CredentialsError;
use crate::credentials::types::Lease;
use crate::upstream::Network;

const PROVIDER: &str = "HUAWEICLOUD_OIDC_PROVIDER_URN";
const AGENCY: &str = "HUAWEICLOUD_OIDC_AGENCY_URN";
const TOKEN_FILE: &str = "HUAWEICLOUD_OIDC_TOKEN_FILE";
const DURATION: &str = "HUAWEICLOUD_OIDC_DURATION_SECONDS";

/// STS with an OpenID Connect token, if the environment names a provider.
pub(in crate::credentials) fn find(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let text = |name: &str| environment.text(name);
    let absent = || {
        let hint = "set it, HUAWEICLOUD_OIDC_AGENCY_URN and HUAWEICLOUD_OIDC_TOKEN_FILE";
        CredentialsError::absent("HUAWEICLOUD_OIDC_PROVIDER_URN is not set", hint)
    };
    let provider = text(PROVIDER).ok_or_else(absent)?;
    let agency = text(AGENCY).ok_or(CredentialsError::HalfInEnvironment {
        present: PROVIDER,
        missing: AGENCY,
    })?;
    let mut fields = json!({
        "provider_urn": provider,
        "agency_urn": agency,
        "agency_session_name": text("HUAWEICLOUD_OIDC_SESSION_NAME").unwrap_or("oidc-sts-session"),
        "duration_seconds": duration(text(DURATION))?,
    });
    if let Some(policy) = text("HUAWEICLOUD_OIDC_POLICY") {
        fields["policy"] = policy.into();
    }
    if let Some(ids) = text("HUAWEICLOUD_OIDC_POLICY_IDS") {
        let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
        fields["policy_ids"] = ids.collect::<Vec<_>>().into();
    }
    let token = environment.secret("HUAWEICLOUD_OIDC_ID_TOKEN");
    let files = match token {
        Some(_) => Vec::new(),
        None => vec![path(environment, PROVIDER, TOKEN_FILE)?],
    };
    Ok(Service {
        name: "STS (oidc)",
        protocol: Protocol::Oidc(fields, token),
        endpoint: sts(config, environment)?,
        files,
    })
}

/// The endpoint of STS.
pub(super) fn sts(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Endpoint, CredentialsError> {
    let default = "https://sts.cn-north-4.myhuaweicloud.com";
    let configured = config.sts.as_ref();
    endpoint(
        configured,
        environment,
        "HUAWEICLOUD_SDK_STS_ENDPOINT",
        default,
    )
}

/// The seconds for which STS is to issue a key.
fn duration(text: Option<&str>) -> Result<u64, CredentialsError> {
    let seconds = text.map_or(Some(3600), |text| text.trim().parse().ok());
    let seconds = seconds.filter(|seconds| (900..=43200).contains(seconds));
    seconds.ok_or(CredentialsError::Variable {
        name: DURATION,
        expected: "expected a number of seconds from 900 to 43200",
    })
}

pub(super) async fn ask(
    service: &Service,
    network: &Network,
    fields: &Value,
    token: Option<&SecretString>,
) -> Result<Lease, ServiceError> {
    let token = token.map_or_else(|| service.line(0), |token| Ok(token.clone()))?;
    let mut fields = fields.clone();
    fields["id_token"] = token.expose_secret().into();
    let request = post("/v5/agencies/assume-with-oidc", fields);
    let answer = service.send(network, request).await?;
    let hint = "check the urns of provider and agency, and that the provider trusts the token";
    answer.accepted(hint)?.key()
}
