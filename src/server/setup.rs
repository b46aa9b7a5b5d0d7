//! Binds addresses, reads certificates, and puts sockets, pipeline and workers together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::admin::AdminListener;
use super::reload::{Reload, Reloader};
use super::running::{DrainOutcome, Running, ServeError, Start};
use super::sockets::{BindError, Listeners};
use super::supervisor::Supervisor;
use super::tls::{ServerTls, ServerTlsError};
use crate::config::{ActivatedSockets, AdminAddress, Config, Environment};
use crate::credentials::{Credentials, CredentialsError, Kind, Need, Supply, needs};
use crate::proxy::guard::Guard;
use crate::proxy::{RouteCredentials, Settings};
use crate::upstream::{Network, Resolver, TlsSettings, TlsSetupError};

/// A server that is bound to its addresses and ready to serve.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    admin: Option<AdminListener>,
    settings: Arc<Settings>,
    network: Network,
    tls: Option<ServerTls>,
    supplies: Vec<Supply>,
    supervisor: Supervisor,
    reloads: Option<mpsc::Receiver<Reload>>,
}

/// The network of this machine, with the roots that this configuration trusts.
///
/// # Errors
///
/// A [`TlsSetupError`] if there are no trusted roots.
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
    /// The credentials of a route are missing.
    #[error("credentials: {0}")]
    Credentials(#[from] CredentialsError),
}

impl Server {
    /// Binds the addresses and prepares TLS, for a proxy whose access key never changes. Nothing is accepted
    /// yet.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first problem.
    pub fn bind(config: &Config, credentials: &Credentials) -> Result<Self, SetupError> {
        Self::bind_in(network(config)?, config, credentials)
    }

    /// As [`Self::bind`], with a resolver and trusted roots other than this machine's.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first problem.
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

    /// As [`Self::bind_in`], with credentials that come from these supplies, and change.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first problem.
    ///
    /// # Panics
    ///
    /// If a supply is missing that [`needs`] names.
    pub fn bind_with(
        network: Network,
        config: &Config,
        supplies: Vec<Supply>,
    ) -> Result<Self, SetupError> {
        Self::bind_passed(network, ActivatedSockets::default(), config, supplies)
    }

    /// As [`Self::bind_with`], with sockets that were passed in place of addresses. The configuration is one
    /// that was loaded with their addresses.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first problem.
    ///
    /// # Panics
    ///
    /// If a supply is missing that [`needs`] names.
    pub fn bind_passed(
        network: Network,
        passed: ActivatedSockets,
        config: &Config,
        supplies: Vec<Supply>,
    ) -> Result<Self, SetupError> {
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let (listen, unix_socket) = (&config.listen, &config.unix_socket);
        let listeners = if passed.callers.is_empty() {
            Listeners::bind(listen, unix_socket, tls.as_ref())?
        } else {
            Listeners::activated(passed.callers, listen, unix_socket, tls.as_ref())?
        };
        let guard = Guard::new(&config.access, listeners.addresses());
        let admin = match (passed.admin, &config.admin) {
            (Some(socket), Some(address)) => {
                Some(AdminListener::activated(socket, address, config)?)
            }
            (None, Some(address)) => Some(AdminListener::bind(address, config)?),
            (_, None) => None,
        };
        let credentials = RouteCredentials::new(config, &supplies);
        Ok(Self {
            listeners,
            admin,
            settings: Arc::new(Settings::new(config, guard, credentials)),
            network,
            tls,
            supplies,
            supervisor: Supervisor::default(),
            reloads: None,
        })
    }

    /// Reports its state to a supervisor.
    #[must_use]
    pub fn supervised_by(self, supervisor: Supervisor) -> Self {
        Self { supervisor, ..self }
    }

    /// All endpoints, as callers write them.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        self.listeners.endpoints()
    }

    /// The bound addresses of TCP, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// The bound address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<&AdminAddress> {
        self.admin.as_ref().map(AdminListener::address)
    }

    /// Lets the configuration be changed while it serves.
    #[must_use]
    pub fn reloader(&mut self) -> Reloader {
        let (reloader, reloads) = Reloader::new();
        self.reloads = Some(reloads);
        reloader
    }

    /// Serves callers until `stop` resolves, or `POST /quitquitquit` is called at the admin listener. After
    /// `timeouts.drain_delay`, it stops accepting and lets running requests finish within
    /// `timeouts.shutdown`. The admin listener is served until those have ended.
    ///
    /// To be called on a single-threaded runtime that does nothing else, since that accepts connections and
    /// answers health checks.
    ///
    /// # Errors
    ///
    /// A [`ServeError`] if it could not begin.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts all connections off.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<DrainOutcome, ServeError> {
        // Boxed, since it is large.
        let serving = Box::pin(self.serve_locally(stop));
        LocalSet::new().run_until(serving).await
    }

    async fn serve_locally(
        self,
        stop: impl Future<Output = ()>,
    ) -> Result<DrainOutcome, ServeError> {
        let (stopping, quit) = (CancellationToken::new(), CancellationToken::new());
        let current = watch::Sender::new(Arc::clone(&self.settings));
        let (settings, admin) = (current.subscribe(), self.admin);
        let admin = async {
            match admin {
                Some(admin) => admin.serve(settings, stopping.clone(), quit.clone()).await,
                None => std::future::pending().await,
            }
        };
        let running = Running::new(Start {
            listeners: self.listeners,
            settings: self.settings,
            network: self.network,
            tls: self.tls,
            current,
            supervisor: self.supervisor,
        })?;
        let stop = stopped(stop, &quit);
        tokio::select! {
            // Its first step starts everything, before health checks are answered.
            biased;
            ended = running.until(stop, stopping.clone(), self.supplies, self.reloads) => ended,
            failed = admin => match failed? {},
        }
    }
}

/// Resolves when a stop is requested, in either way.
async fn stopped(stop: impl Future<Output = ()>, quit: &CancellationToken) {
    tokio::select! {
        () = stop => {}
        () = quit.cancelled() => {
            tracing::info!("POST /quitquitquit: stopping; running requests are finished, and soon no new ones are accepted");
        }
    }
}
