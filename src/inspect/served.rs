//! What the tasks of the inspector's thread share: the store, the recorder, and the program.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::note::Note;
use super::program::Program;
use super::recorder::Recorder;
use super::store::{Store, StoreLimits};
use crate::config::{InspectConfig, ReplayPolicy};

/// How many requests are sent again at once.
const MAX_REPLAYS: usize = 8;

/// The part of the memory that is not for what is kept: what is on its way, in bytes, and what the
/// allocator adds, as a part of the whole. Measured by `tests/clients/inspector_load.py`.
const ON_ITS_WAY: usize = 5 * 1024 * 1024;
const ALLOCATOR: usize = 5;

/// What is kept, and what may be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    is_on: bool,
    limits: StoreLimits,
    pub(super) replay: ReplayPolicy,
}

impl From<&InspectConfig> for Keeping {
    fn from(config: &InspectConfig) -> Self {
        let besides = (ON_ITS_WAY + config.memory / ALLOCATOR).min(config.memory / 2);
        Self {
            is_on: config.enabled,
            limits: StoreLimits {
                requests: config.requests,
                memory: config.memory - besides,
                bodies: config.bodies,
            },
            replay: config.replay,
        }
    }
}

/// What the tasks of the thread share.
pub(super) struct Served {
    pub(super) program: Arc<dyn Program>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) store: RefCell<Store>,
    pub(super) keeping: Cell<Keeping>,
    /// Sent whenever the store or the state may have changed.
    pub(super) changes: watch::Sender<()>,
    /// One clone for each reader of the feed.
    pub(super) readers: Rc<()>,
    /// A permit for each request that is being sent again.
    pub(super) replays: Arc<Semaphore>,
}

impl Served {
    pub(super) fn new(
        program: Arc<dyn Program>,
        recorder: Arc<Recorder>,
        keeping: Keeping,
    ) -> Self {
        Self {
            program,
            recorder,
            store: RefCell::new(Store::new(keeping.limits)),
            keeping: Cell::new(keeping),
            changes: watch::Sender::new(()),
            readers: Rc::default(),
            replays: Arc::new(Semaphore::new(MAX_REPLAYS)),
        }
    }

    /// Returns true while the inspector is on.
    pub(super) fn is_on(&self) -> bool {
        self.keeping.get().is_on
    }

    /// Tells readers of the feed that something may have changed.
    pub(super) fn announce(&self) {
        self.changes.send_replace(());
    }

    /// Removes all requests.
    pub(super) fn clear(&self) {
        self.store.borrow_mut().clear();
        self.announce();
    }

    /// The state of the inspector and of the program.
    pub(super) fn state(&self) -> Value {
        let (store, keeping) = (self.store.borrow(), self.keeping.get());
        let mut state = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "is_recording": self.recorder.is_recording(),
            "seq": store.seq(),
            "kept": store.len(),
            "memory": store.memory_used(),
            "memory_limit": keeping.limits.memory,
            "requests_limit": keeping.limits.requests,
            "dropped": self.recorder.dropped(),
            "evicted": store.evicted(),
            "bodies": keeping.limits.bodies,
            "replay": keeping.replay.name(),
        });
        let program = serde_json::to_value(self.program.state());
        let program = program.expect("the state of a program is an object");
        if let (Value::Object(state), Value::Object(program)) = (&mut state, program) {
            state.extend(program);
        }
        state
    }

    /// Adds notes to the store.
    pub(super) fn apply(&self, notes: Vec<Note>) {
        // Requests that began before it was turned off may still tell of themselves.
        if self.is_on() {
            let mut store = self.store.borrow_mut();
            notes.into_iter().for_each(|note| store.apply(note));
            drop(store);
            self.announce();
        }
    }

    /// Uses another configuration from now on.
    pub(super) fn configure(&self, keeping: Keeping) {
        self.keeping.set(keeping);
        let mut store = self.store.borrow_mut();
        store.set_limits(keeping.limits);
        if !keeping.is_on {
            store.clear();
        }
        drop(store);
        self.announce();
    }
}
