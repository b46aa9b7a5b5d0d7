//! From whoever keeps a secret fresh to all who use it: the current one, and how that went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::issued::Issued;
use super::supply::Kind;
use crate::clock::Moment;

/// A secret that changes while it is used.
#[derive(Debug)]
pub struct Feed {
    label: String,
    kind: Kind,
    current: watch::Sender<Option<Arc<Issued>>>,
    wanted: Notify,
    renewed: AtomicU64,
    failed: AtomicU64,
    is_failing: AtomicBool,
}

/// How a feed is, for whoever watches.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedStatus {
    /// The name of the set of credentials.
    pub label: String,
    /// What it gives.
    pub kind: Kind,
    /// Whether there is a secret that may be used now.
    pub is_good: bool,
    /// How long the secret is still good; `None` without one, or if there is no end to it.
    pub left: Option<Duration>,
    /// How long ago it was given.
    pub age: Option<Duration>,
    /// How often it was given anew, the first time included.
    pub renewed: u64,
    /// How often that failed.
    pub failed: u64,
    /// Whether it failed the last time.
    pub is_failing: bool,
}

impl Feed {
    /// A feed that has given nothing yet.
    #[must_use]
    pub fn new(label: &str, kind: Kind) -> Self {
        Self {
            label: label.to_owned(),
            kind,
            current: watch::Sender::new(None),
            wanted: Notify::new(),
            renewed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    /// What it gives.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Gives a secret from now on.
    pub fn deliver(&self, issued: Issued) {
        self.renewed.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(false, Ordering::Relaxed);
        self.current.send_replace(Some(Arc::new(issued)));
    }

    /// Takes note that no new secret could be had.
    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// Takes note that the secret which is given is the newest after all.
    pub(super) fn mend(&self) {
        self.is_failing.store(false, Ordering::Relaxed);
    }

    /// What is given at the moment, and whatever follows.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Issued>>> {
        self.current.subscribe()
    }

    /// What is given at the moment.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Issued>> {
        self.current.borrow().clone()
    }

    /// Asks for a new secret, since the current one is refused or has come to its end.
    pub fn hurry(&self) {
        self.wanted.notify_one();
    }

    /// Resolves when somebody is in a hurry.
    pub(super) async fn hurried(&self) {
        self.wanted.notified().await;
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> FeedStatus {
        let now = Moment::now();
        let current = self.current();
        FeedStatus {
            label: self.label.clone(),
            kind: self.kind,
            is_good: current.as_ref().is_some_and(|issued| issued.is_good(now)),
            left: current.as_ref().and_then(|issued| issued.left(now)),
            age: current.as_ref().map(|issued| now.since(issued.at)),
            renewed: self.renewed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            is_failing: self.is_failing.load(Ordering::Relaxed),
        }
    }
}
