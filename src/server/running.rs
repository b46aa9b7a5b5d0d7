//! A running server: the tasks beside the workers, reload, and drain.
//!
//! A reload does not touch what callers have begun. Addresses that stay keep their sockets, so that
//! connections in the accept queue are not lost; open connections go on, and each request keeps the settings
//! of the moment in which it began.
//!
//! # What can go wrong
//!
//! The new configuration may not work: an address is taken, a certificate cannot be read. All of that
//! is tried before anything is changed.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accept::{Admission, Listening, accept};
use super::memory::{TIDY, tidy_process};
use super::reload::{NewConfig, Reload};
use super::setup::SetupError;
use super::sockets::Listeners;
use super::supervisor::Supervisor;
use super::tls::ServerTls;
use super::worker::{StartError, WorkerPool};
use crate::credentials::{Supply, keep};
use crate::proxy::guard::Guard;
use crate::proxy::{RouteCredentials, Settings};
use crate::upstream::Network;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// All requests were answered to their end.
    Drained,
    /// `timeouts.shutdown` passed, and the remaining requests were cut off.
    CutOff,
}

/// Why serving could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A worker did not start.
    #[error("a worker could not be started: {0}")]
    Worker(#[from] StartError),
    /// A socket could not be registered.
    #[error("a listening socket cannot be used: {0}")]
    Socket(#[from] io::Error),
}

/// What a server starts with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) listeners: Listeners,
    pub(super) settings: Arc<Settings>,
    pub(super) network: Network,
    pub(super) tls: Option<ServerTls>,
    /// Tells the admin listener the settings of the moment.
    pub(super) current: watch::Sender<Arc<Settings>>,
    pub(super) supervisor: Supervisor,
}

/// A running server.
pub(super) struct Running {
    start: Start,
    admission: Rc<Admission<WorkerPool>>,
    permits: Arc<Semaphore>,
    /// Stops accepting by the configuration of the moment. A connection that waits for a permit is still
    /// served.
    replaced: CancellationToken,
    /// Accepts connections. These tasks outlive a reload for as long as a connection waits for a permit.
    accepting: JoinSet<()>,
    /// Other tasks beside the workers. They end when nothing more is accepted.
    beside: JoinSet<()>,
    /// Refreshes credentials, until the last request has ended.
    refreshing: JoinSet<()>,
}

impl Running {
    /// Starts the workers. Nothing is accepted yet.
    pub(super) fn new(start: Start) -> Result<Self, ServeError> {
        let connections = start.settings.limits.connections;
        let permits = Arc::new(Semaphore::new(connections));
        let workers = WorkerPool::start(&start.settings, &start.network, &permits)?;
        Ok(Self {
            admission: Rc::new(Admission::new(workers, Arc::clone(&permits))),
            start,
            permits,
            replaced: CancellationToken::new(),
            accepting: JoinSet::new(),
            beside: JoinSet::new(),
            refreshing: JoinSet::new(),
        })
    }

