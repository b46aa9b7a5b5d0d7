//! Connections to the gateway: opened over TLS, kept for reuse, one pool per worker.
//!
//! Its own room, because a signature must be made when the connection is there and not before:
//! [`Upstream::connection`] gives a connection, the caller signs, then [`Connection::poll_send`] sends. A
//! client that does all of this in one call cannot sign anew when it tries again.
//!
//! Small requests share connections with HTTP/2 if the gateway speaks it and there are enough of them at once
//! (`Crowd`), which takes fewer system calls.
//! Long and streamed bodies go over a connection of their own with HTTP/1.1: there they cost less, and
//! nobody waits behind them.
//!
//! Everything here belongs to one worker thread, so nothing is locked.
//!
//! # What can go wrong
//!
//! A connection that has been idle may be closed by the gateway just as a request is sent. As long as
//! [`Connection::written`] has not grown, nothing of the request can have arrived.

mod connect;
mod connection;
mod crowd;
mod errand;
mod occupancy;
mod pool;
mod probe;
mod race;
mod resolve;
mod session;
mod tls;
mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::config::{PoolConfig, Route};
use crate::error::Error;
pub use connect::Network;
use connect::{Made, Offer, Opened, Origin};
use connection::{Alone, Stream};
pub use connection::{Connection, Outgoing, ReceiveError, SendError, can_be_shared};
use crowd::Crowd;
pub use errand::{ErrandError, Reply};
pub use occupancy::Occupancy;
use pool::{Bounds, Pool};
pub use probe::{Probe, Secured};
use resolve::Lookup;
pub use resolve::Resolver;
use session::{Session, Sessions};
pub use tls::{TlsSettings, TlsSetupError};

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// How long a request waits for another one to open the connection that both could share.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long a gateway may take to begin with HTTP/2 once it has agreed to it.
const BEGINNING: Duration = Duration::from_secs(1);

/// How long opening warm connections pauses after it failed.
const PAUSE: Duration = Duration::from_secs(10);

/// The upstreams of one worker.
#[derive(Debug)]
pub struct Upstream {
    targets: Vec<Target>,
    network: Network,
    bounds: Bounds,
    connect_timeout: Duration,
    /// Whether HTTP/2 is offered to gateways.
    has_http2: bool,
}

/// One upstream, with what one worker has of it.
#[derive(Debug)]
struct Target {
    /// The host as the configuration has it, with the port if it is not the usual one.
    name: String,
    origin: Origin,
    lookup: Lookup,
    pool: Rc<Pool>,
    sessions: Sessions,
    crowd: Crowd,
}

/// What a request can go over.
enum Carrier {
    /// A connection, and whether it has carried a request before.
    Alone(Opened, bool),
    Shared(Rc<Session>),
}

/// One of the upstreams that an [`Upstream`] was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(usize);

impl OriginId {
    /// Its number, counted from 0 in the order in which upstreams were added.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// Which connections a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One that was used before, if there is one.
    Any,
    /// A new one: what was used before may have been closed in the meantime.
    Fresh,
}

/// How a request uses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Together with others, if the gateway speaks HTTP/2.
    Shared,
    /// By itself.
    Alone,
}

impl Upstream {
    /// An upstream without origins, of one of so many workers. `connect_timeout` bounds name lookup, TCP
    /// and TLS together.
    #[must_use]
    pub fn new(
        network: Network,
        pool: &PoolConfig,
        connect_timeout: Duration,
        workers: usize,
    ) -> Self {
        let bounds = Bounds {
            connections: pool.connections.div_ceil(workers),
            idle: pool.idle,
            age: pool.age,
            warm: pool.warm.div_ceil(workers),
        };
        Self {
            targets: Vec::new(),
            network,
            bounds,
            connect_timeout,
            has_http2: pool.http2,
        }
    }

    /// Adds the origin of a route. Routes that differ in their path only share one, and its connections.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::ServerName`] if the host cannot be the name of a certificate.
    pub fn add(&mut self, route: &Route) -> Result<OriginId, TlsSetupError> {
        let origin = Origin::new(route)?;
        if let Some(at) = self.targets.iter().position(|known| known.origin == origin) {
            return Ok(OriginId(at));
        }
        let authority = &route.upstream.authority;
        self.targets.push(Target {
            name: authority.to_str().unwrap_or_default().to_owned(),
            origin,
            lookup: Lookup::default(),
            pool: Rc::new(Pool::new(self.bounds)),
            sessions: Sessions::default(),
            crowd: Crowd::default(),
        });
        Ok(OriginId(self.targets.len() - 1))
    }

