//! A credential slot: the current lease of one secret, shared by its refresher and all who use it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::types::Lease;
use crate::clock::Moment;
use crate::config::AuthMode;
use crate::lock::lock;

/// The current lease of a secret that changes while it is used.
#[derive(Debug)]
pub struct Slot {
    /// The name of the set of credentials.
    pub label: String,
    /// How the secret authenticates requests.
    pub kind: AuthMode,
    current: watch::Sender<Option<Arc<Lease>>>,
    refresh: Notify,
    attempts: Mutex<Attempts>,
}

/// The attempts to fill a slot, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    /// Number of leases, the first included.
    pub ok: u64,
    /// Number of failed attempts.
    pub failed: u64,
    /// True if the last attempt failed.
    pub is_failing: bool,
}

impl Slot {
    /// An empty slot.
    pub fn new(label: &str, kind: AuthMode) -> Self {
        Self {
            label: label.to_owned(),
            kind,
            current: watch::Sender::new(None),
            refresh: Notify::new(),
            attempts: Mutex::default(),
        }
    }

    /// Replaces the lease.
    pub fn deliver(&self, lease: Lease) {
        lock(&self.attempts).ok += 1;
        self.recovered();
        self.current.send_replace(Some(Arc::new(lease)));
    }

    /// Records a failed attempt.
    pub(super) fn fail(&self) {
        let mut attempts = lock(&self.attempts);
        attempts.failed += 1;
        attempts.is_failing = true;
    }

    /// Records that the current lease is up to date after all.
    pub(super) fn recovered(&self) {
        lock(&self.attempts).is_failing = false;
    }

    /// The attempts up to now.
    pub fn attempts(&self) -> Attempts {
        *lock(&self.attempts)
    }

    /// A receiver of the current lease and of those that follow.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Lease>>> {
        self.current.subscribe()
    }

    /// The current lease.
    pub fn current(&self) -> Option<Arc<Lease>> {
        self.current.borrow().clone()
    }

    /// True if there is a secret that may be used now.
    pub fn is_good(&self) -> bool {
        self.current().is_some_and(|lease| lease.is_good_now())
    }

    /// Time until the secret expires; `None` without one, or if it never expires.
    pub fn left(&self) -> Option<Duration> {
        self.current()?.left(Moment::now())
    }

    /// Requests a refresh at once, because the current secret was refused or has expired.
    pub fn request_refresh(&self) {
        self.refresh.notify_one();
    }

    pub(crate) async fn refresh_requested(&self) {
        self.refresh.notified().await;
    }
}

impl fmt::Display for Slot {
    /// The name of the secret in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        write!(f, "the {kind} of credentials \"{}\"", self.label)
    }
}
