//! A running server: the tasks beside the workers, reload, and drain.
//!
//! A reload does not disturb callers. Addresses that stay keep their sockets, open connections go on,
//! and each request keeps the settings with which it began.
//!
//! # What can go wrong
//!
//! The new configuration may not work: an address is taken, a certificate cannot be read. All of
//! that is tried before anything is changed.

use std::sync::Arc;
use std::{io, thread};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::accept::{Admission, Command, Listening, accept};
use super::registry::Shutdown;
use super::supervisor::Heartbeats;
use super::worker::{TIDY_INTERVAL, Worker, tidy_process};
use super::{DrainOutcome, NewConfig, Server, SetupError, settings};
use crate::config::{Limits, ListenRules, Watched};
use crate::credentials::{Source, refresh};
use crate::proxy::Settings;
use crate::upstream::TlsSettings;

/// A running server.
pub(super) struct Running {
    server: Server,
    admission: Arc<Admission>,
    shutdown: Shutdown,
    heartbeats: Arc<Heartbeats>,
    /// Ends when the last worker has ended.
    ended: mpsc::Receiver<()>,
    /// Stops accepting by the current configuration.
    replaced: CancellationToken,
    /// Accepts connections. These tasks outlive a reload for as long as a connection waits for a
    /// permit.
    accepting: JoinSet<()>,
    /// Refreshes credentials and certificates, until the last request has ended.
    refreshing: JoinSet<()>,
}

impl Running {
    /// Starts one worker for each core that this process may use. Nothing is accepted yet.
    pub(super) fn new(mut server: Server, shutdown: &Shutdown) -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let settings = Arc::clone(&server.settings.borrow());
        let permits = Arc::new(Semaphore::new(settings.config.limits.connections));
        let heartbeats = Arc::new(Heartbeats::new(count));
        let (alive, ended) = mpsc::channel(1);
        let worker = Worker {
            count,
            settings,
            network: server.network.clone(),
            permits: Arc::clone(&permits),
            shutdown: shutdown.clone(),
            heartbeats: Arc::clone(&heartbeats),
            _alive: alive,
        };
        let workers = (0..count).map(|number| worker.clone().start(number));
        let admission = Admission::new(workers.collect::<io::Result<_>>()?, permits);
        server.inspection.apply(&server.settings, &admission);
        Ok(Self {
            server,
            admission,
            shutdown: shutdown.clone(),
            heartbeats,
            ended,
            replaced: CancellationToken::new(),
            accepting: JoinSet::new(),
            refreshing: JoinSet::new(),
        })
    }

    /// Serves until `stop` resolves, then drains. To be called within a [`LocalSet`].
    ///
    /// [`LocalSet`]: tokio::task::LocalSet
    pub(super) async fn until(
        mut self,
        stop: impl Future<Output = ()>,
    ) -> Result<DrainOutcome, SetupError> {
        let _cut_off = self.shutdown.cut_off.clone().drop_guard();
        let sockets = self.server.listeners.open()?;
        let sources = std::mem::take(&mut self.server.sources);
        self.start_tasks(sockets, sources);
        // Until the very end: a worker may hang while the process stops, too.
        let supervisor = self.server.supervisor.clone();
        let watching = supervisor.clone().watch(Arc::clone(&self.heartbeats));
        let _watchdog = AbortOnDropHandle::new(tokio::spawn(watching));
        supervisor.ready("requests are served");
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some((new, outcome)) = self.server.reloads.recv() => {
                    // The requester may be gone.
                    let _ = outcome.send(self.reload(new).await);
                }
            }
        }
        supervisor.stopping();
        Ok(self.drain().await)
    }

    async fn drain(mut self) -> DrainOutcome {
        let timeouts = self.settings().config.timeouts.clone();
        drop(self.server.reloads);
        self.shutdown.soon.cancel();
        sleep(timeouts.drain_delay).await;
        // The sockets are closed when the tasks have ended, so that callers are refused and do not
        // wait.
        self.accepting.shutdown().await;
        drop(self.server.listeners);
        // Without commands, the workers end after their last connection.
        drop(self.admission);
        self.shutdown.now.cancel();
        if timeout(timeouts.shutdown, self.ended.recv()).await.is_ok() {
            return DrainOutcome::Drained;
        }
        self.shutdown.cut_off.cancel();
        self.ended.recv().await;
        DrainOutcome::CutOff
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.server.settings.borrow())
    }

    /// Replaces the configuration, or leaves everything as it is.
    async fn reload(&mut self, new: NewConfig) -> Result<(), SetupError> {
        let before = self.settings();
        let listeners = self.server.listeners.bind(Vec::new(), &new.config)?;
        let sockets = listeners.open()?;
        let inspection = &mut self.server.inspection;
        inspection.prepare(&new.config.inspect);
        let settings = settings(&new.config, &listeners, &new.sources, inspection);
        let settings = Arc::new(settings.after(&before));
        for worker in &self.admission.workers {
            let command = Command::Reload(Arc::clone(&settings), new.network.clone());
            // A worker that has ended serves no requests.
            let _ = worker.commands.send(command);
        }
        self.resize(&before.config.limits, &settings.config.limits);
        self.server.settings.send_replace(settings);
        self.replaced.cancel();
        self.replaced = CancellationToken::new();
        self.refreshing.shutdown().await;
        self.server.listeners = listeners;
        self.server.network = new.network;
        let inspection = &mut self.server.inspection;
        inspection.apply(&self.server.settings, &self.admission);
        self.start_tasks(sockets, new.sources);
        Ok(())
    }

    fn start_tasks(&mut self, sockets: Vec<(Listening, ListenRules)>, sources: Vec<Source>) {
        // Those of earlier configurations that have ended.
        while self.accepting.try_join_next().is_some() {}
        for socket in sockets {
            let admission = Arc::clone(&self.admission);
            let accepts = accept(socket, admission, self.replaced.clone());
            self.accepting.spawn_local(accepts);
        }
        let (network, settings) = (self.server.network.clone(), self.settings());
        for source in sources {
            self.refreshing.spawn(refresh(source, network.clone()));
        }
        self.refreshing.spawn(async move {
            let limit = settings.config.timeouts.connect;
            network.look_ahead(&settings.config.routes, limit).await;
        });
        let (server, client) = (&self.server.listeners.tls, &self.server.network.tls);
        let tidy = tidy(server.clone(), client.clone(), self.settings());
        self.refreshing.spawn(tidy);
    }

    /// Changes `limits.connections`. If it shrinks, no busy connection is closed: the next callers
    /// wait.
    fn resize(&self, before: &Limits, after: &Limits) {
        let permits = Arc::clone(&self.admission.permits);
        if let Some(more) = after.connections.checked_sub(before.connections) {
            return permits.add_permits(more);
        }
        let fewer = u32::try_from(before.connections - after.connections).unwrap_or(u32::MAX);
        tokio::spawn(async move {
            if let Ok(taken) = permits.acquire_many_owned(fewer).await {
                taken.forget();
            }
        });
    }
}

/// Gives unused memory back and looks for new certificates and callers.
async fn tidy(server: Option<Watched<TlsAcceptor>>, client: TlsSettings, settings: Arc<Settings>) {
    loop {
        sleep(TIDY_INTERVAL).await;
        tidy_process();
        server.iter().for_each(Watched::refresh);
        client.refresh();
        if let Some(file) = &settings.config.callers.file {
            file.callers.refresh();
        }
    }
}
