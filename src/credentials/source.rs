//! A credential source, opened for one secret, with the slot that it fills.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::{CredentialsError, NO_KEY, PassedOver};
use super::file::Files;
use super::service::Service;
use super::slot::Slot;
use super::types::{Credentials, Lease, Origin, Secret};
use crate::config::{Auth, Config, CredentialsConfig, FileStamps};
use crate::escape::Escaped;
use crate::upstream::Network;

/// The secrets that the routes of a configuration require, each once.
pub fn requirements(config: &Config) -> Vec<Auth> {
    let routes = config.routes.iter();
    let all = routes.flat_map(|route| [Some(route.auth), route.large_body_auth()]);
    all.flatten().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The source of one secret, and its slot. Clones share the slot.
#[derive(Clone, Debug)]
pub struct Source {
    /// How the secret authenticates requests, and its set.
    pub auth: Auth,
    /// The configuration of its set; `None` for a key that is fixed.
    pub(super) config: Option<CredentialsConfig>,
    pub(super) backend: Backend,
    /// STS, which exchanges the key of the backend for one of `credentials.agency`.
    pub(super) agency: Option<Arc<Service>>,
    /// Sources that come before it, and why they were passed over.
    pub(super) passed_over: PassedOver,
    /// Why its service gave nothing at the start.
    pub failure: Option<String>,
    pub(super) slot: Arc<Slot>,
}

/// What a source reads.
#[derive(Clone, Debug)]
pub(super) enum Backend {
    /// A secret that does not change.
    Fixed(Lease),
    /// Files, and their state when they were read.
    Files(Files, FileStamps),
    Service(Arc<Service>),
    /// The first of these services that gives a key. It is an error if none does.
    FirstOf(Vec<Arc<Service>>),
}

impl Source {
    /// A source of one key that never changes.
    pub fn fixed(auth: Auth, label: &str, credentials: &Credentials) -> Self {
        let lease = Lease::lasting(Secret::Key(credentials.clone()), Origin::Environment(""));
        let source = Self::new(auth, label, Backend::Fixed(lease.clone()));
        source.slot.deliver(lease);
        source
    }

    pub(super) fn new(auth: Auth, label: &str, backend: Backend) -> Self {
        Self {
            auth,
            config: None,
            backend,
            agency: None,
            passed_over: Vec::new(),
            failure: None,
            slot: Arc::new(Slot::new(label, auth.mode)),
        }
    }

    /// True if another source gives the same secret: it has the same configuration, and the same
    /// source was found.
    pub fn same_config(&self, other: &Self) -> bool {
        // The environment of a process does not change, so the name stands for all of it.
        self.auth.mode == other.auth.mode
            && self.config == other.config
            && self.name() == other.name()
    }

    /// The slot that it fills.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Takes over the slot of the previous source of the same secret, after a reload: holders of
    /// the old slot get the new lease, and the old lease stays if there is no new one.
    pub fn continue_from(&mut self, before: &Self) {
        let new = self.slot.current();
        self.slot = Arc::clone(&before.slot);
        match new {
            Some(lease) => self.slot.deliver(Lease::clone(&lease)),
            None => self.slot.fail(),
        }
    }

    /// The secret and its origin in a few words.
    pub fn describe(&self) -> String {
        let what = format!("{}{}", self.auth.mode.name(), self.of_set());
        match self.slot.current() {
            Some(lease) => format!("{what} from {}", lease.origin),
            None => format!("no {what} yet; the start asks {}", self.name()),
        }
    }

    /// The credential set, for messages; empty for `[credentials]` itself, usually the only set.
    pub(super) fn of_set(&self) -> String {
        match self.slot.label.as_str() {
            "default" => String::new(),
            label => format!(" of credentials \"{label}\""),
        }
    }

    /// True if a service gives the secret, so that it is asked again before the secret expires.
    pub(super) fn is_service(&self) -> bool {
        let is_service = matches!(self.backend, Backend::Service(_) | Backend::FirstOf(_));
        is_service || self.agency.is_some()
    }

    pub(super) async fn ask(&self, network: &Network) -> Result<Lease, CredentialsError> {
        let lease = match &self.backend {
            Backend::Fixed(lease) => lease.clone(),
            Backend::Files(files, _) => files.load()?,
            Backend::Service(service) => service.ask(network, None).await?,
            // The start has found out which of them it is.
            Backend::FirstOf(_) => return Err(NO_KEY),
        };
        self.exchange(lease, network).await
    }

    /// The lease of the agency, if there is one, for the key of the backend.
    pub(super) async fn exchange(
        &self,
        lease: Lease,
        network: &Network,
    ) -> Result<Lease, CredentialsError> {
        match (&self.agency, &lease.secret) {
            (None, _) => Ok(lease),
            (Some(sts), Secret::Key(key)) => sts.ask(network, Some(key)).await,
            (Some(_), Secret::Text(_)) => Err(NO_KEY),
        }
    }

    /// The name of what gives the secret, in messages.
    pub(super) fn name(&self) -> String {
        match (&self.agency, &self.backend) {
            (Some(service), _) | (None, Backend::Service(service)) => service.name.to_owned(),
            (None, Backend::Fixed(lease)) => lease.origin.to_string(),
            (None, Backend::Files(files, _)) => Escaped(files.path.display()).to_string(),
            (None, Backend::FirstOf(services)) => {
                let names: Vec<&str> = services.iter().map(|service| service.name).collect();
                format!("{}, if there is one", names.join(" or "))
            }
        }
    }
}

impl Backend {
    /// Files, which are not read yet, so that a change from now on is seen.
    pub(super) fn files(files: Files) -> Self {
        let stamp = files.stamps();
        Self::Files(files, stamp)
    }

    /// A service, whose files have to be regular files.
    pub(super) fn service(service: Service) -> Result<Self, CredentialsError> {
        service.check_files()?;
        Ok(Self::Service(Arc::new(service)))
    }
}
