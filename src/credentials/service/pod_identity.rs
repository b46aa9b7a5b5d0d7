//! The identity of a pod in CCE: an agent on the node changes the pod's own token into a key.

use std::path::PathBuf;
use std::time::Duration;

use http::Request;
use secrecy::ExposeSecret;

use super::answer::Answer;
use super::error::ServiceError;
use super::token::line_of;
use crate::config::Endpoint;
use crate::upstream::Network;

/// How long it may take, as for the SDKs.
const LIMIT: Duration = Duration::from_secs(5);

/// Pod identity.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::credentials) struct PodIdentity {
    /// Where the agent is: the URL of `HC_CONTAINER_CREDENTIALS_FULL_URI`.
    pub(in crate::credentials) endpoint: Endpoint,
    /// The file with the pod's token, which is read each time, since it changes.
    pub(in crate::credentials) token_file: PathBuf,
}

impl PodIdentity {
    pub(super) async fn ask(&self, network: &Network) -> Result<Answer, ServiceError> {
        let token = line_of(&self.token_file, "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE")?;
        let request = Request::post("/")
            .header("authorization", token.expose_secret())
            .header("content-type", "application/json")
            .body("{}")
            .expect("the token was checked to be text");
        let answer = Answer::of(network, &self.endpoint, request, LIMIT).await?;
        answer.agreed("check the agency that the pod's service account is associated with")
    }
}
