//! The identity of a pod in CCE: an agent on the node exchanges the pod's own token for a key.

use http::Request;
use secrecy::ExposeSecret;

use super::{Protocol, Service, ServiceError, endpoint, path};
use crate::config::Environment;
use crate::credentials::CredentialsError;
use crate::credentials::types::Lease;
use crate::upstream::Network;

const URI: &str = "HC_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN_FILE: &str = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The identity of this pod, if it has one.
pub(in crate::credentials) fn find(environment: &Environment) -> Result<Service, CredentialsError> {
    let absent = || {
        let hint = "associate the pod's service account with an agency";
        CredentialsError::absent("HC_CONTAINER_CREDENTIALS_FULL_URI is not set", hint)
    };
    let uri = environment.text(URI).ok_or_else(absent)?;
    Ok(Service {
        name: "pod identity",
        protocol: Protocol::PodIdentity,
        endpoint: endpoint(None, environment, URI, uri)?,
        files: vec![path(environment, URI, TOKEN_FILE)?],
    })
}

pub(super) async fn ask(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    let request = Request::post("/")
        .header("authorization", service.line(0)?.expose_secret())
        .header("content-type", "application/json")
        .body("{}".into())
        .expect("the token was checked to be text");
    let answer = service.send(network, request).await?;
    let hint = "check the agency that the pod's service account is associated with";
    answer.accepted(hint)?.key()
}
