//! What runs on the thread of a worker.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::task::TaskTracker;

use super::{Command, ConnectionPermit, Signals};
use crate::proxy::{Current, Pipeline, Proxy, RequestBody, Settings};
use crate::server::accept::Accepted;
use crate::server::connection::{self, ConnectionContext};
use crate::server::memory::tidy_thread;
use crate::server::registry::Registry;
use crate::server::tracked::IdleLimits;
use crate::server::watchdog::Heartbeat;
use crate::upstream::{Network, Upstream};

/// Threads for DNS lookups of one worker. They are idle nearly always.
const LOOKUP_THREADS: usize = 4;

/// A worker that has not started.
pub(super) struct Worker {
    /// How many workers there are.
    pub(super) count: usize,
    pub(super) settings: Arc<Settings>,
    pub(super) network: Network,
    pub(super) permits: Arc<Semaphore>,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) signals: Signals,
    pub(super) heartbeat: Heartbeat,
}

impl Worker {
    /// Starts the thread. `alive` is dropped when it ends.
    pub(super) fn start(self, number: usize, alive: mpsc::Sender<()>) -> io::Result<()> {
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        let (outcome, started) = std::sync::mpsc::sync_channel(1);
        thread.spawn(move || {
            let _alive = alive;
            // The runtime cannot move between threads, so it is built here.
            match runtime() {
                Ok(runtime) => {
                    let _ = outcome.send(Ok(()));
                    runtime.block_on(self.run());
                    // A DNS lookup that hangs must not delay the end.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = outcome.send(Err(error));
                }
            }
        })?;
        let started = started.recv();
        started.unwrap_or_else(|_| Err(io::Error::other("the thread ended at its start")))
    }

    /// Serves connections until there are no more commands and the last connection has ended.
    async fn run(self) {
        let pipeline = Pipeline::new(self.settings, self.network, self.count, None)
            .expect("it was checked before workers were started");
        let maintenance = Maintenance::start(&pipeline);
        let current = Rc::new(Current::new(pipeline));
        let context = Rc::new(context(&current, self.permits));
        spawn_local(self.heartbeat.answer());
        spawn_local(tidy_thread());
        let (watched, drain) = (Rc::clone(&context), self.signals.drain);
        spawn_local(async move { watched.registry.watch(drain).await });
        let mut serving = Serving {
            workers: self.count,
            current: Rc::clone(&current),
            context,
            maintenance,
            connections: TaskTracker::new(),
        };
        let mut commands = self.commands;
        let serving = async {
            while let Some(command) = commands.recv().await {
                serving.apply(command);
            }
            serving.connections.close();
            serving.connections.wait().await;
        };
        self.signals.cut_off.run_until_cancelled(serving).await;
        current.get().cut_off();
    }
}

/// A worker that serves.
struct Serving {
    workers: usize,
    current: Rc<Current>,
    context: Rc<ConnectionContext>,
    maintenance: Maintenance,
    connections: TaskTracker,
}

impl Serving {
    fn apply(&mut self, command: Command) {
        match command {
            Command::Serve(accepted, permit) => {
                let (current, context) = (Rc::clone(&self.current), Rc::clone(&self.context));
                self.connections
                    .spawn_local(serve(accepted, permit, current, context));
            }
            Command::CloseOldestIdle(outcome) => {
                let _ = outcome.send(self.context.registry.close_oldest_idle());
            }
            Command::Reload(settings, network) => {
                let before = self.current.get();
                let next = Pipeline::new(settings, network, self.workers, Some(&before));
                let next = next.expect("it was checked before workers were told");
                // These apply to open connections too, except for the length of heads.
                self.context
                    .registry
                    .set_limits(idle_limits(next.settings()));
                self.context.max_header.set(next.settings().limits.header);
                self.maintenance.follow(&next);
                self.current.replace(next);
            }
        }
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUP_THREADS)
        .build_local(LocalOptions::default())
}

fn context(current: &Rc<Current>, permits: Arc<Semaphore>) -> ConnectionContext {
    let pipeline = current.get();
    let settings = pipeline.settings();
    let current = Rc::clone(current);
    ConnectionContext {
        registry: Rc::new(Registry::new(idle_limits(settings))),
        permits,
        max_header: Cell::new(settings.limits.header),
        bare_answer: Rc::new(move |answer| current.get().bare_answer(answer)),
        is_admin: false,
    }
}

fn idle_limits(settings: &Settings) -> IdleLimits {
    let timeouts = &settings.timeouts;
    IdleLimits {
        header_read: timeouts.header_read,
        keep_alive: timeouts.keep_alive,
        write_idle: timeouts.idle,
    }
}

async fn serve(
    accepted: Accepted,
    permit: ConnectionPermit,
    current: Rc<Current>,
    context: Rc<ConnectionContext>,
) {
    let make = |caller| Proxy::new(current, caller);
    connection::serve(accepted, &context, make).await;
    drop(permit);
}

/// The task that maintains the connections to gateways.
struct Maintenance {
    upstream: Rc<Upstream<RequestBody>>,
    task: JoinHandle<()>,
}

impl Maintenance {
    fn start(pipeline: &Pipeline) -> Self {
        let upstream = Rc::clone(pipeline.upstream());
        let maintained = Rc::clone(&upstream);
        let task = spawn_local(async move { maintained.maintain().await });
        Self { upstream, task }
    }

    /// Maintains the connections of another pipeline, if it has its own.
    fn follow(&mut self, pipeline: &Pipeline) {
        if !Rc::ptr_eq(&self.upstream, pipeline.upstream()) {
            *self = Self::start(pipeline);
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.task.abort();
    }
}
