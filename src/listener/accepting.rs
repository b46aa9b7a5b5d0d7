//! Accepts connections, and hands them to the workers.
//!
//! # What can go wrong
//!
//! Accepting fails while the process has no file descriptors left. Only time can end that, so it waits a
//! moment, and goes on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::sockets::{Accepted, Bound};
use super::tls::ServerTls;
use super::unix::Door;
use super::workers::{Admitted, Workers};

/// How long accepting pauses after it failed. A failure is usually a lack of file descriptors, which
/// only time can end.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is accepted from.
pub(super) enum Open {
    Tcp(tokio::net::TcpListener, Option<ServerTls>),
    Unix(tokio::net::UnixListener, Arc<Door>),
}

impl Open {
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(socket, tls) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?, tls),
            Bound::Unix(socket, door) => {
                Self::Unix(tokio::net::UnixListener::from_std(socket)?, door)
            }
        })
    }

    /// The next connection; `None` for one that may not come in.
    pub(super) async fn accept(&self) -> io::Result<Option<Accepted>> {
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
pub(super) async fn accept(socket: Open, workers: Arc<Workers>, slots: Arc<Semaphore>) {
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
