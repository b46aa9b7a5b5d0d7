//! Accepts connections and hands them to the workers.
//!
//! A connection is accepted first and gets its permit then. If there is none, the connections that
//! have been idle longest are closed, so that idle and silent callers cannot keep others out.
//!
//! # What can go wrong
//!
//! Accepting fails while the process has no file descriptors left. Only time can end that, so it is
//! tried again after a pause.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, WeakUnboundedSender};
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

    /// What is known beforehand of its only request, if it is one of the inspector.
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

/// A worker, as the accepting tasks see it.
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

/// A worker, as other threads see it. It does not keep the worker from ending.
#[derive(Debug)]
pub(super) struct RemoteWorker {
    load: Weak<()>,
    commands: WeakUnboundedSender<Command>,
}

impl From<&WorkerHandle> for RemoteWorker {
    fn from(worker: &WorkerHandle) -> Self {
        Self {
            load: Arc::downgrade(&worker.load),
            commands: worker.commands.downgrade(),
        }
    }
}

impl RemoteWorker {
    /// The number of its connections, and one more.
    pub(super) fn load(&self) -> usize {
        self.load.strong_count()
    }

    /// Gives it a connection. Returns false if it ends.
    pub(super) fn serve(&self, connected: Connected, permit: OwnedSemaphorePermit) -> bool {
        let worker = self.commands.upgrade().zip(self.load.upgrade());
        worker.is_some_and(|(commands, load)| {
            let command = Command::Serve(connected, (permit, load));
            commands.send(command).is_ok()
        })
    }
}

/// Hands out `limits.connections`; shared by all sockets.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) workers: Vec<WorkerHandle>,
    pub(super) permits: Arc<Semaphore>,
    /// The worker that evicts next. Connections are spread evenly, so turns evict about the oldest.
    pub(super) next: Cell<usize>,
}

impl Admission {
    /// Gives a connection to the worker that has the fewest, as soon as there is a permit.
    ///
    /// # Cancel safety
    ///
    /// Until then, it stays where it is.
    async fn admit(&self, accepted: &mut Option<Connected>) {
        if accepted.is_none() {
            return;
        }
        let permit = self.permit().await;
        let workers = self.workers.iter();
        let worker = workers.min_by_key(|worker| Arc::strong_count(&worker.load));
        if let Some((worker, accepted)) = worker.zip(accepted.take()) {
            let command = Command::Serve(accepted, (permit, Arc::clone(&worker.load)));
            if worker.commands.send(command).is_err() {
                tracing::error!("a worker has ended; the connection is closed");
            }
        }
    }

    /// A permit for one more connection. Idle connections are closed until there is one.
    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return permit;
        }
        tokio::select! {
            biased;
            permit = Arc::clone(&self.permits).acquire_owned() => {
                permit.expect("the semaphore is never closed")
            }
            never = self.evict() => match never {},
        }
    }

    async fn evict(&self) -> Infallible {
        loop {
            let worker = self.next.get();
            self.next.set((worker + 1) % self.workers.len());
            // A worker that has ended has no connections.
            let _ = self.workers[worker].commands.send(Command::CloseOldestIdle);
            tokio::time::sleep(EVICTION_PAUSE).await;
        }
    }
}

/// Accepts connections of one socket until `stop` is cancelled. Then the socket is closed at once;
/// a connection that was accepted and waits for a permit is still served.
pub(super) async fn accept(
    (socket, rules): (Listening, ListenRules),
    admission: Rc<Admission>,
    stop: CancellationToken,
) {
    let mut accepted = None;
    let accepting = accept_all(&socket, rules, &admission, &mut accepted);
    stop.run_until_cancelled(accepting).await;
    drop(socket);
    admission.admit(&mut accepted).await;
}

async fn accept_all(
    socket: &Listening,
    rules: ListenRules,
    admission: &Admission,
    accepted: &mut Option<Connected>,
) {
    let mut last_warning = None::<Instant>;
    loop {
        match socket.accept().await {
            Ok(next) => {
                *accepted = next.map(|next| (next, rules));
                admission.admit(accepted).await;
            }
            Err(error) => {
                if last_warning.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
                    tracing::warn!(%error, "accepting connections failed; it is tried again ten times a second");
                    last_warning = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
