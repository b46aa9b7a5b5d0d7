//! STS exchanges an OpenID Connect token, like the one of a Kubernetes service account, for a key.

use secrecy::ExposeSecret;
use serde_json::json;

use super::answer::{Answer, post};
use super::{FAR, Fetch, Service, ServiceError, endpoint, path};
use crate::config::{CredentialsConfig, Environment};
use crate::credentials::types::Lease;
use crate::credentials::{CredentialsError, file};
use crate::upstream::Network;

const PROVIDER: &str = "HUAWEICLOUD_OIDC_PROVIDER_URN";
const AGENCY: &str = "HUAWEICLOUD_OIDC_AGENCY_URN";
const TOKEN_FILE: &str = "HUAWEICLOUD_OIDC_TOKEN_FILE";
const DURATION: &str = "HUAWEICLOUD_OIDC_DURATION_SECONDS";
const ENDPOINT: &str = "HUAWEICLOUD_SDK_STS_ENDPOINT";

/// The seconds for which STS issues a key, and the default.
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=43200;
const DEFAULT_DURATION: u64 = 3600;

/// STS with an OpenID Connect token, if the environment names a provider.
pub(in crate::credentials) fn find(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let text = |name: &str| environment.text(name);
    let Some(provider) = text(PROVIDER) else {
        let what = "HUAWEICLOUD_OIDC_PROVIDER_URN is not set";
        let hint = "set it, HUAWEICLOUD_OIDC_AGENCY_URN and HUAWEICLOUD_OIDC_TOKEN_FILE";
        return Err(CredentialsError::absent(what, hint));
    };
    let agency = text(AGENCY).ok_or(CredentialsError::HalfInEnvironment {
        present: PROVIDER,
        missing: AGENCY,
    })?;
    let mut parameters = json!({
        "provider_urn": provider,
        "agency_urn": agency,
        "agency_session_name": text("HUAWEICLOUD_OIDC_SESSION_NAME").unwrap_or("oidc-sts-session"),
        "duration_seconds": duration(text(DURATION))?,
    });
    if let Some(policy) = text("HUAWEICLOUD_OIDC_POLICY") {
        parameters["policy"] = policy.into();
    }
    let ids = text("HUAWEICLOUD_OIDC_POLICY_IDS").unwrap_or_default();
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
    let ids: Vec<&str> = ids.collect();
    if !ids.is_empty() {
        parameters["policy_ids"] = ids.into();
    }
    let token = environment.secret("HUAWEICLOUD_OIDC_ID_TOKEN");
    let files = match token {
        Some(_) => Vec::new(),
        None => vec![path(environment, PROVIDER, TOKEN_FILE)?],
    };
    let sts = "https://sts.cn-north-4.myhuaweicloud.com";
    let endpoint = endpoint(config.sts.as_ref(), environment, ENDPOINT, sts)?;
    let fetch: Fetch = |service, network| Box::pin(fetch(service, network));
    Ok(Service {
        token,
        parameters,
        ..Service::new("STS (oidc)", endpoint, files, fetch)
    })
}

fn duration(text: Option<&str>) -> Result<u64, CredentialsError> {
    let seconds = text.map_or(Some(DEFAULT_DURATION), |text| text.trim().parse().ok());
    let seconds = seconds.filter(|seconds| DURATIONS.contains(seconds));
    seconds.ok_or(CredentialsError::Variable {
        name: DURATION,
        expected: "expected a number of seconds from 900 to 43200",
    })
}

async fn fetch(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    let token = match &service.token {
        Some(token) => token.clone(),
        None => file::read_line(&service.files[0])?,
    };
    let mut fields = service.parameters.clone();
    fields["id_token"] = token.expose_secret().into();
    let request = post("/v5/agencies/assume-with-oidc", fields);
    let answer = Answer::to(network, &service.endpoint, request, FAR).await?;
    let hint = "check the urns of provider and agency, and that the provider trusts the token";
    answer.accepted(hint)?.key(service.name)
}
