//! Puts sockets, pipeline and workers together, serves until told to stop, then drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accepting::{Open, accept};
use super::admin::Desk;
use super::sockets::{BindError, Listeners};
use super::supervisor::Supervisor;
use super::tls::{ServerTls, ServerTlsError};
use super::workers::{StartError, Workers};
use crate::config::{Config, PassedSockets};
use crate::credentials::Credentials;
use crate::guard::Guard;
use crate::proxy::{Settings, SigningKey, SigningKeyError};
use crate::upstream::{Network, Resolver, TlsSettings, TlsSetupError};

/// How often memory that is not needed is given back.
const TIDY: Duration = Duration::from_secs(2);

/// A proxy that is bound to its addresses and ready to serve.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    admin: Option<Desk>,
    settings: Arc<Settings>,
    network: Network,
    tls: Option<ServerTls>,
    supervisor: Supervisor,
}

/// Why a proxy cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS with the upstream cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// TLS with callers cannot be set up.
    #[error(transparent)]
    ServerTls(#[from] ServerTlsError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// A socket that was passed cannot be used.
    #[error("a socket of LISTEN_FDS cannot be used: {0}; correct what starts the program")]
    Passed(#[from] io::Error),
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All requests were answered to their end.
    Drained,
    /// The time for that ran out, and what was left was cut off.
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

impl Server {
    /// Binds the addresses and prepares the key and TLS. Nothing is accepted yet.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first thing that cannot be had.
    pub fn bind(config: &Config, credentials: &Credentials) -> Result<Self, SetupError> {
        let network = Network {
            tls: TlsSettings::new(&config.upstream_tls.extra_roots)?,
            resolver: Resolver::system(),
        };
        Self::bind_in(network, config, credentials)
    }

    /// As [`Self::bind`], with sockets that were passed in place of addresses. The configuration is one
    /// that was loaded with their addresses.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first thing that cannot be had.
    pub fn bind_passed(
        passed: PassedSockets,
        config: &Config,
        credentials: &Credentials,
    ) -> Result<Self, SetupError> {
        let network = Network {
            tls: TlsSettings::new(&config.upstream_tls.extra_roots)?,
            resolver: Resolver::system(),
        };
        Self::set_up(network, passed, config, credentials)
    }

    /// As [`Self::bind`], in a network where names are known and trusted in another way than this
    /// machine's.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first thing that cannot be had.
    pub fn bind_in(
        network: Network,
        config: &Config,
        credentials: &Credentials,
    ) -> Result<Self, SetupError> {
        Self::set_up(network, PassedSockets::default(), config, credentials)
    }

    fn set_up(
        network: Network,
        passed: PassedSockets,
        config: &Config,
        credentials: &Credentials,
    ) -> Result<Self, SetupError> {
        let key = SigningKey::new(credentials, config.credentials.project_id.clone())?;
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let (listen, unix_socket) = (&config.listen, &config.unix_socket);
        let listeners = if passed.callers.is_empty() {
            Listeners::bind(listen, unix_socket, tls.as_ref())?
        } else {
            Listeners::take(passed.callers, listen, unix_socket, tls.as_ref())?
        };
        let guard = Guard::new(&config.access, listeners.addresses());
        let admin = match (passed.admin, config.admin) {
            (Some(socket), _) => Some(Desk::take(socket, &config.access)?),
            (None, Some(address)) => Some(Desk::bind(address, &config.access)?),
            (None, None) => None,
        };
        Ok(Self {
            listeners,
            admin,
            settings: Arc::new(Settings::new(config, guard, key)),
            network,
            tls,
            supervisor: Supervisor::default(),
        })
    }

    /// Tells a supervisor how it goes.
    #[must_use]
    pub fn supervised_by(self, supervisor: Supervisor) -> Self {
        Self { supervisor, ..self }
    }

    /// All that callers can connect to, as they would write it.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        self.listeners.endpoints()
    }

    /// The bound addresses of TCP, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// The bound address of health and metrics, if they are served.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Desk::address)
    }

    /// Serves callers until `stop` resolves, or somebody asks for the end at the admin listener. After
    /// `timeouts.drain_delay`, it stops accepting and lets running requests finish within
    /// `timeouts.shutdown`. Health and metrics are served until those have.
    ///
    /// To be called on a single-threaded runtime, which does nothing but accept, and tell how it goes.
    ///
    /// # Errors
    ///
    /// A [`ServeError`] if it could not begin.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts all connections off.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) -> Result<Ended, ServeError> {
        let (stopping, quit) = (CancellationToken::new(), CancellationToken::new());
        let settings = Arc::clone(&self.settings);
        let admin = self.admin.take();
        let telling = async {
            match admin {
                Some(desk) => desk.serve(&settings, &stopping, &quit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Its first step starts everything, before anybody is told that it has started.
            biased;
            ended = self.work(stopped(stop, &quit), &stopping) => ended,
            failed = telling => match failed? {},
        }
    }

    async fn work(
        self,
        stop: impl Future<Output = ()>,
        stopping: &CancellationToken,
    ) -> Result<Ended, ServeError> {
        let slots = Arc::new(Semaphore::new(self.settings.limits().connections));
        let grace = self.settings.timeouts().shutdown;
        let workers = Arc::new(Workers::start(&self.settings, &self.network)?);
        let closed = CancellationToken::new();
        let mut accepting = JoinSet::new();
        let mut until_closed =
            |work| accepting.spawn(closed.clone().run_until_cancelled_owned(work));
        for socket in self.listeners.sockets {
            let accepts = accept(Open::new(socket)?, Arc::clone(&workers), Arc::clone(&slots));
            until_closed(accepts.boxed());
        }
        let (network, settings) = (self.network, Arc::clone(&self.settings));
        until_closed(look_ahead(network, settings).boxed());
        until_closed(tidy(Arc::clone(&self.settings), self.tls).boxed());
        // To the very end: a worker that hangs while the process ends is one that hangs.
        let mut watching = JoinSet::new();
        watching.spawn(self.supervisor.clone().watch(workers.pulse()));
        self.supervisor.ready("requests are served");
        stop.await;
        stopping.cancel();
        self.supervisor.stopping();
        workers.end_soon();
        tokio::time::sleep(self.settings.timeouts().drain_delay).await;
        closed.cancel();
        // The sockets are closed when the tasks have ended, so that callers are refused rather than kept.
        while accepting.join_next().await.is_some() {}
        let workers =
            Arc::into_inner(workers).expect("only the accepting tasks shared the workers");
        Ok(workers.drain(grace).await)
    }
}

/// Resolves when the end is asked for, in either way.
async fn stopped(stop: impl Future<Output = ()>, quit: &CancellationToken) {
    tokio::select! {
        () = stop => {}
        () = quit.cancelled() => {
            tracing::info!("POST /quitquitquit: stopping; running requests are finished, and soon no new ones are accepted");
        }
    }
}

/// Looks the names of the gateways up before anybody needs them.
async fn look_ahead(network: Network, settings: Arc<Settings>) {
    let limit = settings.timeouts().connect;
    network.look_ahead(settings.routes(), limit).await;
}

/// Gives memory back that is not needed, for ever.
async fn tidy(settings: Arc<Settings>, tls: Option<ServerTls>) {
    loop {
        tokio::time::sleep(TIDY).await;
        settings.give_back_memory();
        tls.iter().for_each(ServerTls::refresh);
    }
}
