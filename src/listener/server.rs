//! Puts sockets, pipeline and workers together, serves until told to stop, then drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admin::Desk;
use super::sockets::{Accepted, BindError, Bound, Listeners};
use super::tls::{ServerTls, ServerTlsError};
use super::unix::Door;
use super::workers::{Admitted, StartError, Workers};
use crate::config::{Config, Environment};
use crate::credentials::{Credentials, CredentialsError, Kind, Need, Supply, keep, needs};
use crate::guard::Guard;
use crate::proxy::{Keyring, Settings};
use crate::upstream::{Network, Resolver, TlsSettings, TlsSetupError};

/// How long accepting pauses after it failed. A failure is usually a lack of file descriptors, which
/// only time can end.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

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
    supplies: Vec<Supply>,
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
        let tls = config.tls.as_ref().map(ServerTls::new).transpose()?;
        let listeners = Listeners::bind(&config.listen, &config.unix_socket, tls.as_ref())?;
        let guard = Guard::new(&config.access, listeners.addresses());
        let admin = config
            .admin
            .map(|address| Desk::bind(address, &config.access))
            .transpose()?;
        let keyring = Keyring::new(config, &supplies);
        Ok(Self {
            listeners,
            admin,
            settings: Arc::new(Settings::new(config, guard, keyring)),
            network,
            tls,
            supplies,
        })
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

    /// Serves callers until `stop` resolves, then stops accepting and lets running requests finish
    /// within `timeouts.shutdown`. Health and metrics are served until those have.
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
        let stopping = CancellationToken::new();
        let settings = Arc::clone(&self.settings);
        let admin = self.admin.take();
        let telling = async {
            match admin {
                Some(desk) => desk.serve(&settings, &stopping).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Its first step starts everything, before anybody is told that it has started.
            biased;
            ended = self.work(stop, &stopping) => ended,
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
        let mut accepting = JoinSet::new();
        for socket in self.listeners.sockets {
            let accepts = accept(Open::new(socket)?, Arc::clone(&workers), Arc::clone(&slots));
            accepting.spawn(stopping.clone().run_until_cancelled_owned(accepts));
        }
        for supply in self.supplies {
            let keeping = keep(supply, self.network.clone());
            accepting.spawn(stopping.clone().run_until_cancelled_owned(keeping));
        }
        let (network, settings) = (self.network, Arc::clone(&self.settings));
        accepting.spawn(stopping.clone().run_until_cancelled_owned(async move {
            let limit = settings.timeouts().connect;
            network.look_ahead(settings.routes(), limit).await;
        }));
        let tidies = tidy(Arc::clone(&self.settings), self.tls);
        accepting.spawn(stopping.clone().run_until_cancelled_owned(tidies));
        stop.await;
        stopping.cancel();
        // The sockets are closed when the tasks have ended, so that callers are refused rather than kept.
        while accepting.join_next().await.is_some() {}
        let workers =
            Arc::into_inner(workers).expect("only the accepting tasks shared the workers");
        Ok(workers.drain(grace).await)
    }
}

/// Gives memory back that is not needed, for ever.
async fn tidy(settings: Arc<Settings>, tls: Option<ServerTls>) {
    loop {
        tokio::time::sleep(TIDY).await;
        settings.give_back_memory();
        tls.iter().for_each(ServerTls::refresh);
    }
}

/// A socket that is accepted from.
enum Open {
    Tcp(tokio::net::TcpListener, Option<ServerTls>),
    Unix(tokio::net::UnixListener, Door),
}

impl Open {
    fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(socket, tls) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?, tls),
            Bound::Unix(socket, door) => {
                Self::Unix(tokio::net::UnixListener::from_std(socket)?, door)
            }
        })
    }

    /// The next connection; `None` for one that may not come in.
    async fn accept(&self) -> io::Result<Option<Accepted>> {
        match self {
            Self::Tcp(socket, tls) => {
                let (stream, _) = socket.accept().await?;
                // Without it, small answers would wait for acknowledgements. One that is gone already
                // is no failure to accept.
                let stream = stream.set_nodelay(true).and_then(|()| stream.into_std());
                Ok(stream.ok().map(|stream| Accepted::Tcp(stream, tls.clone())))
            }
            Self::Unix(socket, door) => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred().map(|peer| peer.uid());
                if !uid.as_ref().is_ok_and(|uid| door.lets_in(*uid)) {
                    tracing::info!(
                        uid = uid.ok(),
                        "a user that is not in unix_socket.allowed_uids was turned away"
                    );
                    return Ok(None);
                }
                Ok(stream.into_std().ok().map(Accepted::Unix))
            }
        }
    }
}

/// Accepts connections of one socket, as long as there are free slots, for ever.
async fn accept(socket: Open, workers: Arc<Workers>, slots: Arc<Semaphore>) {
    let mut fails = false;
    loop {
        let slot = Arc::clone(&slots)
            .acquire_owned()
            .await
            .expect("the slots are never closed");
        match socket.accept().await {
            Ok(accepted) => {
                fails = false;
                if let Some(accepted) = accepted {
                    workers.hand_over(Admitted::new(accepted, slot));
                }
            }
            Err(error) => {
                // Once is enough: a log that is full of it helps nobody.
                if !fails {
                    tracing::warn!(%error, "accepting connections failed; it is tried again ten times a second");
                }
                fails = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
