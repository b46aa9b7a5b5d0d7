//! Puts sockets, pipeline and workers together, serves until told to stop, then drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::admin::Desk;
use super::running::{Reload, Reloader, Running, Started};
use super::sockets::{BindError, Listeners};
use super::supervisor::Supervisor;
use super::tls::{ServerTls, ServerTlsError};
use super::workers::StartError;
use crate::config::{AdminAddress, Config, Environment, PassedSockets};
use crate::credentials::{Credentials, CredentialsError, Kind, Need, Supply, needs};
use crate::guard::Guard;
use crate::proxy::{Keyring, Settings};
use crate::upstream::{Network, Resolver, TlsSettings, TlsSetupError};

/// A proxy that is bound to its addresses and ready to serve.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    admin: Option<Desk>,
    settings: Arc<Settings>,
    network: Network,
    tls: Option<ServerTls>,
    supplies: Vec<Supply>,
    supervisor: Supervisor,
    reloads: Option<mpsc::Receiver<Reload>>,
}

/// The network that a proxy with this configuration is in: this machine's.
///
/// # Errors
///
/// A [`TlsSetupError`] if nothing can be trusted.
pub fn network(config: &Config) -> Result<Network, TlsSetupError> {
    Ok(Network {
        tls: TlsSettings::new(&config.upstream_tls.extra_roots)?,
        resolver: Resolver::system(),
    })
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
    /// A socket cannot be accepted from.
    #[error("a listening socket cannot be used: {0}")]
    Socket(#[source] io::Error),
    /// A socket that was passed cannot be used.
    #[error("a socket of LISTEN_FDS cannot be used: {0}; correct what starts the program")]
    Passed(#[from] io::Error),
    /// What the routes need cannot be had.
    #[error("credentials: {0}")]
    Credentials(#[from] CredentialsError),
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
    /// Binds the addresses and prepares TLS, for a proxy that signs with this key for ever. Nothing is
    /// accepted yet.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first thing that cannot be had.
    pub fn bind(config: &Config, credentials: &Credentials) -> Result<Self, SetupError> {
        Self::bind_in(network(config)?, config, credentials)
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
        let supply = |need: Need| {
            let set = &config.credentials[need.set];
            match need.kind {
                Kind::Key => Ok(Supply::fixed(need, set.label(), credentials)),
                _ => Supply::open(need, set, &Environment::default()),
            }
        };
        let supplies = needs(config).into_iter().map(supply);
        Self::bind_with(network, config, supplies.collect::<Result<_, _>>()?)
    }

    /// As [`Self::bind_in`], for a proxy whose secrets come from these supplies, and change.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first thing that cannot be had.
    ///
    /// # Panics
    ///
    /// If a supply is missing that [`needs`] names.
    pub fn bind_with(
        network: Network,
        config: &Config,
        supplies: Vec<Supply>,
    ) -> Result<Self, SetupError> {
        Self::bind_passed(network, PassedSockets::default(), config, supplies)
    }

    /// As [`Self::bind_with`], with sockets that were passed in place of addresses. The configuration is one
    /// that was loaded with their addresses.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first thing that cannot be had.
    ///
    /// # Panics
    ///
    /// If a supply is missing that [`needs`] names.
    pub fn bind_passed(
        network: Network,
        passed: PassedSockets,
        config: &Config,
        supplies: Vec<Supply>,
    ) -> Result<Self, SetupError> {
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let (listen, unix_socket) = (&config.listen, &config.unix_socket);
        let listeners = if passed.callers.is_empty() {
            Listeners::bind(listen, unix_socket, tls.as_ref())?
        } else {
            Listeners::take(passed.callers, listen, unix_socket, tls.as_ref())?
        };
        let guard = Guard::new(&config.access, listeners.addresses());
        let admin = match (passed.admin, &config.admin) {
            (Some(socket), Some(address)) => Some(Desk::take(socket, address, config)?),
            (None, Some(address)) => Some(Desk::bind(address, config)?),
            (_, None) => None,
        };
        let keyring = Keyring::new(config, &supplies);
        Ok(Self {
            listeners,
            admin,
            settings: Arc::new(Settings::new(config, guard, keyring)),
            network,
            tls,
            supplies,
            supervisor: Supervisor::default(),
            reloads: None,
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
    pub fn admin_address(&self) -> Option<&AdminAddress> {
        self.admin.as_ref().map(Desk::address)
    }

    /// Lets the configuration be changed while it serves.
    #[must_use]
    pub fn reloader(&mut self) -> Reloader {
        let (sender, receiver) = mpsc::channel(1);
        self.reloads = Some(receiver);
        Reloader(sender)
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
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<Ended, ServeError> {
        let Self {
            listeners,
            admin,
            settings,
            network,
            tls,
            supplies,
            supervisor,
            reloads,
        } = self;
        let (stopping, quit) = (CancellationToken::new(), CancellationToken::new());
        let told = watch::Sender::new(Arc::clone(&settings));
        let telling = {
            let (stopping, quit) = (stopping.clone(), quit.clone());
            let told = told.subscribe();
            async move {
                match admin {
                    Some(desk) => desk.serve(told, stopping, quit).await,
                    None => std::future::pending().await,
                }
            }
        };
        let running = Running::start(Started {
            listeners,
            settings,
            network,
            tls,
            told,
            supervisor,
        });
        let stop = stopped(stop, &quit);
        tokio::select! {
            // Its first step starts everything, before anybody is told that it has started.
            biased;
            ended = async { running?.until(stop, stopping, supplies, reloads).await } => ended,
            failed = telling => match failed? {},
        }
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
