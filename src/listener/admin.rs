//! The admin listener: one socket, served by the thread that accepts, so that it answers while the
//! workers are busy, and has nothing of theirs to wait for.
//!
//! # What can go wrong
//!
//! Somebody may open connections and send nothing. There are only so many of them at once, each has to
//! send its request within `timeouts.header_read`, and ends with the answer to it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::accepting::{Open, PAUSE};
use super::connection::{self, Ending};
use super::passed::take_admin;
use super::sockets::{Accepted, BindError, Bound, bind_admin};
use crate::admin::{Admin, Peer};
use crate::config::{Access, AdminAddress, Config, PassedSocket};
use crate::guard::Guard;
use crate::proxy::{Settings, refused};

/// Connections that are served at once. Further ones wait.
const CONNECTIONS: usize = 64;

/// Where health and metrics are asked for.
#[derive(Debug)]
pub(super) struct Desk {
    bound: Bound,
    address: AdminAddress,
    guard: Guard,
}

impl Desk {
    /// Binds its address.
    ///
    /// # Errors
    ///
    /// A [`BindError`] that names `--admin`.
    pub(super) fn bind(address: &AdminAddress, config: &Config) -> Result<Self, BindError> {
        let (address, bound) = bind_admin(address, &config.unix_socket)?;
        Ok(Self::at(address, bound, &config.access))
    }

    /// Takes a socket that listens already, at this address.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be used.
    pub(super) fn take(
        socket: PassedSocket,
        address: &AdminAddress,
        config: &Config,
    ) -> io::Result<Self> {
        let bound = take_admin(socket, &config.unix_socket)?;
        Ok(Self::at(address.clone(), bound, &config.access))
    }

    fn at(address: AdminAddress, bound: Bound, access: &Access) -> Self {
        Self {
            guard: guard(access, &address),
            bound,
            address,
        }
    }

    /// The bound address.
    pub(super) fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Answers, for ever; `stopping` says whether the proxy takes no more requests, and `quit` is told when
    /// it is asked to.
    ///
    /// # Errors
    ///
    /// What the system says if the socket cannot be used.
    pub(super) async fn serve(
        self,
        mut settings: watch::Receiver<Arc<Settings>>,
        stopping: CancellationToken,
        quit: CancellationToken,
    ) -> io::Result<Infallible> {
        let socket = Open::new(self.bound)?;
        let mut admin = Admin::new(self.guard, settings.clone(), stopping, quit);
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = socket.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok(Some(accepted)) => {
                        if settings.has_changed().unwrap_or(false) {
                            let now = Arc::clone(&settings.borrow_and_update());
                            admin = admin.guarded_by(guard(now.access(), &self.address));
                        }
                        let admin = admin.clone().asked_by(peer(&accepted));
                        connections.push(serve(accepted, admin, Arc::clone(&settings.borrow())));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "accepting admin connections failed; it is tried again shortly");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(()) = connections.next() => {}
            }
        }
    }
}

fn guard(access: &Access, address: &AdminAddress) -> Guard {
    Guard::new(access, address.tcp().as_slice())
}

/// Where a connection comes from. One whose address is not known any more is taken for a remote one.
fn peer(accepted: &Accepted) -> Peer {
    match accepted {
        Accepted::Unix(_) => Peer::Unix,
        Accepted::Tcp(stream, _) => match stream.peer_addr() {
            Ok(address) if address.ip().to_canonical().is_loopback() => Peer::Loopback,
            Ok(_) | Err(_) => Peer::Remote,
        },
    }
}

async fn serve(accepted: Accepted, admin: Admin, settings: Arc<Settings>) {
    let refuse = |error: &_, _| refused("", error);
    // A connection carries one request, so there is nothing to drain.
    connection::serve(accepted, admin, refuse, &settings, Ending::default()).await;
}
