//! IAM exchanges a token of an identity provider for one of its own, and that for a key.

use http::HeaderValue;
use secrecy::ExposeSecret;
use serde_json::json;

use super::answer::{Answer, post};
use super::token::iam;
use super::{FAR, Fetch, Service, ServiceError, path};
use crate::config::{CredentialsConfig, Environment};
use crate::credentials::types::Lease;
use crate::credentials::{CredentialsError, file};
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
    let Some(id) = environment.text(ID) else {
        let what = "HUAWEICLOUD_SDK_IDP_ID is not set";
        let hint = "set it, and HUAWEICLOUD_SDK_ID_TOKEN_FILE";
        return Err(CredentialsError::absent(what, hint));
    };
    if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let expected = "expected visible ascii characters without blanks";
        return Err(CredentialsError::Variable { name: ID, expected });
    }
    let endpoint = iam(config, environment)?;
    let files = vec![path(environment, ID, TOKEN_FILE)?];
    let fetch: Fetch = |service, network| Box::pin(fetch(service, network));
    Ok(Service {
        parameters: id.into(),
        ..Service::new("IAM (identity provider)", endpoint, files, fetch)
    })
}

async fn fetch(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    let id_token = file::read_line(&service.files[0])?;
    let fields = json!({ "auth": { "id_token": { "id": id_token.expose_secret() } } });
    let mut request = post("/v3.0/OS-AUTH/id-token/tokens", fields);
    let id = service.parameters.as_str().unwrap_or_default();
    let id = HeaderValue::from_str(id).expect("the id was checked to be text");
    request.headers_mut().insert("x-idp-id", id);
    let answer = Answer::to(network, &service.endpoint, request, FAR).await?;
    let hint = "check HUAWEICLOUD_SDK_IDP_ID, and that IAM trusts the provider's token";
    let token = answer.accepted(hint)?.subject_token()?;
    let fields = json!({ "auth": { "identity": {
        "methods": ["token"],
        "token": { "id": token.expose_secret(), "duration_seconds": DURATION },
    } } });
    let request = post("/v3.0/OS-CREDENTIAL/securitytokens", fields);
    let answer = Answer::to(network, &service.endpoint, request, FAR).await?;
    let hint = "check what the provider's users may do";
    answer.accepted(hint)?.key(service.name)
}
