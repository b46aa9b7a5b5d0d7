//! The metadata service of a server (ECS): keys of the agency that was chosen for the server.
//!
//! A session token is requested first, so that a web page or a redirect cannot get a key with a
//! plain GET. Servers whose metadata service has no tokens answer 404, 405 or 503 to that, and are
//! asked without.

use bytes::Bytes;
use http::Request;
use secrecy::ExposeSecret;

use super::{Protocol, Service, ServiceError};
use crate::config::CredentialsConfig;
use crate::credentials::types::Lease;
use crate::upstream::Network;

/// The text of a 401 when there is no agency, rather than a stale token.
const NO_AGENCY: &str = "Please configure Cloud Service Agency first";

const HINT: &str = "check that this is a server with an agency";

/// The metadata service.
pub(in crate::credentials) fn find(config: &CredentialsConfig) -> Service {
    Service {
        name: "the metadata service",
        protocol: Protocol::Metadata,
        endpoint: config.metadata.clone(),
        files: Vec::new(),
    }
}

pub(super) async fn ask(service: &Service, network: &Network) -> Result<Lease, ServiceError> {
    // Requested each time: that costs one exchange an hour, and the token is never stale.
    let request = Request::put("/meta-data/latest/api/token")
        .header("x-metadata-token-ttl-seconds", "21600")
        .body(Bytes::new())
        .expect("the parts are fixed");
    let answer = service.send(network, request).await?;
    let mut request = Request::get("/openstack/latest/securitykey");
    if !matches!(answer.response.status().as_u16(), 404 | 405 | 503) {
        let token = answer.accepted(HINT)?.line()?;
        request = request.header("x-metadata-token", token.expose_secret());
    }
    let request = request
        .body(Bytes::new())
        .expect("a token was checked to be text");
    let answer = service.send(network, request).await?;
    if answer.response.status() == 401 && answer.contains(NO_AGENCY) {
        return Err(ServiceError::NoAgency);
    }
    answer.accepted(HINT)?.key()
}
