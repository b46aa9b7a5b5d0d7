//! Workers: threads with a single-threaded runtime and a pipeline each.

mod run;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::accept::{Accepted, Workers};
use super::registry::Drain;
use super::running::DrainOutcome;
use super::watchdog::Heartbeats;
use crate::proxy::{Pipeline, Settings};
use crate::upstream::{Network, TlsSetupError};
use run::Worker;

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system gave no thread or no descriptors for it.
    #[error(transparent)]
    System(#[from] io::Error),
    /// An upstream cannot be connected to.
    #[error(transparent)]
    Upstream(#[from] TlsSetupError),
}

/// The workers, as the accepting thread sees them.
#[derive(Debug)]
pub(super) struct WorkerPool {
    workers: Vec<WorkerHandle>,
    signals: Signals,
    heartbeats: Heartbeats,
    /// Ends when the last worker has ended.
    ended: mpsc::Receiver<()>,
}

#[derive(Debug)]
struct WorkerHandle {
    connections: Arc<AtomicUsize>,
    commands: UnboundedSender<Command>,
}

enum Command {
    Serve(Accepted, ConnectionPermit),
    /// Close the connection that has been idle longest, and send whether there was one.
    CloseOldestIdle(oneshot::Sender<bool>),
    /// Use these settings from now on.
    Reload(Arc<Settings>, Network),
}

/// A permit of `limits.connections`; also counts the connection of its worker.
#[derive(Debug)]
struct ConnectionPermit {
    connections: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How workers are told to stop.
#[derive(Clone, Debug, Default)]
struct Signals {
    drain: Drain,
    /// Running requests are dropped.
    cut_off: CancellationToken,
}

impl WorkerPool {
    /// Starts one worker for each core that this process may use.
    pub(super) fn start(
        settings: &Arc<Settings>,
        network: &Network,
        permits: &Arc<Semaphore>,
    ) -> Result<Self, StartError> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        // Checked here, where the error can still be reported.
        Pipeline::check(settings, network.clone())?;
        let signals = Signals::default();
        let (alive, ended) = mpsc::channel(1);
        let mut heartbeats = Heartbeats::new();
        let start = |number| {
            let (commands, received) = mpsc::unbounded_channel();
            let worker = Worker {
                count,
                settings: Arc::clone(settings),
                network: network.clone(),
                permits: Arc::clone(permits),
                commands: received,
                signals: signals.clone(),
                heartbeat: heartbeats.add_worker(),
            };
            worker.start(number, alive.clone())?;
            Ok(WorkerHandle {
                connections: Arc::default(),
                commands,
            })
        };
        let workers = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self {
            workers,
            signals,
            heartbeats,
            ended,
        })
    }

    /// The heartbeats of all workers.
    pub(super) fn heartbeats(&self) -> Heartbeats {
        self.heartbeats.clone()
    }

    /// Makes each answer the last one of its connection.
    pub(super) fn drain_soon(&self) {
        self.signals.drain.soon.cancel();
    }

    /// Makes new requests use other settings.
    ///
    /// # Errors
    ///
    /// A [`TlsSetupError`] if they cannot be used; then nothing changes.
    pub(super) fn reload(
        &self,
        settings: &Arc<Settings>,
        network: &Network,
    ) -> Result<(), TlsSetupError> {
        Pipeline::check(settings, network.clone())?;
        for worker in &self.workers {
            let command = Command::Reload(Arc::clone(settings), network.clone());
            // A worker that has ended serves no requests.
            let _ = worker.commands.send(command);
        }
        Ok(())
    }

    /// Lets running requests finish, and cuts off what is left after `grace`.
    pub(super) async fn drain(mut self, grace: Duration) -> DrainOutcome {
        self.drain_soon();
        self.signals.drain.now.cancel();
        self.workers.clear();
        if tokio::time::timeout(grace, self.ended.recv()).await.is_ok() {
            return DrainOutcome::Drained;
        }
        self.signals.cut_off.cancel();
        self.ended.recv().await;
        DrainOutcome::CutOff
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.signals.cut_off.cancel();
    }
}

impl Workers for WorkerPool {
    fn count(&self) -> usize {
        self.workers.len()
    }

    fn serve(&self, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let workers = self.workers.iter();
        let worker = workers.min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = worker.expect("there is at least one core, and so one worker");
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let permit = ConnectionPermit {
            connections: Arc::clone(&worker.connections),
            _permit: permit,
        };
        let command = Command::Serve(accepted, permit);
        if worker.commands.send(command).is_err() {
            tracing::error!("a worker has ended; the connection is closed");
        }
    }

    async fn close_oldest_idle(&self, worker: usize) -> bool {
        let (outcome, closed) = oneshot::channel();
        let command = Command::CloseOldestIdle(outcome);
        let is_sent = self.workers[worker].commands.send(command).is_ok();
        is_sent && closed.await.unwrap_or(false)
    }
}
