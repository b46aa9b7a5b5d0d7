//! The server that callers connect to: hyper on TCP, TLS and unix sockets.
//!
//! ```text
//! sockets, unix ─► accept ─► worker ─► handshake ─► connection ─► requests ─► proxy
//! ```
//!
//! One thread accepts (`accept`) and hands each connection to one worker (`worker`). `running`
//! reloads and drains. `connection` serves one connection through `io`, `registry` keeps the phase
//! of each connection of a worker and closes those that exceed a limit, and `linger` lets callers
//! read their last response. `admin` serves health and metrics.
//!
//! # What can go wrong
//!
//! Callers may be silent, slow, or never read. hyper's own timeouts do not cover that, so the
//! registry applies limits once a second. When no permits are left, the connections that have been
//! idle longest are closed. Draining has a limit, since a caller may never read its response to the
//! end.

mod accept;
mod admin;
mod connection;
mod handshake;
mod inspection;
mod io;
mod linger;
mod registry;
mod requests;
mod running;
mod sockets;
mod supervisor;
#[cfg(test)]
mod tests;
mod tls;
mod unix;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use crate::config::{ActivatedSockets, Config, Listen, Services, local_address};
use crate::credentials::Source;
use crate::proxy::guard::Guard;
use crate::proxy::{RouteCredentials, Settings};
use crate::upstream::{Network, Resolver, TlsSettings, TlsSetupError};
pub(crate) use admin::QUIT_IS_OFF;
use inspection::Inspection;
use registry::Shutdown;
use running::Running;
use sockets::{BoundSocket, Listeners};
pub(crate) use supervisor::Supervisor;
pub(crate) use tls::server_tls;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// A server that is bound to its addresses and ready to serve.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    admin: Option<BoundSocket>,
    /// The current settings, also for the admin listener.
    settings: watch::Sender<Arc<Settings>>,
    network: Network,
    sources: Vec<Source>,
    /// Is notified when the server is ready and when it stops.
    pub(crate) supervisor: Supervisor,
    /// Replaces the configuration while the server runs.
    pub(crate) reloader: Reloader,
    reloads: mpsc::Receiver<Reload>,
    inspection: Inspection,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// All requests were answered to their end.
    Drained,
    /// `timeouts.shutdown` passed, and the remaining requests were cut off.
    CutOff,
}

/// Why a proxy cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// An address cannot be listened on.
    #[error("{0}")]
    Bind(String),
    /// TLS with the upstream cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// TLS with callers cannot be set up.
    #[error("{0}")]
    ServerTls(String),
    /// The system refuses a thread or a socket.
    #[error("{0}: {1}")]
    System(&'static str, #[source] std::io::Error),
}

impl SetupError {
    fn socket(error: std::io::Error) -> Self {
        Self::System("a listening socket cannot be used", error)
    }
}

/// The network to gateways, with the roots that this configuration trusts.
///
/// # Errors
///
/// A [`TlsSetupError`] if there are no trusted roots.
pub fn network(config: &Config) -> Result<Network, TlsSetupError> {
    Ok(Network {
        tls: TlsSettings::new(&config.upstream_tls)?,
        resolver: Resolver::system(),
    })
}

impl Server {
    /// Binds the addresses, or uses the sockets of a socket activation in their place, and prepares
    /// TLS. Nothing is accepted yet. The configuration has the addresses of the passed sockets.
    ///
    /// # Errors
    ///
    /// A [`SetupError`]: the first problem.
    ///
    /// # Panics
    ///
    /// If `sources` lacks one of the [`requirements`](crate::credentials::requirements).
    pub fn bind(
        network: Network,
        passed: ActivatedSockets,
        config: &Config,
        sources: Vec<Source>,
    ) -> Result<Self, SetupError> {
        let listeners = Listeners::default().bind(passed.callers, config)?;
        let admin = admin::bind(passed.admin, config)?;
        let inspected = admin.as_ref().map(BoundSocket::admin_address);
        let inspection = Inspection::new(&config.inspect, inspected);
        let settings = settings(config, &listeners, &sources, &inspection);
        let (sender, reloads) = mpsc::channel(1);
        Ok(Self {
            listeners,
            admin,
            settings: watch::Sender::new(Arc::new(settings)),
            network,
            sources,
            supervisor: Supervisor::default(),
            reloader: Reloader(sender),
            reloads,
            inspection,
        })
    }

