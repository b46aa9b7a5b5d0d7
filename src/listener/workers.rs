//! Worker threads: each a single-threaded runtime with a pipeline of its own.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Ending};
use super::memory::tidy_thread;
use super::pulse::{Heart, Pulse};
use super::server::Ended;
use super::sockets::Accepted;
use crate::proxy::{Current, Pipeline, Proxy, Settings};
use crate::upstream::{Network, TlsSetupError, Upstream};

/// Threads for name lookups of one worker. They are idle nearly always.
const LOOKUP_THREADS: usize = 4;

/// A connection on its way to a worker, with the slot it takes until it ends.
#[derive(Debug)]
pub(super) struct Admitted {
    accepted: Accepted,
    _slot: OwnedSemaphorePermit,
    _load: Option<Load>,
}

impl Admitted {
    pub(super) fn new(accepted: Accepted, slot: OwnedSemaphorePermit) -> Self {
        Self {
            accepted,
            _slot: slot,
            _load: None,
        }
    }
}

/// Counts a connection for as long as its worker has it.
#[derive(Debug)]
struct Load(Arc<AtomicUsize>);

impl Load {
    fn on(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

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

/// The running workers.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Worker>,
    signals: Signals,
    pulse: Pulse,
    /// Ends when the last worker has ended.
    ended: mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Worker {
    connections: Arc<AtomicUsize>,
    sender: UnboundedSender<Order>,
}

/// What a worker is to do.
#[derive(Debug)]
enum Order {
    /// To serve a connection.
    Serve(Admitted),
    /// To take requests by these settings from now on.
    Reload(Arc<Settings>, Network),
}

/// What workers are told.
#[derive(Clone, Debug, Default)]
struct Signals {
    /// To finish what is running.
    ending: Ending,
    /// To drop what is running.
    cut: CancellationToken,
}

impl Workers {
    /// Starts one worker for each core that this process may use.
    pub(super) fn start(settings: &Arc<Settings>, network: &Network) -> Result<Self, StartError> {
        // Checked here, where the error can still be reported.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Pipeline::check(settings, network.clone())?;
        let signals = Signals::default();
        let (alive, ended) = mpsc::channel(1);
        let mut pulse = Pulse::new();
        let mut start = |number| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let runtime = runtime()?;
            let (settings, network) = (Arc::clone(settings), network.clone());
            let (signals, alive) = (signals.clone(), alive.clone());
            let heart = pulse.heart();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    let _alive = alive;
                    let pipeline = Pipeline::new(settings, network, cores)
                        .expect("it was checked before workers were started");
                    let work = work(pipeline, cores, receiver, signals, heart);
                    LocalSet::new().block_on(&runtime, work);
                    // A name lookup that hangs must not hold up the end.
                    runtime.shutdown_background();
                })?;
            Ok(Worker {
                connections: Arc::default(),
                sender,
            })
        };
        let workers = (0..cores).map(&mut start);
        let workers = workers.collect::<Result<_, io::Error>>()?;
        Ok(Self {
            workers,
            signals,
            pulse,
            ended,
        })
    }

    /// Asks the workers whether they are well.
    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Has each answer be the last one of its connection.
    pub(super) fn end_soon(&self) {
        self.signals.ending.soon.cancel();
    }

    /// Gives a connection to the worker that has the fewest.
    pub(super) fn hand_over(&self, mut admitted: Admitted) {
        let least = self
            .workers
            .iter()
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = least.expect("there is at least one core, and so one worker");
        admitted._load = Some(Load::on(&worker.connections));
        if worker.sender.send(Order::Serve(admitted)).is_err() {
            tracing::error!("a worker has ended; the connection is closed");
        }
    }

    /// Has requests that begin from now on go by other settings.
    ///
    /// # Errors
    ///
    /// A [`TlsSetupError`] if they cannot; then all stays as it is.
    pub(super) fn reload(
        &self,
        settings: &Arc<Settings>,
        network: &Network,
    ) -> Result<(), TlsSetupError> {
        Pipeline::check(settings, network.clone())?;
        for worker in &self.workers {
            let order = Order::Reload(Arc::clone(settings), network.clone());
            // One that has ended serves nobody any more.
            let _ = worker.sender.send(order);
        }
        Ok(())
    }

    /// Lets running requests finish, and cuts off what is left after `grace`.
    pub(super) async fn drain(mut self, grace: Duration) -> Ended {
        self.end_soon();
        self.signals.ending.now.cancel();
        self.workers.clear();
        if tokio::time::timeout(grace, self.ended.recv()).await.is_ok() {
            return Ended::Drained;
        }
        self.signals.cut.cancel();
        self.ended.recv().await;
        Ended::CutOff
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.signals.cut.cancel();
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUP_THREADS)
        .build()
}

/// What a worker does: serve the connections that it is given, until there are no more.
async fn work(
    pipeline: Pipeline,
    workers: usize,
    mut orders: UnboundedReceiver<Order>,
    signals: Signals,
    heart: Heart,
) {
    let beating = tokio::task::spawn_local(heart.beat());
    let tidying = tokio::task::spawn_local(tidy_thread());
    let mut tending = Tending::of(&pipeline);
    let current = Rc::new(Current::new(pipeline));
    let serving = async {
        let connections = TaskTracker::new();
        while let Some(order) = orders.recv().await {
            match order {
                Order::Serve(admitted) => {
                    let (current, ending) = (Rc::clone(&current), signals.ending.clone());
                    connections.spawn_local(serve(admitted, current, ending));
                }
                Order::Reload(settings, network) => {
                    let next = current.get().succeeded_by(settings, network, workers);
                    let next = next.expect("it was checked before workers were told");
                    tending.go_on_with(&next);
                    current.replace(next);
                }
            }
        }
        connections.close();
        connections.wait().await;
    };
    signals.cut.run_until_cancelled(serving).await;
    current.get().cut_off();
    beating.abort();
    tidying.abort();
}

async fn serve(admitted: Admitted, current: Rc<Current>, ending: Ending) {
    let Admitted {
        accepted,
        _slot,
        _load,
    } = admitted;
    let service = Proxy::layered(Rc::clone(&current));
    let refuse = |error: &_, traffic| current.get().refused(error, traffic);
    // How long a head may take, and how long it may be, is settled when the connection begins.
    let settings = Arc::clone(current.get().settings());
    connection::serve(accepted, service, refuse, &settings, ending).await;
}

/// The task that keeps connections to gateways in order.
struct Tending {
    upstream: Rc<Upstream>,
    task: JoinHandle<()>,
}

impl Tending {
    fn of(pipeline: &Pipeline) -> Self {
        let upstream = Rc::clone(pipeline.upstream());
        let tended = Rc::clone(&upstream);
        let task = tokio::task::spawn_local(async move { tended.tend().await });
        Self { upstream, task }
    }

    /// Turns to the connections of another pipeline, if it has its own.
    fn go_on_with(&mut self, pipeline: &Pipeline) {
        if !Rc::ptr_eq(&self.upstream, pipeline.upstream()) {
            *self = Self::of(pipeline);
        }
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.task.abort();
    }
}
