//! Services that the environment names, by the variables of the SDKs.

use super::CredentialsError;
use super::service::{IdToken, Idp, Oidc, PodIdentity};
use crate::config::{CredentialsConfig, Endpoint, Environment};

const IAM: &str = "https://iam.myhuaweicloud.com";
const STS: &str = "https://sts.cn-north-4.myhuaweicloud.com";

/// How long a key of STS is good, in seconds, if it is not said, and what STS takes.
const DURATION: u64 = 3600;
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=43200;

/// Where IAM is: in the configuration, in the environment, or where it usually is.
pub(super) fn iam(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Endpoint, CredentialsError> {
    let said = config.endpoints.iam.clone();
    said.map_or_else(
        || of_variable(environment, "HUAWEICLOUD_SDK_IAM_ENDPOINT", IAM),
        Ok,
    )
}

fn sts(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Endpoint, CredentialsError> {
    let said = config.endpoints.sts.clone();
    said.map_or_else(
        || of_variable(environment, "HUAWEICLOUD_SDK_STS_ENDPOINT", STS),
        Ok,
    )
}

fn of_variable(
    environment: &Environment,
    name: &'static str,
    usual: &str,
) -> Result<Endpoint, CredentialsError> {
    let mut found = endpoint(name, environment.text(name).unwrap_or(usual))?;
    found.egress = environment.egress_to(&found.url);
    Ok(found)
}

/// The token of an identity provider; `None` if none is named.
pub(super) fn idp(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Option<Idp>, CredentialsError> {
    const ID: &str = "HUAWEICLOUD_SDK_IDP_ID";
    const FILE: &str = "HUAWEICLOUD_SDK_ID_TOKEN_FILE";
    let Some(id) = environment.text(ID) else {
        return Ok(None);
    };
    if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let expected = "expected visible ascii characters without blanks";
        return Err(CredentialsError::Variable { name: ID, expected });
    }
    Ok(Some(Idp {
        endpoint: iam(config, environment)?,
        id: id.to_owned(),
        token_file: environment
            .path(FILE)
            .ok_or(CredentialsError::HalfInEnvironment {
                present: ID,
                missing: FILE,
            })?,
    }))
}

/// The identity of a pod; `None` if the pod has none.
pub(super) fn pod_identity(
    environment: &Environment,
) -> Result<Option<PodIdentity>, CredentialsError> {
    const URI: &str = "HC_CONTAINER_CREDENTIALS_FULL_URI";
    const FILE: &str = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    let Some(uri) = environment.text(URI) else {
        return Ok(None);
    };
    let mut endpoint = endpoint(URI, uri)?;
    endpoint.egress = environment.egress_to(&endpoint.url);
    Ok(Some(PodIdentity {
        endpoint,
        token_file: environment
            .path(FILE)
            .ok_or(CredentialsError::HalfInEnvironment {
                present: URI,
                missing: FILE,
            })?,
    }))
}

/// STS with an OpenID Connect token; `None` if no provider is named.
pub(super) fn oidc(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Option<Oidc>, CredentialsError> {
    const PROVIDER: &str = "HUAWEICLOUD_OIDC_PROVIDER_URN";
    const AGENCY: &str = "HUAWEICLOUD_OIDC_AGENCY_URN";
    const FILE: &str = "HUAWEICLOUD_OIDC_TOKEN_FILE";
    let Some(provider) = environment.text(PROVIDER) else {
        return Ok(None);
    };
    let half = |missing| CredentialsError::HalfInEnvironment {
        present: PROVIDER,
        missing,
    };
    let id_token = match environment.secret("HUAWEICLOUD_OIDC_ID_TOKEN") {
        Some(token) => IdToken::Value(token),
        None => IdToken::File(environment.path(FILE).ok_or_else(|| half(FILE))?),
    };
    let text = |name: &str| environment.text(name).map(str::to_owned);
    let ids = environment
        .text("HUAWEICLOUD_OIDC_POLICY_IDS")
        .unwrap_or_default();
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
    Ok(Some(Oidc {
        endpoint: sts(config, environment)?,
        provider_urn: provider.to_owned(),
        agency_urn: text(AGENCY).ok_or_else(|| half(AGENCY))?,
        id_token,
        session_name: text("HUAWEICLOUD_OIDC_SESSION_NAME")
            .unwrap_or_else(|| "oidc-sts-session".to_owned()),
        duration_seconds: duration(environment)?,
        policy: text("HUAWEICLOUD_OIDC_POLICY"),
        policy_ids: ids.map(str::to_owned).collect(),
    }))
}

fn duration(environment: &Environment) -> Result<u64, CredentialsError> {
    const NAME: &str = "HUAWEICLOUD_OIDC_DURATION_SECONDS";
    let Some(text) = environment.text(NAME) else {
        return Ok(DURATION);
    };
    let seconds = text.trim().parse().ok();
    seconds
        .filter(|seconds| DURATIONS.contains(seconds))
        .ok_or(CredentialsError::Variable {
            name: NAME,
            expected: "expected a number of seconds from 900 to 43200",
        })
}

/// A URL out of a variable.
fn endpoint(name: &'static str, text: &str) -> Result<Endpoint, CredentialsError> {
    Endpoint::parse(text).map_err(|expected| CredentialsError::Variable { name, expected })
}
