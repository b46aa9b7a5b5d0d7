//! The sources of a signing key, in the order in which `credentials.source = "auto"` tries them.
//!
//! A new source is a file that finds it, and a line in [`CHAIN`]. No service is asked here: files and variables
//! are read, so that a mistake is reported before anything is served, and services are only found.

use std::path::PathBuf;

use super::file::{Files, Format, profile_path};
use super::service::{idp, metadata, oidc, pod_identity, token};
use super::source::{Backend, Requirement, Source};
use super::types::Kind;
use super::{CredentialsError, env};
use crate::config::{CredentialSource, CredentialsConfig, Environment, TokenSource};

/// What a secret is searched for with.
struct Search<'a> {
    config: &'a CredentialsConfig,
    environment: &'a Environment,
}

/// One source of a signing key.
struct KeySource {
    /// Its name in the configuration and in the log.
    name: &'static str,
    /// The source that the configuration names; `None` for one that is found only.
    named: Option<CredentialSource>,
    /// In its turn it is the source only if it answers.
    is_probed: bool,
    /// What is missing if it is not there. `{file}` stands for `credentials.file`.
    absent: &'static str,
    /// What to do then, if it is the only source.
    hint: &'static str,
    find: fn(&Search<'_>) -> Result<Option<Backend>, CredentialsError>,
}

const CHAIN: [KeySource; 8] = [
    KeySource {
        name: "oidc",
        named: Some(CredentialSource::Oidc),
        is_probed: false,
        absent: "HUAWEICLOUD_OIDC_PROVIDER_URN is not set",
        hint: "set it, HUAWEICLOUD_OIDC_AGENCY_URN and HUAWEICLOUD_OIDC_TOKEN_FILE",
        find: |search| {
            oidc::find(search.config, search.environment)?
                .map(Backend::service)
                .transpose()
        },
    },
    KeySource {
        name: "idp",
        named: Some(CredentialSource::Idp),
        is_probed: false,
        absent: "HUAWEICLOUD_SDK_IDP_ID is not set",
        hint: "set it, and HUAWEICLOUD_SDK_ID_TOKEN_FILE",
        find: |search| {
            idp::find(search.config, search.environment)?
                .map(Backend::service)
                .transpose()
        },
    },
    KeySource {
        name: "env",
        named: Some(CredentialSource::Env),
        is_probed: false,
        absent: "HUAWEICLOUD_SDK_AK and the like are not set",
        hint: "set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK",
        find: |search| Ok(env::load(search.environment)?.map(Backend::Fixed)),
    },
    KeySource {
        name: "systemd",
        named: None,
        is_probed: false,
        absent: "CREDENTIALS_DIRECTORY is not set, or holds no key",
        hint: "",
        find: |search| {
            let files = Files::systemd(search.environment, search.config.user.clone());
            Ok(files.map(Backend::files))
        },
    },
    KeySource {
        name: "file",
        named: Some(CredentialSource::File),
        is_probed: false,
        absent: "there is no {file}",
        hint: "",
        find: |search| {
            let path = &search.config.file;
            // A file that is named has to be there.
            let is_there = !search.is_auto() || path.exists();
            Ok(is_there.then(|| search.key_file(path.clone())))
        },
    },
    KeySource {
        name: "profile",
        named: Some(CredentialSource::Profile),
        is_probed: false,
        absent: "there is no ~/.huaweicloud/credentials",
        hint: "set HOME, or HUAWEICLOUD_SDK_CREDENTIALS_FILE",
        find: |search| {
            let path = profile_path(search.environment);
            let path = path.filter(|path| !search.is_auto() || path.exists());
            Ok(path.map(|path| search.key_file(path)))
        },
    },
    KeySource {
        name: "metadata",
        named: Some(CredentialSource::Metadata),
        is_probed: true,
        absent: "",
        hint: "",
        find: |search| {
            let service = metadata::at(search.config.metadata.clone());
            Ok(Some(Backend::service(service)?))
        },
    },
    KeySource {
        name: "pod-identity",
        named: Some(CredentialSource::PodIdentity),
        is_probed: true,
        absent: "HC_CONTAINER_CREDENTIALS_FULL_URI is not set",
        hint: "associate the pod's service account with an agency",
        find: |search| {
            let service = pod_identity::find(search.environment)?;
            service.map(Backend::service).transpose()
        },
    },
];

impl Source {
    /// Finds the source of a secret, and reads it if that needs no network.
    ///
    /// # Errors
    ///
    /// A [`CredentialsError`] that says what to do.
    pub fn open(
        need: Requirement,
        config: &CredentialsConfig,
        environment: &Environment,
    ) -> Result<Self, CredentialsError> {
        let search = Search {
            config,
            environment,
        };
        let mut passed_over = Vec::new();
        let file = |path: &Option<_>| path.clone().ok_or(CredentialsError::NoFile);
        let backend = match (need.kind, &config.token) {
            (Kind::Key, _) if search.is_auto() => search.auto(&mut passed_over)?,
            (Kind::Key, _) => search.named()?,
            (Kind::Token, Some(TokenSource::File(path))) => {
                Backend::files(Files::new(path.clone(), Format::Text))
            }
            (Kind::Token, Some(TokenSource::Iam(user))) => {
                Backend::service(token::find(user, config, environment)?)?
            }
            (Kind::Token, None) => return Err(CredentialsError::NoFile),
            (Kind::AppCode, _) => Backend::files(Files::new(file(&config.app_code)?, Format::Text)),
            (Kind::ApiKey, _) => Backend::files(Files::new(file(&config.api_key)?, Format::ApiKey)),
        };
        let lease = match &backend {
            Backend::Fixed(lease) => Some(lease.clone()),
            Backend::Files(files, _) => Some(files.load()?),
            Backend::Service(_) | Backend::FirstOf(_) => None,
        };
        let source = Self {
            config: Some(config.clone()),
            passed_over,
            ..Self::new(need, config.label(), backend)
        };
        lease
            .into_iter()
            .for_each(|lease| source.slot.deliver(lease));
        Ok(source)
    }
}

impl Search<'_> {
    fn is_auto(&self) -> bool {
        self.config.source == CredentialSource::Auto
    }

    /// The first source that is there. Services that only answer on some machines come last, and are tried at
    /// the start.
    fn auto(
        &self,
        passed_over: &mut Vec<(&'static str, String)>,
    ) -> Result<Backend, CredentialsError> {
        let mut services = Vec::new();
        for source in &CHAIN {
            match (source.find)(self)? {
                Some(Backend::Service(service)) if source.is_probed => services.push(service),
                Some(backend) => return Ok(backend),
                None => passed_over.push((source.name, self.absent(source))),
            }
        }
        Ok(Backend::FirstOf(services))
    }

    /// The source that the configuration names.
    fn named(&self) -> Result<Backend, CredentialsError> {
        let mut chain = CHAIN.iter();
        let source = chain
            .find(|source| source.named == Some(self.config.source))
            .expect("every source that can be named is in the chain");
        let not_configured = || CredentialsError::NotConfigured {
            source_name: source.name,
            absent: self.absent(source),
            hint: source.hint,
        };
        (source.find)(self)?.ok_or_else(not_configured)
    }

    fn absent(&self, source: &KeySource) -> String {
        let file = self.config.file.display().to_string();
        source.absent.replace("{file}", &file)
    }

    fn key_file(&self, path: PathBuf) -> Backend {
        Backend::files(Files::new(path, Format::Key(self.config.user.clone())))
    }
}
