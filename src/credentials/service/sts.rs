//! STS issues keys of agencies: for an OpenID Connect token, like that of a Kubernetes service
//! account, and for a key that may assume the agency.

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::answer::post;
use super::refusals::Refusals;
use super::{Protocol, Service, UNSIGNED, endpoint, path, signed_headers, variable};
use crate::clock::signing_date;
use crate::config::{CredentialsConfig, Environment};
use crate::credentials::CredentialsError;
use crate::credentials::types::{Credentials, Lease};
use crate::upstream::Network;

const PROVIDER: &str = "HUAWEICLOUD_OIDC_PROVIDER_URN";
const AGENCY: &str = "HUAWEICLOUD_OIDC_AGENCY_URN";
const DURATION: &str = "HUAWEICLOUD_OIDC_DURATION_SECONDS";

/// The requested lifetime of keys in seconds, unless it is set.
const DEFAULT_DURATION: u64 = 3600;

/// The variable with the endpoint, and the default.
const ENDPOINT: (&str, &str) = (
    "HUAWEICLOUD_SDK_STS_ENDPOINT",
    "https://sts.cn-north-4.myhuaweicloud.com",
);

/// STS with an OpenID Connect token, if the environment names a provider.
pub(in crate::credentials) fn with_oidc(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let text = |name: &str| environment.text(name);
    let hint = "set it, HUAWEICLOUD_OIDC_AGENCY_URN and HUAWEICLOUD_OIDC_TOKEN_FILE";
    let provider = variable(environment, PROVIDER, hint)?;
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
        None => vec![path(environment, PROVIDER, "HUAWEICLOUD_OIDC_TOKEN_FILE")?],
    };
    Ok(Service {
        name: "STS (oidc)",
        protocol: Protocol::Oidc(fields, token),
        endpoint: endpoint(config.sts.as_ref(), environment, ENDPOINT)?,
        files,
    })
}

/// STS, for a key of this agency.
pub(in crate::credentials) fn of_agency(
    agency: &str,
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    Ok(Service {
        name: "STS (agency)",
        protocol: Protocol::Agency(agency.to_owned(), Refusals::default()),
        endpoint: endpoint(config.sts.as_ref(), environment, ENDPOINT)?,
        files: Vec::new(),
    })
}

/// The seconds for which STS is to issue a key.
fn duration(text: Option<&str>) -> Result<u64, CredentialsError> {
    let seconds = text.map_or(Some(DEFAULT_DURATION), |text| text.trim().parse().ok());
    let seconds = seconds.filter(|seconds| (900..=43200).contains(seconds));
    seconds.ok_or(CredentialsError::Variable {
        name: DURATION,
        expected: "expected a number of seconds from 900 to 43200",
    })
}

impl Service {
    /// Exchanges the token of an OpenID Connect provider.
    pub(super) async fn ask_with_oidc(
        &self,
        network: &Network,
        fields: &Value,
        token: Option<&SecretString>,
    ) -> Result<Lease, CredentialsError> {
        let token = token.map_or_else(|| self.line(0), |token| Ok(token.clone()))?;
        let mut fields = fields.clone();
        fields["id_token"] = token.expose_secret().into();
        let request = post("/v5/agencies/assume-with-oidc", fields);
        let hint = "check the urns of provider and agency, and that the provider trusts the token";
        self.send(network, request).await?.accepted(hint)?.key()
    }

    /// Exchanges a key. The request is signed with it.
    pub(super) async fn ask_with_key(
        &self,
        network: &Network,
        agency: &str,
        key: &Credentials,
    ) -> Result<Lease, CredentialsError> {
        let fields = json!({
            "agency_urn": agency,
            "agency_session_name": "apig-proxy",
            "duration_seconds": DEFAULT_DURATION,
        });
        let mut request = post("/v5/agencies/assume", fields);
        let signed = signed_headers(&self.endpoint, &request, key, &signing_date());
        request.headers_mut().extend(signed.map_err(|_| UNSIGNED)?);
        let answer = self.send(network, request).await?;
        let hint = match answer.response.status() {
            StatusCode::UNAUTHORIZED => {
                "check that the access key exists, that the secret key belongs to it, and the clock of this machine"
            }
            _ => "check `credentials.agency`, and that the key may assume this agency",
        };
        answer.accepted(hint)?.key()
    }
}
