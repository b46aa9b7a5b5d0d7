//! The metadata service of a server (ECS): keys of the agency that was chosen for the server.
//!
//! A token is asked for first, so that a web page or a redirect cannot get a key with a plain GET. Servers
//! whose metadata service has no tokens answer 404, 405 or 503 to that, and are asked without.

use http::Request;
use secrecy::{ExposeSecret, SecretString};

use super::NEAR;
use super::answer::Answer;
use super::error::ServiceError;
use crate::config::Endpoint;
use crate::upstream::Network;

const TOKEN: &str = "/meta-data/latest/api/token";
const KEY: &str = "/openstack/latest/securitykey";

/// What it says in a 401 when there is no agency, rather than a stale token.
const NO_AGENCY: &str = "Please configure Cloud Service Agency first";

const REMEDY: &str = "check that this is a server with an agency";

/// The metadata service.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::credentials) struct Metadata {
    /// Where it is.
    pub(in crate::credentials) endpoint: Endpoint,
}

impl Metadata {
    pub(super) async fn ask(&self, network: &Network) -> Result<Answer, ServiceError> {
        // Asked for anew each time: it costs one exchange an hour, and is never stale.
        let token = self.token(network).await?;
        let mut request = Request::get(KEY);
        if let Some(token) = &token {
            request = request.header("x-metadata-token", token.expose_secret());
        }
        let request = request.body("").expect("a token was checked to be text");
        let answer = Answer::of(network, &self.endpoint, request, NEAR).await?;
        if answer.status == 401 && answer.says(NO_AGENCY) {
            return Err(ServiceError::NoAgency);
        }
        answer.agreed(REMEDY)
    }

    async fn token(&self, network: &Network) -> Result<Option<SecretString>, ServiceError> {
        let request = Request::put(TOKEN)
            .header("x-metadata-token-ttl-seconds", "21600")
            .body("")
            .expect("the parts are fixed");
        let answer = Answer::of(network, &self.endpoint, request, NEAR).await?;
        if [404, 405, 503].contains(&answer.status) {
            return Ok(None);
        }
        answer.agreed(REMEDY)?.line().map(Some)
    }
}
