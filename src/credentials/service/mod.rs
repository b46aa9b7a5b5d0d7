//! Services that give temporary keys and tokens over HTTP: one file per service.
//!
//! Each sends one or two requests over connections of its own and reads JSON, whose names differ
//! from service to service.
//!
//! # What can go wrong
//!
//! A service may refuse, hang, answer with something else, or give a key that has already expired.
//! Each has an error of its own, so that the log says what to do. Responses hold secrets, so they
//! are never quoted, except for a code that has the shape of one.

mod answer;
mod error;
pub(super) mod idp;
pub(super) mod metadata;
pub(super) mod oidc;
pub(super) mod pod_identity;
pub(super) mod token;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use serde_json::Value;

use super::CredentialsError;
use super::types::Lease;
use crate::clock::Moment;
use crate::config::secret::{SecretFileError, read_secret_file};
use crate::config::{Endpoint, Environment};
use crate::upstream::Network;
pub use error::ServiceError;

/// Time limit for a service on this machine's link, as in the SDKs.
const NEAR: Duration = Duration::from_secs(3);

/// Time limit for a service of the public network.
const FAR: Duration = Duration::from_secs(10);

/// A service that gives secrets.
#[derive(Debug)]
pub(super) struct Service {
    /// Its name in messages.
    pub(super) name: &'static str,
    endpoint: Endpoint,
    /// The files that it reads for each request, since other programs replace them.
    files: Vec<PathBuf>,
    /// A token that takes the place of a file.
    token: Option<SecretString>,
    /// What requests say besides secrets.
    parameters: Value,
    fetch: Fetch,
}

type Fetch = for<'a> fn(&'a Service, &'a Network) -> BoxFuture<'a, Result<Lease, ServiceError>>;

impl Service {
    fn new(name: &'static str, endpoint: Endpoint, files: Vec<PathBuf>, fetch: Fetch) -> Self {
        Self {
            name,
            endpoint,
            files,
            token: None,
            parameters: Value::Null,
            fetch,
        }
    }

    /// Asks for a secret that is still valid.
    ///
    /// # Errors
    ///
    /// A [`ServiceError`] that says what to do.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request.
    pub(super) async fn ask(&self, network: &Network) -> Result<Lease, ServiceError> {
        let lease = (self.fetch)(self, network).await?;
        let is_good = lease.is_good(Moment::now());
        is_good.then_some(lease).ok_or(ServiceError::Expired)
    }

    /// Checks that its files are regular files. A missing one may come later.
    ///
    /// # Errors
    ///
    /// A [`SecretFileError`] that says what the file is instead.
    pub(super) fn check_files(&self) -> Result<(), SecretFileError> {
        for file in &self.files {
            match read_secret_file(file) {
                Err(error) if error.is_wrong_kind() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The path in a variable that has to be set with another one.
fn path(
    environment: &Environment,
    present: &'static str,
    missing: &'static str,
) -> Result<PathBuf, CredentialsError> {
    let path = environment.path(missing);
    path.ok_or(CredentialsError::HalfInEnvironment { present, missing })
}

/// The endpoint of a service: from the configuration, else from a variable, else the default.
fn endpoint(
    configured: Option<&Endpoint>,
    environment: &Environment,
    name: &'static str,
    default: &str,
) -> Result<Endpoint, CredentialsError> {
    if let Some(endpoint) = configured {
        return Ok(endpoint.clone());
    }
    let mut endpoint = Endpoint::parse(environment.text(name).unwrap_or(default))
        .map_err(|expected| CredentialsError::Variable { name, expected })?;
    endpoint.egress = environment.egress_to(&endpoint.url);
    Ok(endpoint)
}
