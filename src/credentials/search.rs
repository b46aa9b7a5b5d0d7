//! Finds the source of a secret, as the configuration names it or in the order of the SDKs.
//!
//! Nobody is asked here: what is in files and variables is read, and services are only found.

use std::path::PathBuf;

use super::feed::Feed;
use super::files::Files;
use super::issued::Issued;
use super::service::{IamToken, Metadata, PodIdentity, Service};
use super::supply::{Kind, Need, Source, Supply};
use super::{CredentialsError, environment, environment_services, profile_path};
use crate::config::{CredentialSource, CredentialsConfig, Environment, TokenSource};

impl Supply {
    /// Finds the source of a secret, and reads it if that needs no network.
    ///
    /// # Errors
    ///
    /// A [`CredentialsError`] that says what to do.
    pub fn open(
        need: Need,
        config: &CredentialsConfig,
        environment: &Environment,
    ) -> Result<Self, CredentialsError> {
        let mut search = Search {
            need,
            config,
            environment,
            passed_over: Vec::new(),
        };
        let mut supply = match need.kind {
            Kind::Key => search.key()?,
            Kind::Token => search.token()?,
            Kind::AppCode => search.file(config.app_code.as_ref(), Files::text)?,
            Kind::ApiKey => search.file(config.api_key.as_ref(), Files::api_key)?,
        };
        supply.config = Some(config.clone());
        supply.passed_over = search.passed_over;
        Ok(supply)
    }
}

/// The search for one secret.
struct Search<'a> {
    need: Need,
    config: &'a CredentialsConfig,
    environment: &'a Environment,
    passed_over: Vec<(&'static str, String)>,
}

impl Search<'_> {
    fn supply(&self, source: Source, issued: Option<Issued>) -> Supply {
        let label = self.config.label();
        let feed = Feed::new(label, self.need.kind);
        issued.into_iter().for_each(|issued| feed.deliver(issued));
        Supply::of(self.need, label, source, feed)
    }

    fn service(&self, service: Service) -> Result<Supply, CredentialsError> {
        service.check_files()?;
        Ok(self.supply(Source::Service(Box::new(service)), None))
    }

    fn pass_over(&mut self, source: &'static str, why: impl Into<String>) {
        self.passed_over.push((source, why.into()));
    }

    /// What files hold; `None` if they are not there and need not be.
    fn files(&self, files: Files) -> Result<Option<Supply>, CredentialsError> {
        // Before they are read, so that a change in between is seen later.
        let stamp = files.stamp();
        let issued = files.load()?;
        Ok(issued.map(|issued| self.supply(Source::Files(files, stamp), Some(issued))))
    }

    fn file(
        &self,
        path: Option<&PathBuf>,
        files: fn(PathBuf) -> Files,
    ) -> Result<Supply, CredentialsError> {
        let path = path.cloned().ok_or(CredentialsError::NoFile)?;
        self.files(files(path))?.ok_or(CredentialsError::NoFile)
    }

    fn token(&self) -> Result<Supply, CredentialsError> {
        match &self.config.token {
            Some(TokenSource::File(path)) => self.file(Some(path), Files::text),
            Some(TokenSource::Iam(user)) => self.service(Service::Token(IamToken {
                endpoint: environment_services::iam(self.config, self.environment)?,
                user: user.clone(),
            })),
            None => Err(CredentialsError::NoFile),
        }
    }

    fn key(&mut self) -> Result<Supply, CredentialsError> {
        let (config, environment) = (self.config, self.environment);
        let user = config.user.clone();
        match config.source {
            CredentialSource::Env => {
                let found = environment::load(environment)?.ok_or(CredentialsError::NoVariables)?;
                Ok(self.supply(Source::Fixed, Some(found.into())))
            }
            CredentialSource::File => self.required(Files::key(config.file.clone(), user)),
            CredentialSource::Profile => {
                let path = profile_path(environment).ok_or(CredentialsError::NoHome)?;
                self.required(Files::key(path, user))
            }
            CredentialSource::Metadata => self.service(self.metadata()),
            CredentialSource::PodIdentity => self.pod_identity().and_then(|found| {
                let service = found.ok_or(CredentialsError::NoPodIdentity)?;
                self.service(service)
            }),
            CredentialSource::Oidc => {
                let oidc = environment_services::oidc(config, environment)?;
                let oidc = oidc.ok_or(CredentialsError::NoOidc)?;
                self.service(Service::Oidc(oidc))
            }
            CredentialSource::Idp => {
                let idp = environment_services::idp(config, environment)?;
                let idp = idp.ok_or(CredentialsError::NoIdp)?;
                self.service(Service::Idp(idp))
            }
            CredentialSource::Auto => self.auto(user),
        }
    }

    /// The first source that is there, in the order of the SDKs, with what systemd and the console give in
    /// between.
    fn auto(&mut self, user: Option<String>) -> Result<Supply, CredentialsError> {
        let (config, environment) = (self.config, self.environment);
        if let Some(oidc) = environment_services::oidc(config, environment)? {
            return self.service(Service::Oidc(oidc));
        }
        self.pass_over("oidc", "HUAWEICLOUD_OIDC_PROVIDER_URN is not set");
        if let Some(idp) = environment_services::idp(config, environment)? {
            return self.service(Service::Idp(idp));
        }
        self.pass_over("idp", "HUAWEICLOUD_SDK_IDP_ID is not set");
        if let Some(found) = environment::load(environment)? {
            return Ok(self.supply(Source::Fixed, Some(found.into())));
        }
        self.pass_over("env", "HUAWEICLOUD_SDK_AK and the like are not set");
        match environment.path("CREDENTIALS_DIRECTORY") {
            Some(folder) => {
                if let Some(supply) = self.files(Files::folder(folder, user.clone()))? {
                    return Ok(supply);
                }
                self.pass_over("systemd", "$CREDENTIALS_DIRECTORY holds no key");
            }
            None => self.pass_over("systemd", "CREDENTIALS_DIRECTORY is not set"),
        }
        if config.file.exists() {
            return self.required(Files::key(config.file.clone(), user));
        }
        self.pass_over("file", format!("there is no {}", config.file.display()));
        if let Some(profile) = profile_path(environment).filter(|path| path.exists()) {
            return self.required(Files::key(profile, user));
        }
        self.pass_over("profile", "there is no ~/.huaweicloud/credentials");
        let mut services = vec![self.metadata()];
        match self.pod_identity()? {
            Some(service) => {
                service.check_files()?;
                services.push(service);
            }
            None => self.pass_over(
                "pod-identity",
                "HC_CONTAINER_CREDENTIALS_FULL_URI is not set",
            ),
        }
        Ok(self.supply(Source::FirstOf(services), None))
    }

    fn required(&self, files: Files) -> Result<Supply, CredentialsError> {
        self.files(files)?.ok_or(CredentialsError::NoFile)
    }

    fn metadata(&self) -> Service {
        Service::Metadata(Metadata {
            endpoint: self.config.endpoints.metadata.clone(),
        })
    }

    fn pod_identity(&self) -> Result<Option<Service>, CredentialsError> {
        let found: Option<PodIdentity> = environment_services::pod_identity(self.environment)?;
        Ok(found.map(Service::PodIdentity))
    }
}