    /// Writes the token of the inspector to a file of this folder, for programs of the same user.
    #[must_use]
    pub fn with_token_in(mut self, folder: PathBuf) -> Self {
        self.inspection.folder = Some(folder);
        self
    }

    /// The address of the inspector's page; the server itself no longer prints it.
    pub(crate) fn show_inspector(&mut self) -> Option<SecretString> {
        self.inspection.show()
    }

    /// All endpoints, as callers write them.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = String> {
        let sockets = self.listeners.sockets.iter();
        sockets.map(|socket| socket.endpoint(|bound| bound))
    }

    /// The bound addresses of TCP, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// The bound address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<Listen> {
        self.admin.as_ref().map(BoundSocket::admin_address)
    }

    /// Serves callers until `stop` resolves, or `POST /quitquitquit` is called at the admin
    /// listener. After `timeouts.drain_delay`, it stops accepting and lets running requests finish
    /// within `timeouts.shutdown`. The admin listener is served until those have ended.
    ///
    /// Call it on a single-threaded runtime that does nothing else: this thread accepts connections
    /// and answers health checks.
    ///
    /// # Errors
    ///
    /// A [`SetupError`] if it could not begin.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts all connections off.
    pub async fn serve(
        mut self,
        stop: impl Future<Output = ()>,
    ) -> Result<DrainOutcome, SetupError> {
        let shutdown = Shutdown::default();
        let (admin, settings) = (self.admin.take(), self.settings.subscribe());
        let inspector = self.inspection.inspector.subscribe();
        let admin = async {
            match admin {
                Some(admin) => admin::serve(admin, settings, inspector, &shutdown).await,
                None => std::future::pending().await,
            }
        };
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = shutdown.soon.cancelled() => tracing::info!(
                    "POST /quitquitquit: stopping; running requests are finished, and soon no new ones are accepted"
                ),
            }
        };
        let serving = async {
            let failed = |error| SetupError::System("a worker could not be started", error);
            let running = Running::new(self, &shutdown).map_err(failed)?;
            tokio::select! {
                // Its first step starts everything, before health checks are answered.
                biased;
                ended = running.until(stop) => ended,
                failed = admin => match failed.map_err(SetupError::socket)? {},
            }
        };
        // Boxed, since it is large.
        LocalSet::new().run_until(Box::pin(serving)).await
    }
}

fn settings(
    config: &Config,
    listeners: &Listeners,
    sources: &[Source],
    inspection: &Inspection,
) -> Settings {
    let mut access = config.access.clone();
    let mut rules = config.listen_rules.iter();
    if rules.any(|rules| rules.requires_caller) {
        // Callers authenticate with credentials of their own instead.
        access.token = None;
    }
    let mut guard = Guard::new(&access, &listeners.addresses());
    guard.services = Services::new(config);
    let mut settings = Settings::new(config, guard, RouteCredentials::new(config, sources));
    settings.recorder.clone_from(&inspection.recorder);
    let first = listeners.sockets.first();
    settings.url = first.map_or_else(String::new, |first| first.endpoint(local_address));
    settings
}

/// The configuration of a server from a reload on.
#[derive(Debug)]
pub(crate) struct NewConfig {
    pub(crate) config: Config,
    /// The sources of the credentials that its routes need.
    pub(crate) sources: Vec<Source>,
    /// The network; the same one if nothing about it has changed, so that connections are kept.
    pub(crate) network: Network,
}

/// A requested reload, and where its outcome is sent.
type Reload = (NewConfig, oneshot::Sender<Result<(), SetupError>>);

/// Changes the configuration of a running server.
#[derive(Clone, Debug)]
pub(crate) struct Reloader(mpsc::Sender<Reload>);

impl Reloader {
    /// Returns true once the server stops, so that no configuration matters any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.is_closed()
    }

    /// Replaces the configuration, except for `admin` and `[unix_socket]`, which need a restart. If
    /// that fails, the server keeps the old configuration.
    pub(crate) async fn reload(&self, new: NewConfig) -> Result<(), SetupError> {
        let (outcome, received) = oneshot::channel();
        // If the server does not take it, it is stopping, and no configuration matters any more.
        if self.0.send((new, outcome)).await.is_err() {
            return Ok(());
        }
        received.await.unwrap_or(Ok(()))
    }
}
