//! A proxy that serves: what runs beside the workers, and how all of it turns to another configuration.
//!
//! Nothing that a caller has begun is touched by that. Sockets that stay are the same ones, so
//! connections that wait to be accepted still are; connections that are open go on, and each request goes
//! by the settings of the moment in which it began.
//!
//! # What can go wrong
//!
//! The new configuration may not work: an address is taken, a certificate cannot be read. All of that
//! is tried before anything is changed.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accepting::{Open, accept};
use super::memory::{TIDY, tidy_process};
use super::server::{Ended, ServeError, SetupError};
use super::sockets::Listeners;
use super::supervisor::Supervisor;
use super::tls::ServerTls;
use super::workers::Workers;
use crate::config::Config;
use crate::credentials::{Supply, keep};
use crate::guard::Guard;
use crate::proxy::{Keyring, Settings};
use crate::upstream::Network;

/// Changes the configuration of a proxy that serves.
#[derive(Clone, Debug)]
pub struct Reloader(pub(super) mpsc::Sender<Reload>);

/// What a proxy is to serve by from now on.
#[derive(Debug)]
pub struct Fresh {
    /// The configuration.
    pub config: Config,
    /// What its routes need.
    pub supplies: Vec<Supply>,
    /// The network; the same one if nothing has changed about it, so that connections can be kept.
    pub network: Network,
}

/// A wish for another configuration, and who waits for the outcome.
#[derive(Debug)]
pub(super) struct Reload {
    fresh: Fresh,
    outcome: oneshot::Sender<Result<(), SetupError>>,
}

impl Reloader {
    /// Whether the proxy stops, so that no configuration matters any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_closed()
    }

    /// Has the proxy serve by another configuration, but for `admin` and `[unix_socket]`, which are settled at
    /// the start.
    ///
    /// # Errors
    ///
    /// A [`SetupError`] if that is not possible; the proxy goes on as before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the outcome unknown.
    pub async fn reload(&self, fresh: Fresh) -> Result<(), SetupError> {
        let (outcome, told) = oneshot::channel();
        // If nobody takes it, the proxy is stopping, and no configuration matters any more.
        if self.0.send(Reload { fresh, outcome }).await.is_err() {
            return Ok(());
        }
        told.await.unwrap_or(Ok(()))
    }
}

/// What a proxy is started with.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) listeners: Listeners,
    pub(super) settings: Arc<Settings>,
    pub(super) network: Network,
    pub(super) tls: Option<ServerTls>,
    /// Tells the admin listener by what requests are served.
    pub(super) told: watch::Sender<Arc<Settings>>,
    pub(super) supervisor: Supervisor,
}

/// A proxy that serves.
#[derive(Debug)]
pub(super) struct Running {
    listeners: Listeners,
    settings: Arc<Settings>,
    network: Network,
    tls: Option<ServerTls>,
    workers: Arc<Workers>,
    slots: Arc<Semaphore>,
    /// What runs beside the workers.
    beside: JoinSet<Option<()>>,
    /// What keeps secrets fresh, until the last request has ended.
    keeping: JoinSet<()>,
    /// Tells the admin listener by what requests are served.
    told: watch::Sender<Arc<Settings>>,
    supervisor: Supervisor,
}

impl Running {
    /// Starts the workers. Nothing is accepted yet.
    pub(super) fn start(started: Started) -> Result<Self, ServeError> {
        let Started {
            listeners,
            settings,
            network,
            tls,
            told,
            supervisor,
        } = started;
        Ok(Self {
            workers: Arc::new(Workers::start(&settings, &network)?),
            slots: Arc::new(Semaphore::new(slots(&listeners, &settings))),
            listeners,
            settings,
            network,
            tls,
            beside: JoinSet::new(),
            keeping: JoinSet::new(),
            told,
            supervisor,
        })
    }

