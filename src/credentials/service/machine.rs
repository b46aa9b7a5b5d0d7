//! Services on the machine's own link: the metadata service of a server (ECS), which issues keys of the
//! server's agency, and pod identity (CCE), whose agent on the node exchanges the pod's token for a key.
//!
//! A session token of the metadata service is requested first, so that a web page or a redirect
//! cannot get a key with a plain GET. Servers whose metadata service has no tokens answer 404, 405
//! or 503 to that, and are asked without.

use bytes::Bytes;
use http::Request;
use secrecy::ExposeSecret;

use super::{Protocol, Service, endpoint, path, variable};
use crate::config::{CredentialsConfig, Environment};
use crate::credentials::CredentialsError;
use crate::credentials::error::NO_AGENCY;
use crate::credentials::types::Lease;
use crate::upstream::Network;

/// The text of a 401 when there is no agency, rather than a stale token.
const CONFIGURE_AGENCY: &str = "Please configure Cloud Service Agency first";

const HINT: &str = "check that this is a server with an agency";

const URI: &str = "HC_CONTAINER_CREDENTIALS_FULL_URI";

pub(in crate::credentials) fn metadata(config: &CredentialsConfig) -> Service {
    Service {
        name: "the metadata service",
        protocol: Protocol::Metadata,
        endpoint: config.metadata.clone(),
        files: Vec::new(),
    }
}

pub(in crate::credentials) fn pod_identity(
    environment: &Environment,
) -> Result<Service, CredentialsError> {
    let hint = "associate the pod's service account with an agency";
    let uri = variable(environment, URI, hint)?;
    Ok(Service {
        name: "pod identity",
        protocol: Protocol::PodIdentity,
        endpoint: endpoint(None, environment, (URI, uri))?,
        files: vec![path(
            environment,
            URI,
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        )?],
    })
}

impl Service {
    pub(super) async fn ask_metadata(&self, network: &Network) -> Result<Lease, CredentialsError> {
        // Requested each time: that costs one exchange an hour, and the token is never stale.
        let request = Request::put("/meta-data/latest/api/token")
            .header("x-metadata-token-ttl-seconds", "21600")
            .body(Bytes::new());
        let request = request.expect("the parts are fixed");
        let answer = self.send(network, request).await?;
        let mut request = Request::get("/openstack/latest/securitykey");
        if !matches!(answer.response.status().as_u16(), 404 | 405 | 503) {
            let token = answer.accepted(HINT)?.line()?;
            request = request.header("x-metadata-token", token.expose_secret());
        }
        let request = request.body(Bytes::new());
        let request = request.expect("a token was checked to be text");
        let answer = self.send(network, request).await?;
        if answer.response.status() == 401 && answer.contains(CONFIGURE_AGENCY) {
            return Err(NO_AGENCY);
        }
        answer.accepted(HINT)?.key()
    }

    pub(super) async fn ask_agent(&self, network: &Network) -> Result<Lease, CredentialsError> {
        let request = Request::post("/")
            .header("authorization", self.line(0)?.expose_secret())
            .header("content-type", "application/json")
            .body("{}".into());
        let request = request.expect("the token was checked to be text");
        let hint = "check the agency that the pod's service account is associated with";
        self.send(network, request).await?.accepted(hint)?.key()
    }
}
