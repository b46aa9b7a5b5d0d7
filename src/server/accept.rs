//! Accepts connections and hands them to the workers.
//!
//! A connection is accepted first and acquires its permit then. If none is left, the connections that
//! have been idle longest are closed, so that idle and silent callers cannot keep others out.
//!
//! # What can go wrong
//!
//! Accepting fails while the process has no file descriptors left. Only time helps, so it is retried
//! after a pause.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::unix::SocketAccess;
use crate::config::{ListenRules, Watched};
use crate::inspect::program::Replay;
use crate::proxy::Settings;
use crate::proxy::guard::ListenerKind;
use crate::upstream::Network;

/// The pause after accepting has failed, usually for a lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The shortest time between two warnings that accepting fails, so that the log does not fill.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How long an evicted connection may take to give its permit back before the next one is evicted.
const EVICTION_PAUSE: Duration = Duration::from_millis(10);

/// A connection that was accepted, and the rules of its listener.
pub(super) type Connected = (Accepted, ListenRules);

/// The stream of a connection that was accepted.
pub(super) enum Accepted {
    Tcp(std::net::TcpStream, Option<TlsAcceptor>),
    Unix(std::os::unix::net::UnixStream),
    /// A connection of the inspector.
    Replay(std::os::unix::net::UnixStream, Replay),
    #[cfg(test)]
    Duplex(tokio::io::DuplexStream),
}

impl Accepted {
    /// The kind of listener that the caller reached.
    pub(super) fn listener(&self) -> ListenerKind {
        match self {
            Self::Tcp(_, None) => ListenerKind::Tcp,
            Self::Tcp(_, Some(_)) => ListenerKind::Tls,
            Self::Unix(_) => ListenerKind::Unix,
            Self::Replay(..) => ListenerKind::Replay,
            #[cfg(test)]
            Self::Duplex(_) => ListenerKind::Tcp,
        }
    }

    /// What the inspector has set for the only request of its connection.
    pub(super) fn replay(&self) -> Option<Replay> {
        match self {
            Self::Replay(_, replay) => Some(*replay),
            _ => None,
        }
    }

    /// Returns true if the caller is a program of this machine. Without an address, it counts as
    /// remote.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(stream, _) => stream
                .peer_addr()
                .is_ok_and(|address| address.ip().to_canonical().is_loopback()),
            Self::Unix(_) | Self::Replay(..) => true,
            #[cfg(test)]
            Self::Duplex(_) => true,
        }
    }
}

/// A socket that connections are accepted from.
pub(super) enum Listening {
    Tcp(tokio::net::TcpListener, Option<Watched<TlsAcceptor>>),
    Unix(tokio::net::UnixListener, Arc<SocketAccess>),
}

impl Listening {
    /// The next connection; `None` for one that is gone already, or may not connect.
    async fn accept(&self) -> io::Result<Option<Accepted>> {
        match self {
            Self::Tcp(socket, tls) => {
                let (stream, _) = socket.accept().await?;
                // Without it, small responses would wait for acknowledgements.
                let stream = stream.set_nodelay(true).and_then(|()| stream.into_std());
                let acceptor = tls.as_ref().map(Watched::current);
                Ok(stream.ok().map(|stream| Accepted::Tcp(stream, acceptor)))
            }
            Self::Unix(socket, access) => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred().map(|peer| peer.uid()).ok();
                if !uid.is_some_and(|uid| access.allows(uid)) {
                    tracing::info!(
                        uid,
                        "a user that is not in unix_socket.allowed_uids was refused"
                    );
                    return Ok(None);
                }
                Ok(stream.into_std().ok().map(Accepted::Unix))
            }
        }
    }
}

/// The permit of a connection, and its share in the load of its worker.
pub(super) type ConnectionPermit = (OwnedSemaphorePermit, Arc<()>);

/// What a worker is told to do.
pub(super) enum Command {
    /// Serve a connection. The permit is held until it ends.
    Serve(Connected, ConnectionPermit),
    /// Close the connection that has been idle longest, if there is one.
    CloseOldestIdle,
    /// Use these settings from now on.
    Reload(Arc<Settings>, Network),
}

/// A worker, as seen from outside. It ends when all handles are dropped and its connections have
/// ended.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    /// One clone for each open connection.
    load: Arc<()>,
    pub(super) commands: UnboundedSender<Command>,
}

impl WorkerHandle {
    pub(super) fn new() -> (Self, UnboundedReceiver<Command>) {
        let (commands, received) = mpsc::unbounded_channel();
        let load = Arc::default();
        (Self { load, commands }, received)
    }
}

/// Hands out `limits.connections`, and connections to workers; shared by all sockets.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) workers: Vec<WorkerHandle>,
    pub(super) permits: Arc<Semaphore>,
    /// The worker that evicts next. Connections are spread evenly, so turns evict about the oldest.
    next: AtomicUsize,
}

impl Admission {
    pub(super) fn new(workers: Vec<WorkerHandle>, permits: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            workers,
            permits,
            next: AtomicUsize::new(0),
        })
    }

    /// Admits a connection if there is a permit now. Returns false if there is none, or the worker
    /// has ended.
    pub(super) fn try_admit(&self, connected: Connected) -> bool {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.is_ok_and(|permit| self.assign(connected, permit))
    }

    /// Admits a connection as soon as there is a permit. Idle connections are closed until then.
    async fn admit(&self, connected: Connected) {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::select! {
            biased;
            permit = permit => permit.expect("the semaphore is never closed"),
            never = self.evict() => match never {},
        };
        if !self.assign(connected, permit) {
            tracing::error!("a worker has ended; the connection is closed");
        }
    }

    /// Gives a connection to the worker that has the fewest. Returns false if that has ended.
    fn assign(&self, connected: Connected, permit: OwnedSemaphorePermit) -> bool {
        let workers = self.workers.iter();
        let worker = workers.min_by_key(|worker| Arc::strong_count(&worker.load));
        worker.is_some_and(|worker| {
            let command = Command::Serve(connected, (permit, Arc::clone(&worker.load)));
            worker.commands.send(command).is_ok()
        })
    }

    async fn evict(&self) -> Infallible {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
            // A worker that has ended has no connections.
            let _ = self.workers[next].commands.send(Command::CloseOldestIdle);
            tokio::time::sleep(EVICTION_PAUSE).await;
        }
    }
}

/// Accepts connections of one socket until `stop` is cancelled. Then the socket is closed at once;
/// a connection that was accepted and waits for a permit is still served.
pub(super) async fn accept(
    (socket, rules): (Listening, ListenRules),
    admission: Arc<Admission>,
    stop: CancellationToken,
) {
    let mut last_warning = None::<Instant>;
    while let Some(accepted) = stop.run_until_cancelled(socket.accept()).await {
        match accepted {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let mut admitting = pin!(admission.admit((accepted, rules)));
                let admitted = stop.run_until_cancelled(admitting.as_mut()).await;
                if admitted.is_none() {
                    drop(socket);
                    return admitting.await;
                }
            }
            Err(error) => {
                if last_warning.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
                    tracing::warn!(%error, "accepting connections failed; retrying ten times a second");
                    last_warning = Some(Instant::now());
                }
                stop.run_until_cancelled(tokio::time::sleep(ACCEPT_RETRY))
                    .await;
            }
        }
    }
}
