//! The inspector's thread: it owns the store, takes the notes of the workers in, and answers the API.
//!
//! It has a runtime of its own, so that a busy page delays neither workers nor health checks. It
//! lives until the program ends. While the inspector is off it waits and keeps nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::{io, thread};

use http::Response;
use serde_json::{Value, json};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, oneshot, watch};

use super::answer::ApiBody;
use super::api::{self, ApiRequest};
use super::note::Note;
use super::program::Program;
use super::recorder::{Notes, Recorder};
use super::replay::MAX_REPLAYS;
use super::store::{Store, StoreLimits};
use crate::config::{InspectConfig, ReplayPolicy};

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Answer a request.
    Answer(ApiRequest, oneshot::Sender<Response<ApiBody>>),
    /// Use this configuration from now on.
    Configure(Keeping),
}

/// What is kept, and what may be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    is_on: bool,
    limits: StoreLimits,
    pub(super) replay: ReplayPolicy,
}

impl From<&InspectConfig> for Keeping {
    fn from(config: &InspectConfig) -> Self {
        Self {
            is_on: config.enabled,
            limits: StoreLimits {
                requests: config.requests,
                memory: config.memory,
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
    fn new(program: Arc<dyn Program>, recorder: Arc<Recorder>, keeping: Keeping) -> Self {
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

    fn keep(&self, notes: Vec<Note>) {
        // Requests that began before it was turned off may still tell of themselves.
        if self.is_on() {
            let mut store = self.store.borrow_mut();
            notes.into_iter().for_each(|note| store.apply(note));
            drop(store);
            self.announce();
        }
    }

    fn configure(&self, keeping: Keeping) {
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

/// Starts the thread, which ends when nobody can ask it any more.
pub(super) fn start(
    program: Arc<dyn Program>,
    recorder: Arc<Recorder>,
    notes: Notes,
    keeping: Keeping,
    commands: UnboundedReceiver<Command>,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("inspector".to_owned());
    let spawned = thread.spawn(move || {
        let mut builder = Builder::new_current_thread();
        // The runtime cannot move between threads, so it is built here.
        match builder.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                let served = Rc::new(Served::new(program, recorder, keeping));
                runtime.block_on(run(served, notes, commands));
            }
            Err(error) => tracing::error!(%error, "the inspector could not be started"),
        }
    });
    spawned.map(drop)
}

async fn run(served: Rc<Served>, mut notes: Notes, mut commands: UnboundedReceiver<Command>) {
    loop {
        tokio::select! {
            Some(batch) = notes.next() => served.keep(batch),
            command = commands.recv() => match command {
                // Who has asked may be gone.
                Some(Command::Answer(request, answer)) => drop(answer.send(api::answer(&served, &request))),
                Some(Command::Configure(keeping)) => served.configure(keeping),
                None => return,
            },
        }
    }
}
