//! IAM gives a token to a user with a password.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::FAR;
use super::answer::{Answer, milliseconds};
use super::error::ServiceError;
use crate::clock::Moment;
use crate::config::secret::read_secret_file;
use crate::config::{Endpoint, IamUser};
use crate::credentials::issued::Secret;
use crate::credentials::wiped::Wiped;
use crate::upstream::Network;

/// How long a token is good if IAM does not say it (IAM, obtaining a token: 24 hours).
const USUAL: Duration = Duration::from_secs(24 * 60 * 60);

/// IAM, for a user's token.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::credentials) struct IamToken {
    /// Where IAM is.
    pub(in crate::credentials) endpoint: Endpoint,
    /// Who asks.
    pub(in crate::credentials) user: IamUser,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: String,
}

impl IamToken {
    pub(super) async fn ask(
        &self,
        network: &Network,
    ) -> Result<(Secret, Duration, Moment), ServiceError> {
        let request = Request::post("/v3/auth/tokens?nocatalog=true")
            .header("content-type", "application/json;charset=utf8")
            .body(self.body()?)
            .expect("the parts are fixed");
        let answer = Answer::of(network, &self.endpoint, request, FAR).await?;
        let answer =
            answer.agreed("check the files of user, password and domain, and iam_project")?;
        let token = answer.subject_token()?;
        let said: Option<Body> = answer.json();
        let expires_at = said.and_then(|said| milliseconds(&said.token.expires_at));
        let lifetime = expires_at.map_or(USUAL, |end| super::lifetime(end, answer.told, answer.at));
        Ok((Secret::Text(token), lifetime, answer.at))
    }

    fn body(&self) -> Result<Bytes, ServiceError> {
        let user = line_of(&self.user.user, "iam_user_file")?;
        let password = line_of(&self.user.password, "iam_password_file")?;
        let domain = line_of(&self.user.domain, "iam_domain_file")?;
        let user = json!({
            "name": user.expose_secret(),
            "password": password.expose_secret(),
            "domain": { "name": domain.expose_secret() },
        });
        let scope = match &self.user.project {
            Some(project) => json!({ "project": { "name": project } }),
            None => json!({ "domain": { "name": domain.expose_secret() } }),
        };
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        Ok(body_of(
            json!({ "auth": { "identity": identity, "scope": scope } }),
        ))
    }
}

/// The one line of a file with a secret. White space around it does not count.
pub(super) fn line_of(path: &Path, key: &'static str) -> Result<SecretString, ServiceError> {
    let content = read_secret_file(path)?;
    let text = str::from_utf8(content.expose_secret()).map_err(|_| ServiceError::NotText(key))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(ServiceError::NotText(key));
    }
    Ok(text.into())
}

/// JSON as a body. What it was made of is wiped; the body is gone with the request.
pub(super) fn body_of(fields: Value) -> Bytes {
    Wiped(fields).0.to_string().into()
}
