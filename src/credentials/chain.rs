//! The sources of a signing key, in the order in which `credentials.source = "auto"` tries them.
//!
//! A new source is a file that finds it, and a row of a table here. No service is asked yet: files
//! and variables are read, so that a mistake is reported before anything is served, and services
//! are only found.

use std::path::PathBuf;

use super::error::CredentialsError;
use super::file::{Files, Format};
use super::service::{iam, machine, sts};
use super::source::{Backend, Requirement, Source};
use super::{env, file};
use crate::config::{AuthMode, CredentialsConfig, Environment, TokenSource};

/// Finds a source. [`CredentialsError::Absent`] means that it is not there.
type Find = fn(&CredentialsConfig, &Environment) -> Result<Backend, CredentialsError>;

/// The sources by their names in the log and in `credentials.source`, which has no name for that of
/// systemd.
const CHAIN: [(&str, Find); 8] = [
    ("oidc", |c, e| Backend::service(sts::with_oidc(c, e)?)),
    ("idp", |c, e| Backend::service(iam::with_idp(c, e)?)),
    ("env", |_, e| env::find(e).map(Backend::Fixed)),
    ("systemd", |c, e| file::systemd(c, e).map(Backend::files)),
    ("file", |c, _| file::named(c).map(Backend::files)),
    ("profile", |c, e| file::profile(c, e).map(Backend::files)),
    ("metadata", |c, _| Backend::service(machine::metadata(c))),
    ("pod-identity", |_, e| {
        Backend::service(machine::pod_identity(e)?)
    }),
];

/// Services that answer on some machines only: with `auto`, they are tried at the start if nothing
/// else is there.
const TRIED: [&str; 2] = ["metadata", "pod-identity"];

impl Source {
    /// Finds the source of a secret, and reads it if that needs no network.
    ///
    /// # Errors
    ///
    /// A [`CredentialsError`] that says what to do.
    pub fn open(
        requirement: Requirement,
        config: &CredentialsConfig,
        environment: &Environment,
    ) -> Result<Self, CredentialsError> {
        let text = |path: Option<&PathBuf>, format| {
            let files = path.cloned().map(|path| Files { path, format });
            files.map(Backend::files).ok_or(CredentialsError::NoFile)
        };
        let mut source = Self::new(requirement, config.label(), Backend::FirstOf(Vec::new()));
        source.backend = match (requirement.kind, &config.token) {
            (AuthMode::AkSk, _) => {
                let base = source.find_key(config, environment)?;
                match &config.agency {
                    Some(agency) => base.assuming(sts::of_agency(agency, config, environment)?)?,
                    None => base,
                }
            }
            (AuthMode::Token, Some(TokenSource::Iam(user))) => {
                Backend::service(iam::with_password(user, config, environment)?)?
            }
            (AuthMode::Token, Some(TokenSource::File(path))) => text(Some(path), Format::Text)?,
            (AuthMode::Token, None) => return Err(CredentialsError::NoFile),
            (AuthMode::AppCode, _) => text(config.app_code.as_ref(), Format::Text)?,
            (AuthMode::ApiKey, _) => text(config.api_key.as_ref(), Format::ApiKey)?,
        };
        source.config = Some(config.clone());
        match &source.backend {
            Backend::Fixed(lease) => source.slot.deliver(lease.clone()),
            Backend::Files(files, _) => source.slot.deliver(files.load()?),
            Backend::Service(_) | Backend::FirstOf(_) | Backend::Agency(..) => {}
        }
        Ok(source)
    }

    /// The source that `credentials.source` names, or the first one that is there.
    fn find_key(
        &mut self,
        config: &CredentialsConfig,
        environment: &Environment,
    ) -> Result<Backend, CredentialsError> {
        if let Some((_, find)) = CHAIN.iter().find(|(name, _)| *name == config.source) {
            return find(config, environment);
        }
        let mut services = Vec::new();
        for (name, find) in CHAIN {
            match find(config, environment) {
                Ok(Backend::Service(service)) if TRIED.contains(&name) => services.push(service),
                Err(CredentialsError::Absent { what, .. }) => self.passed_over.push((name, what)),
                found => return found,
            }
        }
        Ok(Backend::FirstOf(services))
    }
}
