//! Accepts connections and hands them to the workers.
//!
//! A connection is accepted first and gets its permit then. If there is none, the connections that have been
//! idle longest are closed, so that idle and silent callers cannot keep others out.
//!
//! # What can go wrong
//!
//! Accepting fails while the process has no file descriptors left. Only time can end that, so it waits a
//! moment and goes on.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long accepting pauses after it failed, usually for a lack of file descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// How long a connection that was closed may take to give its permit back before the next one is closed.
const CLOSING: Duration = Duration::from_millis(10);

/// How long to wait when all connections are busy.
const ALL_BUSY: Duration = Duration::from_millis(100);

/// A connection that was accepted.
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Tls(std::net::TcpStream, TlsAcceptor),
    Unix(std::os::unix::net::UnixStream),
    #[cfg(test)]
    Duplex(tokio::io::DuplexStream),
}

/// Gives the acceptor with the certificate of the moment.
pub(super) type CurrentAcceptor = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// Tells whether processes of a user may connect.
pub(super) type UidFilter = Arc<dyn Fn(u32) -> bool + Send + Sync>;

/// A socket that is accepted from.
pub(super) enum Listening {
    Tcp(tokio::net::TcpListener),
    Tls(tokio::net::TcpListener, CurrentAcceptor),
    Unix(tokio::net::UnixListener, UidFilter),
}

impl Listening {
    /// The next connection; `None` for one that is gone already, or may not connect.
    async fn accept(&self) -> io::Result<Option<Accepted>> {
        match self {
            Self::Tcp(socket) => Ok(accept_tcp(socket).await?.map(Accepted::Tcp)),
            Self::Tls(socket, current) => {
                let stream = accept_tcp(socket).await?;
                Ok(stream.map(|stream| Accepted::Tls(stream, current())))
            }
            Self::Unix(socket, is_allowed) => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred().map(|peer| peer.uid());
                if !uid.as_ref().is_ok_and(|uid| is_allowed(*uid)) {
                    tracing::info!(
                        uid = uid.ok(),
                        "a user that is not in unix_socket.allowed_uids was refused"
                    );
                    return Ok(None);
                }
                Ok(stream.into_std().ok().map(Accepted::Unix))
            }
        }
    }
}

async fn accept_tcp(socket: &tokio::net::TcpListener) -> io::Result<Option<std::net::TcpStream>> {
    let (stream, _) = socket.accept().await?;
    // Without it, small answers would wait for acknowledgements. A connection that is gone already is no
    // failure to accept.
    let stream = stream.set_nodelay(true).and_then(|()| stream.into_std());
    Ok(stream.ok())
}

/// The workers, as the accepting tasks see them.
pub(super) trait Workers {
    /// How many there are.
    fn count(&self) -> usize;

    /// Gives a connection to the worker that has the fewest. The permit is held until the connection ends.
    fn serve(&self, accepted: Accepted, permit: OwnedSemaphorePermit);

    /// Has one worker call [`Registry::close_oldest_idle`]; resolves to what that returned.
    ///
    /// [`Registry::close_oldest_idle`]: super::registry::Registry::close_oldest_idle
    fn close_oldest_idle(&self, worker: usize) -> impl Future<Output = bool>;
}

/// Hands out `limits.connections`; shared by all sockets.
pub(super) struct Admission<W> {
    pub(super) workers: W,
    permits: Arc<Semaphore>,
    /// The worker that is asked next. Connections are spread evenly, so taking turns closes about the oldest.
    next: Cell<usize>,
}

impl<W: Workers> Admission<W> {
    pub(super) fn new(workers: W, permits: Arc<Semaphore>) -> Self {
        Self {
            workers,
            permits,
            next: Cell::new(0),
        }
    }

    /// Gives a connection to a worker as soon as there is a permit for it.
    ///
    /// # Cancel safety
    ///
    /// Until then, it stays where it is.
    async fn admit(&self, accepted: &mut Option<Accepted>) {
        if accepted.is_none() {
            return;
        }
        let permit = self.permit().await;
        if let Some(accepted) = accepted.take() {
            self.workers.serve(accepted, permit);
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
            never = self.make_room() => match never {},
        }
    }

    async fn make_room(&self) -> Infallible {
        loop {
            let pause = if self.close_oldest_idle().await {
                CLOSING
            } else {
                ALL_BUSY
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn close_oldest_idle(&self) -> bool {
        for _ in 0..self.workers.count() {
            let worker = self.next.get();
            self.next.set((worker + 1) % self.workers.count());
            if self.workers.close_oldest_idle(worker).await {
                return true;
            }
        }
        false
    }
}

/// Accepts connections of one socket until `stop` is cancelled. Then the socket is closed at once; a connection
/// that was accepted and waits for a permit is still served.
pub(super) async fn accept<W: Workers>(
    socket: Listening,
    admission: Rc<Admission<W>>,
    stop: CancellationToken,
) {
    let mut accepted = None;
    stop.run_until_cancelled(accept_all(&socket, &admission, &mut accepted))
        .await;
    drop(socket);
    admission.admit(&mut accepted).await;
}

async fn accept_all<W: Workers>(
    socket: &Listening,
    admission: &Admission<W>,
    accepted: &mut Option<Accepted>,
) {
    let mut fails = false;
    loop {
        match socket.accept().await {
            Ok(next) => {
                fails = false;
                *accepted = next;
                admission.admit(accepted).await;
            }
            Err(error) => {
                // Once is enough: a log that is full of it helps nobody.
                if !fails {
                    tracing::warn!(%error, "accepting connections failed; it is tried again ten times a second");
                }
                fails = true;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
