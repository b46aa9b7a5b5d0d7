//! IAM changes a token of an identity provider into one of its own, and that into a key.

use std::path::PathBuf;

use http::Request;
use secrecy::ExposeSecret;
use serde_json::json;

use super::FAR;
use super::answer::Answer;
use super::error::ServiceError;
use super::token::{body_of, line_of};
use crate::config::Endpoint;
use crate::upstream::Network;

/// For how long keys are asked for, in seconds, as the SDKs do.
const DURATION: u64 = 21600;

const JSON: &str = "application/json;charset=UTF-8";

/// IAM, for a token of an identity provider.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::credentials) struct Idp {
    /// Where IAM is.
    pub(in crate::credentials) endpoint: Endpoint,
    /// The identity provider, as IAM names it (`HUAWEICLOUD_SDK_IDP_ID`).
    pub(in crate::credentials) id: String,
    /// The file with its token, which is read each time (`HUAWEICLOUD_SDK_ID_TOKEN_FILE`).
    pub(in crate::credentials) token_file: PathBuf,
}

impl Idp {
    pub(super) async fn ask(&self, network: &Network) -> Result<Answer, ServiceError> {
        let id_token = line_of(&self.token_file, "HUAWEICLOUD_SDK_ID_TOKEN_FILE")?;
        let fields = json!({ "auth": { "id_token": { "id": id_token.expose_secret() } } });
        let request = Request::post("/v3.0/OS-AUTH/id-token/tokens")
            .header("x-idp-id", &self.id)
            .header("content-type", JSON)
            .body(body_of(fields))
            .expect("the id was checked to be text");
        let answer = Answer::of(network, &self.endpoint, request, FAR).await?;
        let answer = answer
            .agreed("check HUAWEICLOUD_SDK_IDP_ID, and that IAM trusts the provider's token")?;
        let token = answer.subject_token()?;
        let token = json!({ "id": token.expose_secret(), "duration_seconds": DURATION });
        let fields = json!({ "auth": { "identity": { "methods": ["token"], "token": token } } });
        let request = Request::post("/v3.0/OS-CREDENTIAL/securitytokens")
            .header("content-type", JSON)
            .body(body_of(fields))
            .expect("the parts are fixed");
        let answer = Answer::of(network, &self.endpoint, request, FAR).await?;
        answer.agreed("check what the provider's users may do")
    }
}
