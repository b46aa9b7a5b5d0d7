//! What the tasks of the inspector's thread share: the store, the recorder, and the program.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::note::Note;
use super::program::Program;
use super::recorder::Recorder;
use super::store::{Store, StoreLimits};
use crate::config::InspectConfig;

/// The most readers of the feed at once.
const MAX_READERS: usize = 4;

/// The most requests that are sent again at once.
const MAX_REPLAYS: usize = 8;

/// The memory that the store cannot use: notes in flight, in bytes, and what the allocator adds, one
/// part in this many. Measured by `tests/clients/inspector_load.py`.
const IN_FLIGHT: usize = 5 * 1024 * 1024;
const ALLOCATOR: usize = 5;

fn limits(config: &InspectConfig) -> StoreLimits {
    let besides = (IN_FLIGHT + config.memory / ALLOCATOR).min(config.memory / 2);
    StoreLimits {
        requests: config.requests,
        memory: config.memory - besides,
    }
}

/// What the tasks of the thread share.
pub(super) struct Served {
    pub(super) program: Arc<dyn Program>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) store: RefCell<Store>,
    pub(super) config: RefCell<InspectConfig>,
    /// Sent whenever the store or the state may have changed.
    pub(super) changes: watch::Sender<()>,
    /// A permit for each reader of the feed.
    pub(super) readers: Arc<Semaphore>,
    /// A permit for each request that is being sent again.
    pub(super) replays: Arc<Semaphore>,
}

impl Served {
    pub(super) fn new(
        program: Arc<dyn Program>,
        recorder: Arc<Recorder>,
        config: InspectConfig,
    ) -> Self {
        Self {
            program,
            recorder,
            store: RefCell::new(Store::new(limits(&config))),
            config: RefCell::new(config),
            changes: watch::Sender::new(()),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
            replays: Arc::new(Semaphore::new(MAX_REPLAYS)),
        }
    }

    /// Returns true while the inspector is on.
    pub(super) fn is_on(&self) -> bool {
        self.config.borrow().enabled
    }

    /// Tells readers of the feed that something may have changed.
    pub(super) fn announce(&self) {
        self.changes.send_replace(());
    }

    /// The state of the inspector and of the program.
    pub(super) fn state(&self) -> Value {
        let (store, config) = (self.store.borrow(), self.config.borrow());
        let mut state = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "is_recording": self.recorder.is_recording(),
            "seq": store.seq,
            "kept": store.len(),
            "memory": store.memory_used(),
            "memory_limit": store.limits.memory,
            "requests_limit": store.limits.requests,
            "dropped": self.recorder.dropped(),
            "evicted": store.evicted,
            "bodies": config.bodies,
            "replay": config.replay.name(),
        });
        if let (Value::Object(state), Value::Object(program)) = (&mut state, self.program.state()) {
            state.extend(program);
        }
        state
    }

    pub(super) fn apply(&self, notes: Vec<Note>) {
        // Notes of requests that began before it was turned off may still arrive.
        if self.is_on() {
            let mut store = self.store.borrow_mut();
            notes.into_iter().for_each(|note| store.apply(note));
            drop(store);
            self.announce();
        }
    }

    /// Uses another configuration from now on.
    pub(super) fn configure(&self, config: InspectConfig) {
        let mut store = self.store.borrow_mut();
        store.set_limits(limits(&config));
        if !config.enabled {
            store.clear();
        }
        drop(store);
        self.config.replace(config);
        self.announce();
    }
}
