//! The identity of a pod in CCE: an agent on the node exchanges the pod's own token for a key.

use std::time::Duration;

use http::Request;
use secrecy::ExposeSecret;

use super::answer::Answer;
use super::{Fetch, Service, ServiceError, endpoint, path};
use crate::config::Environment;
use crate::credentials::types::Lease;
use crate::credentials::{CredentialsError, file};
use crate::upstream::Network;

const URI: &str = "HC_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN_FILE: &str = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// Time limit, as in the SDKs.
const LIMIT: Duration = Duration::from_secs(5);

/// The identity of this pod, if it has one.
pub(in crate::credentials) fn find(environment: &Environment) -> Result<Service, CredentialsError> {
    let Some(uri) = environment.text(URI) else {
        let what = "HC_CONTAINER_CREDENTIALS_FULL_URI is not set";
        let hint = "associate the pod's service account with an agency";
        return Err(CredentialsError::absent(what, hint));
    };
    let endpoint = endpoint(None, environment, URI, uri)?;
    let files = vec![path(environment, URI, TOKEN_FILE)?];
    let fetch: Fetch = |service, network| Box::pin(fetch(service, network));
    Ok(Service::new("pod identity", endpoint, files, fetch))
}

async fn fetch(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    let token = file::read_line(&service.files[0])?;
    let request = Request::post("/")
        .header("authorization", token.expose_secret())
        .header("content-type", "application/json")
        .body("{}".into())
        .expect("the token was checked to be text");
    let answer = Answer::to(network, &service.endpoint, request, LIMIT).await?;
    let hint = "check the agency that the pod's service account is associated with";
    answer.accepted(hint)?.key(service.name)
}