    /// Serves until `stop` resolves, then drains.
    pub(super) async fn until(
        mut self,
        stop: impl Future<Output = ()>,
        stopping: CancellationToken,
        supplies: Vec<Supply>,
        mut reloads: Option<mpsc::Receiver<Reload>>,
    ) -> Result<Ended, ServeError> {
        let sockets = open(&self.listeners)?;
        // What runs beside the workers goes on until the sockets are closed.
        let closed = CancellationToken::new();
        self.run_beside(sockets, supplies, &closed);
        // To the very end: a worker that hangs while the process ends is one that hangs.
        let mut watching = JoinSet::new();
        watching.spawn(self.supervisor.clone().watch(self.workers.pulse()));
        self.supervisor.ready("requests are served");
        tokio::pin!(stop);
        loop {
            let wish = async {
                match &mut reloads {
                    Some(reloads) => reloads.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                wish = wish => match wish {
                    Some(Reload { fresh, outcome }) => {
                        // Whoever wished may have gone away.
                        let _ = outcome.send(self.reload(fresh, &closed).await);
                    }
                    None => reloads = None,
                }
            }
        }
        drop(reloads);
        let timeouts = self.settings.timeouts().clone();
        stopping.cancel();
        self.supervisor.stopping();
        self.workers.end_soon();
        tokio::time::sleep(timeouts.drain_delay).await;
        closed.cancel();
        // The sockets are closed when the tasks have ended, so that callers are refused rather than kept.
        while self.beside.join_next().await.is_some() {}
        drop(self.listeners);
        let workers = Arc::into_inner(self.workers);
        let workers = workers.expect("only the accepting tasks shared the workers");
        Ok(workers.drain(timeouts.shutdown).await)
    }

    /// Turns to another configuration, or leaves all as it is.
    async fn reload(&mut self, fresh: Fresh, closed: &CancellationToken) -> Result<(), SetupError> {
        let Fresh {
            config,
            supplies,
            network,
        } = fresh;
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let listeners = self
            .listeners
            .rebind(&config.listen, &config.unix_socket, tls.as_ref())?;
        // The last thing that can fail, with what follows for the workers.
        let sockets = open(&listeners).map_err(SetupError::Socket)?;
        let guard = Guard::new(&config.access, listeners.addresses());
        let keyring = Keyring::new(&config, &supplies);
        let settings = Settings::new(&config, guard, keyring).after(&self.settings);
        let settings = Arc::new(settings);
        self.workers.reload(&settings, &network)?;
        self.resize(slots(&listeners, &settings));
        self.told.send_replace(Arc::clone(&settings));
        // Nothing waits in these tasks that would be lost: the system keeps connections that are not accepted.
        self.beside.shutdown().await;
        self.keeping.shutdown().await;
        (self.listeners, self.settings) = (listeners, settings);
        (self.network, self.tls) = (network, tls);
        self.run_beside(sockets, supplies, closed);
        Ok(())
    }

    /// Starts what runs beside the workers: accepting, looking names up, tidying, keeping secrets fresh.
    fn run_beside(
        &mut self,
        sockets: Vec<Open>,
        supplies: Vec<Supply>,
        closed: &CancellationToken,
    ) {
        for socket in sockets {
            let accepts = accept(socket, Arc::clone(&self.workers), Arc::clone(&self.slots));
            self.spawn(closed, accepts);
        }
        for supply in supplies {
            self.keeping.spawn(keep(supply, self.network.clone()));
        }
        let (network, settings) = (self.network.clone(), Arc::clone(&self.settings));
        self.spawn(closed, async move {
            let limit = settings.timeouts().connect;
            network.look_ahead(settings.routes(), limit).await;
        });
        let tidies = tidy(Arc::clone(&self.settings), self.tls.clone());
        self.spawn(closed, tidies);
    }

    fn spawn(
        &mut self,
        closed: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = closed.clone().run_until_cancelled_owned(task);
        self.beside.spawn(task);
    }

    /// Lets another number of connections in. If they are fewer, none is closed: the next ones wait.
    fn resize(&mut self, connections: usize) {
        let before = slots(&self.listeners, &self.settings);
        if let Some(more) = connections.checked_sub(before) {
            self.slots.add_permits(more);
            return;
        }
        let fewer = u32::try_from(before - connections).unwrap_or(u32::MAX);
        let slots = Arc::clone(&self.slots);
        tokio::spawn(async move {
            if let Ok(taken) = slots.acquire_many_owned(fewer).await {
                taken.forget();
            }
        });
    }
}

/// Makes sockets ready to be accepted from. They are the same ones, once more.
fn open(listeners: &Listeners) -> io::Result<Vec<Open>> {
    let sockets = listeners.clones()?;
    sockets.into_iter().map(Open::new).collect()
}

/// How many slots there are for connections. Each socket but one holds one while it waits for a caller.
fn slots(listeners: &Listeners, settings: &Settings) -> usize {
    let waiting = listeners.endpoints().len().saturating_sub(1);
    settings.limits().connections + waiting
}

/// Gives memory back that is not needed, for ever.
async fn tidy(settings: Arc<Settings>, tls: Option<ServerTls>) {
    loop {
        tokio::time::sleep(TIDY).await;
        settings.give_back_memory();
        tidy_process();
        tls.iter().for_each(ServerTls::refresh);
    }
}
