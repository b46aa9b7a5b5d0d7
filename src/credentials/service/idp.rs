//! IAM exchanges a token of an identity provider for one of its own, and that for a key.

use http::HeaderValue;
use secrecy::ExposeSecret;
use serde_json::json;

use super::answer::post;
use super::token::iam;
use super::{Protocol, Service, ServiceError, path};
use crate::config::{CredentialsConfig, Environment};
use crate::credentials::CredentialsError;
use crate::credentials::types::Lease;
use crate::upstream::Network;

const ID: &str = "HUAWEICLOUD_SDK_IDP_ID";
const TOKEN_FILE: &str = "HUAWEICLOUD_SDK_ID_TOKEN_FILE";

/// The requested lifetime of keys in seconds, as in the SDKs.
const DURATION: u64 = 21600;

/// IAM with a token of an identity provider, if the environment names one.
pub(in crate::credentials) fn find(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let absent = || {
        let hint = "set it, and HUAWEICLOUD_SDK_ID_TOKEN_FILE";
        CredentialsError::absent("HUAWEICLOUD_SDK_IDP_ID is not set", hint)
    };
    let id = environment.text(ID).ok_or_else(absent)?;
    let is_visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    let id = HeaderValue::from_str(id).ok().filter(|_| is_visible);
    Ok(Service {
        name: "IAM (identity provider)",
        protocol: Protocol::Idp(id.ok_or(CredentialsError::Variable {
            name: ID,
            expected: "expected visible ASCII characters without blanks",
        })?),
        endpoint: iam(config, environment)?,
        files: vec![path(environment, ID, TOKEN_FILE)?],
    })
}

pub(super) async fn ask(
    service: &Service,
    network: &Network,
    provider: &HeaderValue,
) -> Result<Lease, ServiceError> {
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
