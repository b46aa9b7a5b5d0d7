//! The metadata service of a server (ECS): keys of the agency that was chosen for the server.
//!
//! A session token is requested first, so that a web page or a redirect cannot get a key with a
//! plain GET. Servers whose metadata service has no tokens answer 404, 405 or 503 to that, and are
//! asked without.

use bytes::Bytes;
use http::Request;
use secrecy::{ExposeSecret, SecretString};

use super::answer::Answer;
use super::{Fetch, NEAR, Service, ServiceError};
use crate::config::CredentialsConfig;
use crate::credentials::types::Lease;
use crate::upstream::Network;

const TOKEN: &str = "/meta-data/latest/api/token";
const KEY: &str = "/openstack/latest/securitykey";

/// The text of a 401 when there is no agency, rather than a stale token.
const NO_AGENCY: &str = "Please configure Cloud Service Agency first";

const HINT: &str = "check that this is a server with an agency";

/// The metadata service.
pub(in crate::credentials) fn find(config: &CredentialsConfig) -> Service {
    let endpoint = config.metadata.clone();
    let fetch: Fetch = |service, network| Box::pin(fetch(service, network));
    Service::new("the metadata service", endpoint, Vec::new(), fetch)
}

async fn fetch(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    // Requested each time: that costs one exchange an hour, and the token is never stale.
    let token = token(service, network).await?;
    let mut request = Request::get(KEY);
    if let Some(token) = &token {
        request = request.header("x-metadata-token", token.expose_secret());
    }
    let request = request.body(Bytes::new());
    let request = request.expect("a token was checked to be text");
    let answer = Answer::to(network, &service.endpoint, request, NEAR).await?;
    if answer.response.status() == 401 && answer.contains(NO_AGENCY) {
        return Err(ServiceError::NoAgency);
    }
    answer.accepted(HINT)?.key(service.name)
}

async fn token(service: &Service, network: &Network) -> Result<Option<SecretString>, ServiceError> {
    let request = Request::put(TOKEN)
        .header("x-metadata-token-ttl-seconds", "21600")
        .body(Bytes::new())
        .expect("the parts are fixed");
    let answer = Answer::to(network, &service.endpoint, request, NEAR).await?;
    if [404, 405, 503].contains(&answer.response.status().as_u16()) {
        return Ok(None);
    }
    answer.accepted(HINT)?.line().map(Some)
}
