//! How a service behaves, and how often it was called.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::emulator::known::lock;

/// A service that issues tokens or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// IAM, for users with passwords.
    Iam,
    /// IAM, for users of an identity provider.
    Idp,
    /// STS, for identity tokens (OIDC).
    Sts,
    /// The metadata service of a machine (ECS).
    Metadata,
    /// Pod identity of a cluster (CCE).
    PodIdentity,
}

/// How a service behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// It knows nobody: 401. The metadata service then has no agency, but still gives tokens for itself.
    Unauthorized,
    /// It is not there: 404.
    Missing,
    /// It fails: 500.
    Broken,
    /// It never answers.
    Hangs,
    /// It answers 200 with something that is not JSON.
    Garbage,
    /// What it issues has expired already.
    Expired,
}

impl Service {
    /// Whether it is found on the public network, and not only from within the cloud.
    pub(super) fn is_public(self) -> bool {
        match self {
            Self::Iam | Self::Idp | Self::Sts => true,
            Self::Metadata | Self::PodIdentity => false,
        }
    }
}

/// The states of all services.
#[derive(Debug, Default)]
pub(super) struct States {
    iam: State,
    idp: State,
    sts: State,
    metadata: State,
    pod_identity: State,
}

#[derive(Debug, Default)]
pub(super) struct State {
    mood: Mutex<Mood>,
    pub(super) calls: AtomicU64,
}

impl States {
    pub(super) fn of(&self, service: Service) -> &State {
        match service {
            Service::Iam => &self.iam,
            Service::Idp => &self.idp,
            Service::Sts => &self.sts,
            Service::Metadata => &self.metadata,
            Service::PodIdentity => &self.pod_identity,
        }
    }

    pub(super) fn set_mood(&self, service: Service, mood: Mood) {
        *lock(&self.of(service).mood) = mood;
    }

    /// Counts a call, and tells in what mood it is answered.
    pub(super) fn called(&self, service: Service) -> Mood {
        let state = self.of(service);
        state.calls.fetch_add(1, Ordering::Relaxed);
        *lock(&state.mood)
    }
}
