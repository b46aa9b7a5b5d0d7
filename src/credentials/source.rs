//! A credential source, opened for one secret, with the slot that it fills.

use std::sync::Arc;

use super::error::{CredentialsError, NO_KEY, PassedOver};
use super::file::Files;
use super::service::Service;
use super::slot::Slot;
use super::types::{Credentials, Lease, Origin, Secret};
use crate::config::{Auth, AuthMode, Config, CredentialsConfig, FileStamps, LargeBody};
use crate::escape::Escaped;
use crate::upstream::Network;

/// A secret that routes require.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// The index of the set in [`Config::credentials`].
    pub set: usize,
    /// How the secret authenticates requests.
    pub kind: AuthMode,
}

/// The secrets that the routes of a configuration require, each once.
#[must_use]
pub fn requirements(config: &Config) -> Vec<Requirement> {
    let mut all = Vec::new();
    for route in &config.routes {
        let Auth { mode, credentials } = route.auth;
        let require = |kind| Requirement {
            set: credentials,
            kind,
        };
        all.push(require(mode));
        if mode == AuthMode::AkSk && route.large_body != LargeBody::Reject {
            all.push(require(AuthMode::Token));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The source of one secret, and its slot. Clones share the slot.
#[derive(Clone, Debug)]
pub struct Source {
    /// The secret that it gives.
    pub requirement: Requirement,
    /// The configuration of its set; `None` for a key that is fixed.
    pub(super) config: Option<CredentialsConfig>,
    pub(super) backend: Backend,
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
    /// A service.
    Service(Arc<Service>),
    /// The first of these services that gives a key. It is an error if none does.
    FirstOf(Vec<Arc<Service>>),
    /// STS, which exchanges the key of another source for one of an agency.
    Agency(Box<Self>, Arc<Service>),
}

impl Source {
    /// A source of one key that never changes.
    #[must_use]
    pub fn fixed(requirement: Requirement, label: &str, credentials: &Credentials) -> Self {
        let lease = Lease::lasting(Secret::Key(credentials.clone()), Origin::Environment(""));
        let source = Self::new(requirement, label, Backend::Fixed(lease.clone()));
        source.slot.deliver(lease);
        source
    }

    pub(super) fn new(requirement: Requirement, label: &str, backend: Backend) -> Self {
        Self {
            requirement,
            config: None,
            backend,
            passed_over: Vec::new(),
            failure: None,
            slot: Arc::new(Slot::new(label, requirement.kind)),
        }
    }

    /// True if another source gives the same secret: it has the same configuration, and the same
    /// source was found.
    #[must_use]
    pub fn same_config(&self, other: &Self) -> bool {
        // The environment of a process does not change, so the backend's name stands for all of it.
        self.requirement.kind == other.requirement.kind
            && self.config == other.config
            && self.backend.name() == other.backend.name()
    }

    /// The slot that it fills.
    #[must_use]
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
    #[must_use]
    pub fn describe(&self) -> String {
        let what = format!("{}{}", self.requirement.kind, self.of_set());
        let name = self.backend.name();
        match (&self.backend, self.slot.current()) {
            (_, Some(lease)) => format!("{what} from {}", lease.origin),
            (Backend::FirstOf(_), None) => format!("{what} from {name}, if there is one"),
            (_, None) => format!("{what} from {name}"),
        }
    }

    /// The credential set, for messages; empty for `[credentials]` itself, usually the only set.
    pub(super) fn of_set(&self) -> String {
        match self.slot.label.as_str() {
            "default" => String::new(),
            label => format!(" of credentials \"{label}\""),
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

    /// The agency of a service, whose key this source's key asks for. A file with that key has to
    /// be right from the start.
    pub(super) fn assuming(self, sts: Service) -> Result<Self, CredentialsError> {
        if let Self::Files(files, _) = &self {
            files.load()?;
        }
        Ok(Self::Agency(Box::new(self), Arc::new(sts)))
    }

    /// Asks for a lease.
    pub(super) async fn ask(&self, network: &Network) -> Result<Lease, CredentialsError> {
        match self {
            Self::Fixed(lease) => Ok(lease.clone()),
            Self::Files(files, _) => files.load(),
            Self::Service(service) => service.ask(network, None).await,
            // The start has found out which of them it is.
            Self::FirstOf(_) => Err(NO_KEY),
            Self::Agency(base, sts) => match Box::pin(base.ask(network)).await?.secret {
                Secret::Key(key) => sts.ask(network, Some(&key)).await,
                Secret::Text(_) => Err(NO_KEY),
            },
        }
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Fixed(lease) => lease.origin.to_string(),
            Self::Files(files, _) => Escaped(files.path.display()).to_string(),
            Self::Service(service) | Self::Agency(_, service) => service.name.to_owned(),
            Self::FirstOf(services) => {
                let names: Vec<&str> = services.iter().map(|service| service.name).collect();
                names.join(" or ")
            }
        }
    }
}
