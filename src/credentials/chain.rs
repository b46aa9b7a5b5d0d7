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
use crate::config::{
    AuthMode, CredentialSource as Named, CredentialsConfig, Environment, TokenSource,
};

/// One source of a signing key: its name in the log, the value of `credentials.source` that names
/// it, and what finds it. [`CredentialsError::Absent`] means that it is not there.
type KeySource = (&'static str, Option<Named>, Find);
type Find = fn(&CredentialsConfig, &Environment) -> Result<Backend, CredentialsError>;

/// The last two are services that answer on some machines only: with `auto`, they are tried at the
/// start if nothing else is there.
const CHAIN: [KeySource; 8] = [
    ("oidc", Some(Named::Oidc), |c, e| {
        Backend::service(sts::with_oidc(c, e)?)
    }),
    ("idp", Some(Named::Idp), |c, e| {
        Backend::service(iam::with_idp(c, e)?)
    }),
    ("env", Some(Named::Env), |_, e| {
        env::find(e).map(Backend::Fixed)
    }),
    ("systemd", None, |c, e| {
        file::systemd(c, e).map(Backend::files)
    }),
    ("file", Some(Named::File), |c, _| {
        file::named(c).map(Backend::files)
    }),
    ("profile", Some(Named::Profile), |c, e| {
        file::profile(c, e).map(Backend::files)
    }),
    ("metadata", Some(Named::Metadata), |c, _| {
        Backend::service(machine::metadata(c))
    }),
    ("pod-identity", Some(Named::PodIdentity), |_, e| {
        Backend::service(machine::pod_identity(e)?)
    }),
];

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
        let text = |path: &Option<PathBuf>, format| {
            let files = path.clone().map(|path| Files::new(path, format));
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
            (AuthMode::Token, Some(TokenSource::File(path))) => {
                text(&Some(path.clone()), Format::Text)?
            }
            (AuthMode::Token, None) => return Err(CredentialsError::NoFile),
            (AuthMode::AppCode, _) => text(&config.app_code, Format::Text)?,
            (AuthMode::ApiKey, _) => text(&config.api_key, Format::ApiKey)?,
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
        if config.source != Named::Auto {
            let source = CHAIN
                .iter()
                .find(|(_, named, _)| *named == Some(config.source));
            let (_, _, find) = source.expect("every source that can be named has a row");
            return find(config, environment);
        }
        let mut services = Vec::new();
        for (name, named, find) in CHAIN {
            match find(config, environment) {
                Ok(Backend::Service(service))
                    if matches!(named, Some(Named::Metadata | Named::PodIdentity)) =>
                {
                    services.push(service);
                }
                Err(CredentialsError::Absent { what, .. }) => self.passed_over.push((name, what)),
                found => return found,
            }
        }
        Ok(Backend::FirstOf(services))
    }
}
