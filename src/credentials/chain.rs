//! The sources of a signing key, in the order in which `credentials.source = "auto"` tries them.
//!
//! A new source is a module that finds it, and a row of the table here. Files and variables are read
//! now, so that mistakes are reported before anything is served; services are not asked yet.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::{CredentialsError, PassedOver};
use super::file::{Files, Format};
use super::service::{iam, machine, sts};
use super::source::{Backend, Source};
use super::{env, file};
use crate::config::{Auth, AuthMode, CredentialsConfig, Environment, TokenSource};

/// Finds a source. [`CredentialsError::Absent`] means that it does not exist.
type Find = fn(&CredentialsConfig, &Environment) -> Result<Backend, CredentialsError>;

/// The sources by their names in the log and in `credentials.source`, which cannot select `systemd`.
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

/// Services that exist on some machines only: with `auto`, they are tried at startup if there is no
/// other source.
const TRIED: [&str; 2] = ["metadata", "pod-identity"];

impl Source {
    /// Finds the source of a secret, and reads it if that needs no network.
    ///
    /// # Errors
    ///
    /// A [`CredentialsError`] that says what to do.
    pub fn open(
        auth: Auth,
        config: &CredentialsConfig,
        environment: &Environment,
    ) -> Result<Self, CredentialsError> {
        let text = |path: Option<&PathBuf>, format| {
            let files = path.cloned().map(|path| Files { path, format });
            files.map(Backend::files).ok_or(CredentialsError::NoFile)
        };
        let mut source = Self::new(auth, config.label(), Backend::FirstOf(Vec::new()));
        source.config = Some(config.clone());
        source.backend = match (auth.mode, &config.token) {
            (AuthMode::AkSk, _) => {
                let agency = config.agency.as_ref();
                let agency = agency.map(|agency| sts::of_agency(agency, config, environment));
                source.agency = agency.transpose()?.map(Arc::new);
                find(config, environment, &mut source.passed_over)?
            }
            (AuthMode::Token, Some(TokenSource::Iam(user))) => {
                Backend::service(iam::with_password(user, config, environment)?)?
            }
            (AuthMode::Token, Some(TokenSource::File(path))) => text(Some(path), Format::Text)?,
            (AuthMode::Token, None) => return Err(CredentialsError::NoFile),
            (AuthMode::AppCode, _) => text(config.app_code.as_ref(), Format::Text)?,
            (AuthMode::ApiKey, _) => text(config.api_key.as_ref(), Format::ApiKey)?,
        };
        // A file with a key has to be right from the start, also one that is exchanged.
        let lease = match &source.backend {
            Backend::Fixed(lease) => Some(lease.clone()),
            Backend::Files(files, _) => Some(files.load()?),
            Backend::Service(_) | Backend::FirstOf(_) => None,
        };
        let lease = lease.filter(|_| source.agency.is_none());
        if let Some(lease) = lease {
            source.slot.deliver(lease);
        }
        Ok(source)
    }
}

/// The source that `credentials.source` names, or the first one that is there.
fn find(
    config: &CredentialsConfig,
    environment: &Environment,
    passed_over: &mut PassedOver,
) -> Result<Backend, CredentialsError> {
    if let Some((_, find)) = CHAIN.iter().find(|(name, _)| *name == config.source) {
        return find(config, environment);
    }
    let mut services = Vec::new();
    for (name, find) in CHAIN {
        match find(config, environment) {
            Ok(Backend::Service(service)) if TRIED.contains(&name) => services.push(service),
            Err(CredentialsError::Absent { what, .. }) => passed_over.push((name, what)),
            found => return found,
        }
    }
    Ok(Backend::FirstOf(services))
}
