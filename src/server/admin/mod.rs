//! The admin listener: one socket, served by the thread that accepts. So it answers while the workers are
//! busy.
//!
//! # What can go wrong
//!
//! Callers may open connections and send nothing. The listener has permits of its own; if there is none left,
//! the oldest silent connection is closed, so that health checks are always answered. Each connection
//! ends with its first answer.

mod service;

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use super::accept::{Accepted, Admission, Workers, accept};
use super::activation::activated_admin;
use super::connection::{self, ConnectionContext};
use super::registry::{Drain, Registry};
use super::sockets::{BindError, BoundSocket, bind_admin};
use super::tracked::IdleLimits;
use crate::config::{ActivatedSocket, AdminAddress, Config};
use crate::proxy::Settings;
pub(crate) use service::QUIT_IS_OFF;
use service::{Admin, Peer};

/// Connections that are served at once.
const CONNECTIONS: usize = 64;

/// The longest request head, in bytes.
const MAX_HEADER: usize = 16 * 1024;

const LIMITS: IdleLimits = IdleLimits {
    header_read: Duration::from_secs(2),
    keep_alive: Duration::from_secs(2),
    write_idle: Duration::from_secs(10),
};

/// The socket of health and metrics.
#[derive(Debug)]
pub(super) struct AdminListener {
    socket: BoundSocket,
    address: AdminAddress,
}

impl AdminListener {
    /// Binds its address.
    ///
    /// # Errors
    ///
    /// A [`BindError`] that names `--admin`.
    pub(super) fn bind(address: &AdminAddress, config: &Config) -> Result<Self, BindError> {
        let (address, socket) = bind_admin(address, &config.unix_socket)?;
        Ok(Self { socket, address })
    }

    /// Takes a socket that listens already, at this address.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be used.
    pub(super) fn activated(
        socket: ActivatedSocket,
        address: &AdminAddress,
        config: &Config,
    ) -> io::Result<Self> {
        let socket = activated_admin(socket, &config.unix_socket)?;
        let address = address.clone();
        Ok(Self { socket, address })
    }

    /// The bound address.
    pub(super) fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Answers, for ever. Not ready once `stopping` is cancelled; cancels `quit` when a stop is requested. To
    /// be called within a [`LocalSet`].
    ///
    /// # Errors
    ///
    /// What the system says if the socket cannot be used.
    ///
    /// [`LocalSet`]: tokio::task::LocalSet
    pub(super) async fn serve(
        self,
        settings: watch::Receiver<Arc<Settings>>,
        stopping: CancellationToken,
        quit: CancellationToken,
    ) -> io::Result<Infallible> {
        let socket = self.socket.open()?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let context = Rc::new(ConnectionContext {
            registry: Rc::new(Registry::new(LIMITS)),
            permits: Arc::clone(&permits),
            max_header: Cell::new(MAX_HEADER),
            bare_answer: Rc::new(service::bare_answer),
            is_admin: true,
        });
        let connections = AdminConnections {
            context: Rc::clone(&context),
            admin: Admin::new(self.address, settings, stopping, quit),
        };
        let admission = Rc::new(Admission::new(connections, permits));
        spawn_local(accept(socket, admission, CancellationToken::new()));
        Ok(context.registry.watch(Drain::default()).await)
    }
}

/// Serves connections on the thread that accepts.
struct AdminConnections {
    context: Rc<ConnectionContext>,
    admin: Admin,
}

impl Workers for AdminConnections {
    fn count(&self) -> usize {
        1
    }

    fn serve(&self, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let admin = self.admin.for_peer(peer(&accepted));
        let context = Rc::clone(&self.context);
        spawn_local(async move {
            let make = |caller| admin.for_caller(caller);
            connection::serve(accepted, &context, make).await;
            drop(permit);
        });
    }

    async fn close_oldest_idle(&self, _: usize) -> bool {
        self.context.registry.close_oldest_idle()
    }
}

/// Where a connection comes from. Without an address it counts as remote.
fn peer(accepted: &Accepted) -> Peer {
    let address = match accepted {
        Accepted::Unix(_) => return Peer::Unix,
        Accepted::Tcp(stream) | Accepted::Tls(stream, _) => stream.peer_addr(),
        #[cfg(test)]
        Accepted::Duplex(_) => return Peer::Loopback,
    };
    match address {
        Ok(address) if address.ip().to_canonical().is_loopback() => Peer::Loopback,
        Ok(_) | Err(_) => Peer::Remote,
    }
}
