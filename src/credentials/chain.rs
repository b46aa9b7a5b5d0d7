//! The sources of a signing key, in the order in which `credentials.source = "auto"` tries them.
//!
//! A new source is a file that finds it, and a row of a table here. No service is asked yet: files
//! and variables are read, so that a mistake is reported before anything is served, and services
//! are only found.

use std::path::PathBuf;

use super::error::{CredentialsError, PassedOver};
use super::file::{Files, Format};
use super::service::{idp, metadata, oidc, pod_identity, token};
use super::source::{Backend, Requirement, Source};
use super::types::Kind;
use super::{env, file};
use crate::config::{CredentialSource as Named, CredentialsConfig, Environment, TokenSource};

/// One source of a signing key: its name in the log, the value of `credentials.source` that names
/// it, and what finds it. [`CredentialsError::Absent`] means that it is not there.
type KeySource = (&'static str, Option<Named>, Find);
type Find = fn(&CredentialsConfig, &Environment) -> Result<Backend, CredentialsError>;

const CHAIN: [KeySource; 6] = [
    ("oidc", Some(Named::Oidc), |c, e| {
        Backend::service(oidc::find(c, e)?)
    }),
    ("idp", Some(Named::Idp), |c, e| {
        Backend::service(idp::find(c, e)?)
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
];

/// Services that answer on some machines only: with `auto`, they are tried at the start if nothing
/// else is there.
const PROBED: [KeySource; 2] = [
    ("metadata", Some(Named::Metadata), |c, _| {
        Backend::service(metadata::find(c))
    }),
    ("pod-identity", Some(Named::PodIdentity), |_, e| {
        Backend::service(pod_identity::find(e)?)
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
        let mut passed_over = Vec::new();
        let text = |path: Option<&PathBuf>, format| {
            let path = path.ok_or(CredentialsError::NoFile);
            path.map(|path| Backend::files(Files::new(path.clone(), format)))
        };
        let backend = match (requirement.kind, &config.token) {
            (Kind::Key, _) if config.source == Named::Auto => {
                auto(config, environment, &mut passed_over)?
            }
            (Kind::Key, _) => {
                let mut sources = CHAIN.iter().chain(&PROBED);
                let source = sources.find(|(_, named, _)| *named == Some(config.source));
                let (_, _, find) = source.expect("every source that can be named has a row");
                find(config, environment)?
            }
            (Kind::Token, Some(TokenSource::Iam(user))) => {
                Backend::service(token::find(user, config, environment)?)?
            }
            (Kind::Token, Some(TokenSource::File(path))) => text(Some(path), Format::Text)?,
            (Kind::Token, None) => return Err(CredentialsError::NoFile),
            (Kind::AppCode, _) => text(config.app_code.as_ref(), Format::Text)?,
            (Kind::ApiKey, _) => text(config.api_key.as_ref(), Format::ApiKey)?,
        };
        let lease = match &backend {
            Backend::Fixed(lease) => Some(lease.clone()),
            Backend::Files(files, _) => Some(files.load()?),
            Backend::Service(_) | Backend::FirstOf(_) => None,
        };
        let source = Self {
            config: Some(config.clone()),
            passed_over,
            ..Self::new(requirement, config.label(), backend)
        };
        lease
            .into_iter()
            .for_each(|lease| source.slot.deliver(lease));
        Ok(source)
    }
}

/// The first source that is there.
fn auto(
    config: &CredentialsConfig,
    environment: &Environment,
    passed_over: &mut PassedOver,
) -> Result<Backend, CredentialsError> {
    let mut services = Vec::new();
    for (name, _, find) in CHAIN.iter().chain(&PROBED) {
        match find(config, environment) {
            Ok(Backend::Service(service)) if PROBED.iter().any(|(probed, ..)| probed == name) => {
                services.push(service);
            }
            Err(CredentialsError::Absent { what, .. }) => passed_over.push((name, what)),
            found => return found,
        }
    }
    Ok(Backend::FirstOf(services))
}