    /// Whether connections would be made and kept in the same way as by another one.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        let origins = |of: &Self| -> Vec<Origin> {
            of.targets
                .iter()
                .map(|target| target.origin.clone())
                .collect()
        };
        self.network.is_as(&other.network)
            && self.bounds == other.bounds
            && self.connect_timeout == other.connect_timeout
            && self.has_http2 == other.has_http2
            && origins(self) == origins(other)
    }

    /// Each origin with the name of its host, and how many connections there are to it.
    pub fn occupancies(&self) -> impl Iterator<Item = (OriginId, &str, Occupancy)> {
        let targets = self.targets.iter().enumerate();
        targets.map(|(at, target)| (OriginId(at), target.name.as_str(), target.pool.occupancy()))
    }

    /// A connection that is ready for one request. To be called within a `LocalSet`.
    ///
    /// # Errors
    ///
    /// [`Error::NoConnection`] if as many as there may be are in use, and what went wrong while connecting:
    /// [`Error::Dns`], [`Error::UpstreamUnreachable`], [`Error::EgressRefused`], [`Error::Tls`] or
    /// [`Error::ConnectTimeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes a connection that was being opened, and loses nothing else.
    pub async fn connection(
        &self,
        origin: OriginId,
        choice: Choice,
        usage: Usage,
    ) -> Result<Connection, Error> {
        let target = &self.targets[origin.0];
        let slot = self.slot(&target.pool).await?;
        let is_crowd = target.crowd.counts(target.pool.active());
        let carrier = match usage {
            Usage::Shared if is_crowd && self.offers_http2(target) => {
                self.shared(target, choice).await?
            }
            Usage::Shared | Usage::Alone => self.alone(target, choice).await?,
        };
        Ok(match carrier {
            Carrier::Alone(opened, is_reused) => {
                let pool = Rc::clone(&target.pool);
                Connection::alone(Alone::new(opened, is_reused, pool, slot))
            }
            Carrier::Shared(session) => Connection::shared(Stream::new(session, slot)),
        })
    }

    /// Keeps idle connections in order, for ever: those that the gateway closes are dropped at once, those
    /// that were idle for too long within a second. To be called within a `LocalSet`.
    pub async fn tend(&self) {
        tokio::join!(self.watch(), self.keep_warm());
    }

    fn offers_http2(&self, target: &Target) -> bool {
        self.has_http2 && target.origin.is_secure() && target.sessions.may_be_offered()
    }

    /// A connection that nobody else uses.
    async fn alone(&self, target: &Target, choice: Choice) -> Result<Carrier, Error> {
        if choice == Choice::Any
            && let Some(opened) = target.pool.take()
        {
            return Ok(Carrier::Alone(opened, true));
        }
        self.open(target, Offer::Http1).await
    }

    /// A connection that others use as well, or one of its own if the gateway does not speak HTTP/2.
    async fn shared(&self, target: &Target, choice: Choice) -> Result<Carrier, Error> {
        let sessions = &target.sessions;
        let found = || sessions.find().map(Carrier::Shared);
        // One over which a request has failed is not among them, so even a fresh one need not be new.
        if let Some(found) = found() {
            return Ok(found);
        }
        if sessions.are_likely() {
            // If that takes long, something is amiss, and each request sees to itself.
            let Ok(_turn) = timeout(PATIENCE, sessions.opening.acquire()).await else {
                return self.alone(target, choice).await;
            };
            if let Some(found) = found() {
                return Ok(found);
            }
            // Who had the turn before may have learned that there is nothing to wait for.
            if sessions.are_likely() {
                return self.open(target, Offer::Both).await;
            }
        }
        if choice == Choice::Any
            && let Some(opened) = target.pool.take()
        {
            return Ok(Carrier::Alone(opened, true));
        }
        let offer = if sessions.may_be_offered() {
            Offer::Both
        } else {
            Offer::Http1
        };
        self.open(target, offer).await
    }

    /// Opens a connection. What that takes lies in a place of its own, for it would make each request larger
    /// by several KiB, and nearly none needs it.
    fn open<'a>(
        &'a self,
        target: &'a Target,
        offer: Offer,
    ) -> LocalBoxFuture<'a, Result<Carrier, Error>> {
        Box::pin(self.try_open(target, offer))
    }

    async fn try_open(&self, target: &Target, offer: Offer) -> Result<Carrier, Error> {
        let opening =
            target
                .origin
                .open(&self.network, &target.lookup, offer, self.connect_timeout);
        match opening.await? {
            Made::Http1(opened) => {
                if offer == Offer::Both {
                    target.sessions.declined();
                }
                Ok(Carrier::Alone(opened, false))
            }
            Made::Http2(stream) => {
                if let Ok(Ok(session)) = timeout(BEGINNING, target.sessions.start(*stream)).await {
                    return Ok(Carrier::Shared(session));
                }
                tracing::debug!(
                    "a gateway has agreed to HTTP/2 and not begun with it; HTTP/1.1 it is"
                );
                target.sessions.failed();
                self.open(target, Offer::Http1).await
            }
        }
    }

    async fn slot(&self, pool: &Pool) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(slot) = pool.slots().try_acquire_owned() {
            return Ok(slot);
        }
        match timeout(self.connect_timeout, pool.slots().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Error::NoConnection),
        }
    }

    async fn watch(&self) {
        let mut ticks = tokio::time::interval(SWEEP);
        poll_fn(|cx| {
            while ticks.poll_tick(cx).is_ready() {
                self.targets.iter().for_each(|target| target.crowd.look());
            }
            // Woken by the clock or by the end of a connection, and it does not matter which.
            for target in &self.targets {
                target.pool.sweep(cx);
                target.sessions.sweep(&target.pool, &self.bounds);
            }
            Poll::<()>::Pending
        })
        .await;
    }

    async fn keep_warm(&self) {
        if self.bounds.warm == 0 {
            return;
        }
        loop {
            let mut pause = SWEEP;
            for target in &self.targets {
                if let Err(error) = self.warm_up(target).await {
                    let cause = error.cause();
                    tracing::debug!(%cause, "a connection could not be kept ready: {error}");
                    pause = PAUSE;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens connections until enough are ready: of those that a request by itself takes.
    async fn warm_up(&self, target: &Target) -> Result<(), Error> {
        while let Some(_slot) = target.pool.wants_warm() {
            if let Carrier::Alone(opened, _) = self.open(target, Offer::Http1).await? {
                target.pool.put(opened);
            }
        }
        Ok(())
    }
}