    /// Serves until `stop` resolves, then drains. `stopping` is cancelled in between. To be called within a
    /// [`LocalSet`].
    ///
    /// [`LocalSet`]: tokio::task::LocalSet
    pub(super) async fn until(
        mut self,
        stop: impl Future<Output = ()>,
        stopping: CancellationToken,
        supplies: Vec<Supply>,
        mut reloads: Option<mpsc::Receiver<Reload>>,
    ) -> Result<DrainOutcome, ServeError> {
        let sockets = open(&self.start.listeners)?;
        self.start_tasks(sockets, supplies);
        // To the very end: a worker that hangs while the process ends is one that hangs.
        let mut watchdog = JoinSet::new();
        let workers = self.admission.workers.heartbeats();
        watchdog.spawn(self.start.supervisor.clone().watch(workers));
        self.start.supervisor.ready("requests are served");
        tokio::pin!(stop);
        loop {
            let requested = async {
                match &mut reloads {
                    Some(reloads) => reloads.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                requested = requested => match requested {
                    Some(Reload { new, outcome }) => {
                        // The requester may be gone.
                        let _ = outcome.send(self.reload(new).await);
                    }
                    None => reloads = None,
                }
            }
        }
        drop(reloads);
        Ok(self.drain(&stopping).await)
    }

    async fn drain(mut self, stopping: &CancellationToken) -> DrainOutcome {
        let timeouts = self.start.settings.timeouts.clone();
        stopping.cancel();
        self.start.supervisor.stopping();
        self.admission.workers.drain_soon();
        tokio::time::sleep(timeouts.drain_delay).await;
        // The sockets are closed when the tasks have ended, so that callers are refused and do not wait.
        self.accepting.shutdown().await;
        self.beside.shutdown().await;
        drop(self.start.listeners);
        let admission = Rc::into_inner(self.admission);
        let admission = admission.expect("only the accepting tasks shared it, and they have ended");
        admission.workers.drain(timeouts.shutdown).await
    }

    /// Replaces the configuration, or leaves everything as it is.
    async fn reload(&mut self, new: NewConfig) -> Result<(), SetupError> {
        let NewConfig {
            config,
            supplies,
            network,
        } = new;
        let before = &self.start;
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let listeners =
            before
                .listeners
                .rebind(&config.listen, &config.unix_socket, tls.as_ref())?;
        let sockets = open(&listeners).map_err(SetupError::Socket)?;
        let guard = Guard::new(&config.access, listeners.addresses());
        let credentials = RouteCredentials::new(&config, &supplies);
        let settings = Settings::new(&config, guard, credentials).after(&before.settings);
        let settings = Arc::new(settings);
        // The last step that can fail.
        self.admission.workers.reload(&settings, &network)?;
        self.resize(settings.limits.connections);
        self.start.current.send_replace(Arc::clone(&settings));
        self.replaced.cancel();
        self.replaced = CancellationToken::new();
        self.beside.shutdown().await;
        self.refreshing.shutdown().await;
        self.start.listeners = listeners;
        self.start.settings = settings;
        self.start.network = network;
        self.start.tls = tls;
        self.start_tasks(sockets, supplies);
        Ok(())
    }

    /// Starts the tasks beside the workers: accepting, DNS lookups ahead of time, memory and certificates,
    /// credential refresh.
    fn start_tasks(&mut self, sockets: Vec<Listening>, supplies: Vec<Supply>) {
        // Those of earlier configurations that have ended.
        while self.accepting.try_join_next().is_some() {}
        for socket in sockets {
            let admission = Rc::clone(&self.admission);
            let accepts = accept(socket, admission, self.replaced.clone());
            self.accepting.spawn_local(accepts);
        }
        let (network, settings) = (self.start.network.clone(), Arc::clone(&self.start.settings));
        for supply in supplies {
            self.refreshing.spawn(keep(supply, network.clone()));
        }
        self.beside.spawn(async move {
            let limit = settings.timeouts.connect;
            network.look_ahead(&settings.routes, limit).await;
        });
        self.beside.spawn(tidy(self.start.tls.clone()));
    }

    /// Changes `limits.connections`. If it shrinks, no busy connection is closed: the next callers wait.
    fn resize(&self, connections: usize) {
        let before = self.start.settings.limits.connections;
        if let Some(more) = connections.checked_sub(before) {
            self.permits.add_permits(more);
            return;
        }
        let fewer = u32::try_from(before - connections).unwrap_or(u32::MAX);
        let permits = Arc::clone(&self.permits);
        tokio::spawn(async move {
            if let Ok(taken) = permits.acquire_many_owned(fewer).await {
                taken.forget();
            }
        });
    }
}

/// Makes sockets ready to be accepted from: duplicates, which stay open until both are dropped.
fn open(listeners: &Listeners) -> io::Result<Vec<Listening>> {
    let sockets = listeners.duplicate()?;
    sockets.into_iter().map(|socket| socket.open()).collect()
}

/// Gives unused memory back and looks for new certificates, for ever.
async fn tidy(tls: Option<ServerTls>) {
    loop {
        tokio::time::sleep(TIDY).await;
        tidy_process();
        tls.iter().for_each(ServerTls::refresh);
    }
}
