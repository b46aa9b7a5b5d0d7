//! The admin listener: one socket, served by the thread that accepts, so that it answers while the
//! workers are busy, and has nothing of theirs to wait for.
//!
//! # What can go wrong
//!
//! Somebody may open connections and send nothing. There are only so many of them at once, each has to
//! send its request within `timeouts.header_read`, and ends with the answer to it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::accepting::PAUSE;
use super::connection::{self, Ending};
use super::passed;
use super::sockets::{Accepted, BindError, bind};
use crate::admin::Admin;
use crate::config::Access;
use crate::guard::Guard;
use crate::proxy::{Settings, refused};

/// Connections that are served at once. Further ones wait.
const CONNECTIONS: usize = 64;

/// Where health and metrics are asked for.
#[derive(Debug)]
pub(super) struct Desk {
    socket: std::net::TcpListener,
    address: SocketAddr,
    guard: Guard,
}

impl Desk {
    /// Binds its address.
    ///
    /// # Errors
    ///
    /// A [`BindError`] that names `--admin`.
    pub(super) fn bind(address: SocketAddr, access: &Access) -> Result<Self, BindError> {
        let (address, socket) = bind(address, "--admin")?;
        Ok(Self::at(address, socket, access))
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be used.
    pub(super) fn take(socket: std::net::TcpListener, access: &Access) -> io::Result<Self> {
        Ok(Self::at(socket.local_addr()?, passed::own(socket)?, access))
    }

    fn at(address: SocketAddr, socket: std::net::TcpListener, access: &Access) -> Self {
        Self {
            socket,
            address,
            guard: Guard::new(access, &[address]),
        }
    }

    /// The bound address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
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
        let socket = TcpListener::from_std(self.socket)?;
        let mut admin = Admin::new(self.guard, settings.clone(), stopping, quit);
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = socket.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, peer)) => {
                        if settings.has_changed().unwrap_or(false) {
                            let now = Arc::clone(&settings.borrow_and_update());
                            admin = admin.guarded_by(Guard::new(now.access(), &[self.address]));
                        }
                        let admin = admin.clone().asked_by(peer.ip());
                        connections.push(serve(stream, admin, Arc::clone(&settings.borrow())));
                    }
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

async fn serve(stream: TcpStream, admin: Admin, settings: Arc<Settings>) {
    if let Ok(stream) = stream.into_std() {
        let refuse = |error: &_, _| refused("", error);
        // A connection carries one request, so there is nothing to drain.
        let accepted = Accepted::Tcp(stream, None);
        connection::serve(accepted, admin, refuse, &settings, Ending::default()).await;
    }
}
