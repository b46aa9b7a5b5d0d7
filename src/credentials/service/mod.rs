//! Services that give temporary keys and tokens over HTTP.
//!
//! One file per service. What all of them do: one request, or two, over connections of their own,
//! and an answer in JSON whose names differ from service to service.
//!
//! # What can go wrong
//!
//! A service may refuse, hang, answer with something else, or give a key that has already come to its
//! end. Each is told apart, so that the log says what to do. What they answer holds secrets, so it
//! is never quoted, but for a code that has the shape of one.

mod answer;
mod error;
mod idp;
mod metadata;
mod oidc;
mod pod_identity;
mod token;

use std::path::Path;
use std::time::Duration;

use super::issued::{Issued, Secret};
use super::{Credentials, Origin};
use crate::clock::Moment;
use crate::config::secret::{SecretFileError, read_secret_file};
use crate::upstream::Network;
use answer::Answer;
pub use error::ServiceError;
pub(super) use idp::Idp;
pub(super) use metadata::Metadata;
pub(super) use oidc::{IdToken, Oidc};
pub(super) use pod_identity::PodIdentity;
pub(super) use token::IamToken;

/// How long a service on this machine's link may take for an answer, as for the SDKs.
const NEAR: Duration = Duration::from_secs(3);

/// How long one that is farther away may take.
const FAR: Duration = Duration::from_secs(10);

/// How far a service's clock may be from this machine's to count as the same, in milliseconds.
const SAME: i64 = 2000;

/// A service that gives secrets.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::credentials) enum Service {
    /// Keys of a server's agency.
    Metadata(Metadata),
    /// Keys of a pod.
    PodIdentity(PodIdentity),
    /// Keys for an OpenID Connect token.
    Oidc(Oidc),
    /// Keys for a token of an identity provider.
    Idp(Idp),
    /// Tokens for a user of IAM.
    Token(IamToken),
}

impl Service {
    /// Its name, for people.
    #[must_use]
    pub(in crate::credentials) fn name(&self) -> &'static str {
        match self {
            Self::Metadata(_) => "the metadata service",
            Self::PodIdentity(_) => "pod identity",
            Self::Oidc(_) => "STS (oidc)",
            Self::Idp(_) => "IAM (identity provider)",
            Self::Token(_) => "IAM (token)",
        }
    }

    /// Checks that the files it reads are regular files. One that is missing may come later, since
    /// somebody else writes it.
    ///
    /// # Errors
    ///
    /// A [`SecretFileError`] that says what the file is instead.
    pub(in crate::credentials) fn check_files(&self) -> Result<(), SecretFileError> {
        let files: Vec<&Path> = match self {
            Self::Metadata(_) => Vec::new(),
            Self::PodIdentity(service) => vec![&service.token_file],
            Self::Oidc(service) => service.id_token.file().into_iter().collect(),
            Self::Idp(service) => vec![&service.token_file],
            Self::Token(IamToken { user, .. }) => vec![&user.user, &user.password, &user.domain],
        };
        for file in files {
            match read_secret_file(file) {
                Err(error) if error.is_wrong_kind() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Asks for a secret.
    ///
    /// # Errors
    ///
    /// A [`ServiceError`] that says what to do.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request.
    pub(in crate::credentials) async fn ask(
        &self,
        network: &Network,
    ) -> Result<Issued, ServiceError> {
        let (secret, lifetime, at) = match self {
            Self::Metadata(service) => key(&service.ask(network).await?)?,
            Self::PodIdentity(service) => key(&service.ask(network).await?)?,
            Self::Oidc(service) => key(&service.ask(network).await?)?,
            Self::Idp(service) => key(&service.ask(network).await?)?,
            Self::Token(service) => service.ask(network).await?,
        };
        let issued = Issued {
            secret,
            project_id: None,
            origin: Origin::Service(self.name()),
            at,
            lifetime: Some(lifetime),
        };
        if issued.is_good(Moment::now()) {
            Ok(issued)
        } else {
            Err(ServiceError::Expired)
        }
    }
}

/// A key out of an answer, how long it is good, and from when on.
fn key(answer: &Answer) -> Result<(Secret, Duration, Moment), ServiceError> {
    let key = answer.key()?;
    let lifetime = lifetime(key.expires_at, answer.told, answer.at);
    let credentials: Credentials = key.credentials;
    Ok((Secret::Key(credentials), lifetime, answer.at))
}

/// How long something is good that ends at a certain time, by the clock of who gave it: this machine's may be
/// wrong. All but the lifetime is in milliseconds since 1970.
fn lifetime(expires_at: i64, told: Option<i64>, at: Moment) -> Duration {
    let now = match told.map(|told| told.saturating_mul(1000)) {
        // It was told without fractions, so this machine's time is the better one while they agree.
        Some(told) if (told - at.wall()).abs() > SAME => told + 1000,
        _ => at.wall(),
    };
    Duration::from_millis(u64::try_from(expires_at.saturating_sub(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
