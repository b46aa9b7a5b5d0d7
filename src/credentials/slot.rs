//! A credential slot: the current lease of one secret, shared by its refresher and all who use it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::types::Lease;
use crate::clock::Moment;
use crate::config::AuthMode;

/// The current lease of a secret that changes while it is used.
#[derive(Debug)]
pub struct Slot {
    /// The name of the set of credentials.
    pub(super) label: String,
    /// How the secret authenticates requests.
    pub kind: AuthMode,
    current: watch::Sender<Option<Arc<Lease>>>,
    refresh: Notify,
    renewed: AtomicU64,
    failed: AtomicU64,
    is_failing: AtomicBool,
}

/// The state of a slot, for metrics and readiness.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotStatus {
    /// The name of the set of credentials.
    pub label: String,
    /// How the secret authenticates requests.
    pub kind: AuthMode,
    /// True if there is a secret that may be used now.
    pub is_good: bool,
    /// Time until the secret expires; `None` without one, or if it never expires.
    pub left: Option<Duration>,
    /// Time since the lease was issued or read.
    pub age: Option<Duration>,
    /// Number of leases, the first included.
    pub renewed: u64,
    /// Number of failed attempts.
    pub failed: u64,
    /// True if the last attempt failed.
    pub is_failing: bool,
}

impl Slot {
    /// An empty slot.
    #[must_use]
    pub fn new(label: &str, kind: AuthMode) -> Self {
        Self {
            label: label.to_owned(),
            kind,
            current: watch::Sender::new(None),
            refresh: Notify::new(),
            renewed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Replaces the lease.
    pub fn deliver(&self, lease: Lease) {
        self.renewed.fetch_add(1, Ordering::Relaxed);
        self.recovered();
        self.current.send_replace(Some(Arc::new(lease)));
    }

    /// Records a failed attempt.
    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// Records that the current lease is up to date after all.
    pub(super) fn recovered(&self) {
        self.is_failing.store(false, Ordering::Relaxed);
    }

    /// A receiver of the current lease and of those that follow.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Lease>>> {
        self.current.subscribe()
    }

    /// The current lease.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Lease>> {
        self.current.borrow().clone()
    }

    /// Requests a refresh at once, because the current secret was refused or has expired.
    pub fn request_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Waits for the next requested refresh.
    pub(crate) async fn refresh_requested(&self) {
        self.refresh.notified().await;
    }

    /// The state of the slot.
    #[must_use]
    pub fn status(&self) -> SlotStatus {
        let now = Moment::now();
        let current = self.current();
        SlotStatus {
            label: self.label.clone(),
            kind: self.kind,
            is_good: current.as_ref().is_some_and(|lease| lease.is_good(now)),
            left: current.as_ref().and_then(|lease| lease.left(now)),
            age: current.as_ref().map(|lease| now.since(lease.at)),
            renewed: self.renewed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            is_failing: self.is_failing.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Display for Slot {
    /// The name of the secret in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of credentials \"{}\"", self.kind, self.label)
    }
}
