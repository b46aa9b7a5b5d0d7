//! Workers: one thread per core, each with a single-threaded runtime and a pipeline of its own.
//!
//! So no request waits for a lock or moves between threads. Measured on two cores, that gives 30 to
//! 40 % more requests per second than one multi-threaded runtime.
//!
//! Idle workers give memory back. mimalloc reclaims memory only while it allocates, and an emptied page
//! only in the thread that owns it. An idle process allocates nothing, so it would keep what its
//! busiest moment needed. So memory is allocated here, and freed unwritten.
//!
//! # What can go wrong
//!
//! Another version of the allocator may reclaim at other moments. Then nothing fails, but memory
//! stays high after a load, which `tests/clients/loads.py` detects.

use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::spawn_local;
use tokio_util::task::TaskTracker;

use super::accept::{Command, WorkerHandle};
use super::connection;
use super::registry::{ConnectionLimits, Registry, Shutdown};
use super::supervisor::Heartbeats;
use crate::error::Error;
use crate::proxy::{self, Current, Pipeline, Settings};
use crate::upstream::Network;

/// Threads for DNS lookups of one worker. They are nearly always idle.
const LOOKUP_THREADS: usize = 4;

/// What a worker starts with.
#[derive(Clone)]
pub(super) struct Worker {
    /// How many workers there are.
    pub(super) count: usize,
    pub(super) settings: Arc<Settings>,
    pub(super) network: Network,
    pub(super) permits: Arc<Semaphore>,
    pub(super) shutdown: Shutdown,
    pub(super) heartbeats: Arc<Heartbeats>,
    /// Dropped when the worker ends.
    pub(super) _alive: mpsc::Sender<()>,
}

impl Worker {
    /// Starts the thread. Fails if the system has no thread or no descriptors for it.
    pub(super) fn start(self, number: usize) -> io::Result<WorkerHandle> {
        let (handle, commands) = WorkerHandle::new();
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        let (outcome, started) = std::sync::mpsc::sync_channel(1);
        thread.spawn(move || {
            // The runtime cannot move between threads, so it is built here.
            let runtime = match runtime() {
                Ok(runtime) => runtime,
                Err(error) => return drop(outcome.send(Err(error))),
            };
            let _ = outcome.send(Ok(()));
            runtime.block_on(self.run(number, commands));
            self.heartbeats.end(number);
            // A DNS lookup that hangs must not delay the end.
            runtime.shutdown_background();
        })?;
        let lost = |_| Err(io::Error::other("the thread ended at its start"));
        started.recv().unwrap_or_else(lost).map(|()| handle)
    }

    /// Serves connections until there are no more commands and the last connection has ended.
    async fn run(&self, number: usize, mut commands: UnboundedReceiver<Command>) {
        let settings = Arc::clone(&self.settings);
        let limits = ConnectionLimits::from(&*settings);
        let pipeline = Pipeline::new(settings, self.network.clone(), self.count, None);
        let current = Rc::new(Current::new(Rc::new(pipeline)));
        let answering = Rc::clone(&current);
        let bare_answers = Rc::new(move |error: &Error| answering.borrow().bare_answer(error));
        let registry = Registry::new(limits, Arc::clone(&self.permits), bare_answers, false);
        spawn_local(Arc::clone(&self.heartbeats).answer(number));
        spawn_local(tidy_thread());
        spawn_local(Rc::clone(&registry).watch(self.shutdown.clone()));
        let connections = TaskTracker::new();
        let serving = async {
            while let Some(command) = commands.recv().await {
                match command {
                    Command::Serve(connected, permit) => {
                        let (registry, current) = (Rc::clone(&registry), Rc::clone(&current));
                        let make = |caller| proxy::service(current, caller);
                        let serving = connection::serve(connected, permit, registry, make);
                        connections.spawn_local(serving);
                    }
                    Command::CloseOldestIdle => registry.close_oldest_idle(),
                    Command::Reload(settings, network) => {
                        registry.limits.set((&*settings).into());
                        let before = Rc::clone(&current.borrow());
                        let next = Pipeline::new(settings, network, self.count, Some(&before));
                        current.replace(Rc::new(next));
                    }
                }
            }
            connections.close();
            connections.wait().await;
        };
        self.shutdown.cut_off.run_until_cancelled(serving).await;
        current.borrow().cut_off();
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUP_THREADS)
        .build_local(LocalOptions::default())
}

/// How often unused memory is given back.
pub(super) const TIDY_INTERVAL: Duration = Duration::from_secs(2);

/// A size that is not served from the fast path, in bytes. A thread looks at its emptied pages
/// after a thousand such allocations, and frees one at the fourth look, or at the sixteenth if it
/// held pieces of up to 10 KiB.
const PIECE: usize = 2 * 1024;
const PIECES: usize = 2_000;

/// A size with a page to itself, in bytes. Freed pages return to the system when others are
/// allocated.
const PAGE: usize = 1024 * 1024;
const PAGES: usize = 16;

/// Frees emptied pages of this thread at each interval. That takes less than a tenth of a
/// millisecond.
pub(super) async fn tidy_thread() {
    loop {
        tokio::time::sleep(TIDY_INTERVAL).await;
        allocate(PIECE, PIECES);
    }
}

/// Returns to the system what this and other threads have freed.
pub(super) fn tidy_process() {
    allocate(PIECE, PIECES);
    allocate(PAGE, PAGES);
}

fn allocate(size: usize, times: usize) {
    for _ in 0..times {
        drop(black_box(Vec::<u8>::with_capacity(size)));
    }
}
