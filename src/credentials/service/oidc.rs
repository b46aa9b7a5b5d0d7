//! STS changes an OpenID Connect token, like the one of a Kubernetes service account, into a key.

use std::path::{Path, PathBuf};

use http::Request;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::FAR;
use super::answer::Answer;
use super::error::ServiceError;
use super::token::{body_of, line_of};
use crate::config::Endpoint;
use crate::upstream::Network;

/// STS, for an OpenID Connect token. The fields are those of `HUAWEICLOUD_OIDC_*`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::credentials) struct Oidc {
    /// Where STS is.
    pub(in crate::credentials) endpoint: Endpoint,
    /// The identity provider, as IAM names it.
    pub(in crate::credentials) provider_urn: String,
    /// The agency to assume.
    pub(in crate::credentials) agency_urn: String,
    /// The token.
    pub(in crate::credentials) id_token: IdToken,
    /// The name of the session, as audits show it.
    pub(in crate::credentials) session_name: String,
    /// For how long keys are asked for, in seconds.
    pub(in crate::credentials) duration_seconds: u64,
    /// A policy that narrows the agency's own.
    pub(in crate::credentials) policy: Option<String>,
    /// Policies that narrow it, by their ids.
    pub(in crate::credentials) policy_ids: Vec<String>,
}

/// Where a token is.
#[derive(Clone, Debug)]
pub(in crate::credentials) enum IdToken {
    /// In a file, which is read each time, since whoever writes it replaces it.
    File(PathBuf),
    /// In a variable.
    Value(SecretString),
}

impl IdToken {
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Value(_) => None,
        }
    }
}

impl PartialEq for IdToken {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Value(one), Self::Value(other)) => one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

impl Oidc {
    pub(super) async fn ask(&self, network: &Network) -> Result<Answer, ServiceError> {
        let token = match &self.id_token {
            IdToken::File(path) => line_of(path, "HUAWEICLOUD_OIDC_TOKEN_FILE")?,
            IdToken::Value(token) => token.clone(),
        };
        let mut fields = json!({
            "provider_urn": self.provider_urn,
            "agency_urn": self.agency_urn,
            "agency_session_name": self.session_name,
            "id_token": token.expose_secret(),
            "duration_seconds": self.duration_seconds,
        });
        if let Some(policy) = &self.policy {
            fields["policy"] = policy.as_str().into();
        }
        if !self.policy_ids.is_empty() {
            fields["policy_ids"] = self.policy_ids.clone().into();
        }
        let request = Request::post("/v5/agencies/assume-with-oidc")
            .header("content-type", "application/json;charset=UTF-8")
            .body(body_of(fields))
            .expect("the parts are fixed");
        let answer = Answer::of(network, &self.endpoint, request, FAR).await?;
        answer
            .agreed("check the urns of provider and agency, and that the provider trusts the token")
    }
}
