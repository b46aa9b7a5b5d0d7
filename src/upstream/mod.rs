//! Connections to the gateway: opened over TLS, reused, one pool per worker.
//!
//! A signature must be made when the connection is there and not before, so a request takes two calls:
//! [`Upstream::acquire`] returns a connection, the caller signs, then [`Connection::send`] sends. A client that
//! does both in one call cannot sign anew when it tries again.
//!
//! Small requests share HTTP/2 connections if the gateway supports it and enough of them are in flight, which
//! takes fewer system calls. Long and streamed bodies have an HTTP/1.1 connection of their own: there they cost
//! less, and nobody waits behind them.
//!
//! Everything here belongs to one worker thread, so nothing is locked.
//!
//! # What can go wrong
//!
//! The gateway may close an idle connection just as a request is sent over it. [`SendError`] says how far the request
//! got, and so whether it may be sent again.

mod connection;
mod connector;
mod oneshot;
mod pool;
mod probe;
#[cfg(test)]
mod tests;
mod tls;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::uri::Authority;
use http_body::Body;
use tokio::time::timeout;

use crate::config::{PoolConfig, Route};
use crate::error::Error;
pub use connection::{AnswerLimits, BoxError, Connection, SendError, Stream};
use connection::{Concurrency, Http1Connection, Http2Connections, Http2Stream};
pub use connector::{ConnectTimes, Network, Resolver};
pub(crate) use connector::{Lookup, Origin};
pub use oneshot::{OneshotError, OneshotResponse};
pub use pool::PoolStats;
use pool::{Pool, PoolLimits};
pub use probe::{Probe, Secured};
pub(crate) use tls::AlpnOffer;
pub use tls::{TlsSettings, TlsSetupError};

/// How often idle connections are examined.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a request waits for another one to open a connection that both can share.
const SHARED_OPEN_LIMIT: Duration = Duration::from_millis(300);

/// How long a gateway may take to begin with HTTP/2 after it agreed to it.
const HTTP2_START_LIMIT: Duration = Duration::from_secs(1);

/// The upstreams of one worker.
#[derive(Debug)]
pub struct Upstream<B> {
    targets: Vec<Target<B>>,
    network: Network,
    pool_limits: PoolLimits,
    connect_timeout: Duration,
    answer_limits: AnswerLimits,
    /// Whether HTTP/2 is offered to gateways.
    has_http2: bool,
}

/// One origin, with its connections.
#[derive(Debug)]
struct Target<B> {
    /// The authority as configured, for metrics.
    name: String,
    origin: Origin,
    lookup: Lookup,
    pool: Rc<Pool<Http1Connection<B>>>,
    http2: Http2Connections<B>,
    concurrency: Concurrency,
}

/// A connection for one request, without its permit.
enum Opened<B> {
    Http1(Http1Connection<B>),
    Http2(Http2Stream<B>),
}

/// One of the origins of an [`Upstream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(usize);

impl OriginId {
    /// Its index, counted from 0 in the order in which origins were added.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// Which connections a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One that was used before, if there is one.
    Any,
    /// A new one, or a shared one that is known to work: others may have been closed in the meantime.
    Fresh,
}

/// How a request uses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It may share it with others, if the gateway supports HTTP/2.
    Shared,
    /// It needs HTTP/2, if the gateway supports that, also where no other request is in flight.
    Http2,
    /// It has it for itself.
    Exclusive,
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// The upstream of one of `workers` workers, without origins. `connect_timeout` bounds name lookup, TCP and
    /// TLS together.
    #[must_use]
    pub fn new(
        network: Network,
        pool: &PoolConfig,
        connect_timeout: Duration,
        answer_limits: AnswerLimits,
        workers: usize,
    ) -> Self {
        Self {
            targets: Vec::new(),
            network,
            pool_limits: PoolLimits {
                connections: pool.connections.div_ceil(workers),
                idle: pool.idle,
                age: pool.age,
            },
            connect_timeout,
            answer_limits,
            has_http2: pool.http2,
        }
    }

    /// Adds the origin of a route. Routes that differ only in their path share one, and its connections.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::ServerName`] if the host cannot be the name of a certificate.
    pub fn add(&mut self, route: &Route) -> Result<OriginId, TlsSetupError> {
        let origin = Origin::new(route)?;
        if let Some(at) = self.targets.iter().position(|known| known.origin == origin) {
            return Ok(OriginId(at));
        }
        let authority = route.upstream.authority.as_bytes();
        let authority = Authority::try_from(authority).map_err(|_| TlsSetupError::ServerName)?;
        self.targets.push(Target {
            name: authority.as_str().to_owned(),
            origin,
            lookup: Lookup::default(),
            pool: Rc::new(Pool::new(self.pool_limits)),
            http2: Http2Connections::new(authority, self.answer_limits),
            concurrency: Concurrency::default(),
        });
        Ok(OriginId(self.targets.len() - 1))
    }

    /// Whether another upstream would open and keep connections in the same way.
    #[must_use]
    pub fn same_config(&self, other: &Self) -> bool {
        self.network.same_config(&other.network)
            && self.pool_limits == other.pool_limits
            && self.connect_timeout == other.connect_timeout
            && self.answer_limits == other.answer_limits
            && self.has_http2 == other.has_http2
            && self.targets.len() == other.targets.len()
            && (self.targets.iter().zip(&other.targets)).all(|(one, two)| one.origin == two.origin)
    }

    /// Each origin with its authority and the statistics of its pool.
    pub fn pool_stats(&self) -> impl Iterator<Item = (OriginId, &str, PoolStats)> {
        let targets = self.targets.iter().enumerate();
        targets.map(|(at, target)| (OriginId(at), target.name.as_str(), target.pool.stats()))
    }

    /// Acquires a connection for one request, and says how long opening it took. To be called within a `LocalSet`.
    ///
    /// # Errors
    ///
    /// [`Error::NoConnection`] if all connections that there may be are in use, and what went wrong while
    /// connecting: [`Error::Dns`], [`Error::UpstreamUnreachable`], [`Error::EgressRefused`],
    /// [`Error::Tls`] or [`Error::ConnectTimeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes a connection that was being opened, and loses nothing else.
    pub async fn acquire(
        &self,
        origin: OriginId,
        reuse: Reuse,
        mode: Mode,
    ) -> Result<(Connection<B>, ConnectTimes), Error> {
        let target = &self.targets[origin.0];
        let permit = target.pool.permit(self.connect_timeout).await?;
        let is_worth_sharing = target.concurrency.record(target.pool.in_flight());
        let wants_http2 = match mode {
            Mode::Shared => is_worth_sharing,
            Mode::Http2 => true,
            Mode::Exclusive => false,
        };
        let may_share = wants_http2
            && self.has_http2
            && target.origin.is_secure()
            && target.http2.is_possible();
        let (opened, times) = if may_share {
            self.shared(target, reuse).await?
        } else {
            self.exclusive(target, reuse).await?
        };
        let connection = match opened {
            Opened::Http1(connection) => Connection::http1(connection, &target.pool, permit),
            Opened::Http2(stream) => Connection::http2(stream, permit),
        };
        Ok((connection, times))
    }

    /// Evicts closed, expired and old connections, forever.
    pub async fn maintain(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            ticks.tick().await;
            for target in &self.targets {
                target.concurrency.tick();
                target.evict();
            }
        }
    }

    async fn exclusive(
        &self,
        target: &Target<B>,
        reuse: Reuse,
    ) -> Result<(Opened<B>, ConnectTimes), Error> {
        if reuse == Reuse::Any
            && let Some(connection) = target.pool.take()
        {
            return Ok((Opened::Http1(connection), ConnectTimes::default()));
        }
        self.open(target, AlpnOffer::Http1).await
    }

    /// A stream of a shared connection, or an HTTP/1.1 connection if the gateway chooses that.
    async fn shared(
        &self,
        target: &Target<B>,
        reuse: Reuse,
    ) -> Result<(Opened<B>, ConnectTimes), Error> {
        let http2 = &target.http2;
        let find = || Some((Opened::Http2(http2.find()?), ConnectTimes::default()));
        // Connections on which a request failed are not among them, so even a fresh one need not be new.
        if let Some(found) = find() {
            return Ok(found);
        }
        if http2.is_likely() {
            // If that takes long, something is wrong, and each request opens its own.
            let Ok(_opening) = timeout(SHARED_OPEN_LIMIT, http2.opening.acquire()).await else {
                return self.exclusive(target, reuse).await;
            };
            if let Some(found) = find() {
                return Ok(found);
            }
            // The request before may have learned that there is nothing to wait for.
            if http2.is_likely() {
                return self.open(target, AlpnOffer::Http2).await;
            }
        }
        if reuse == Reuse::Any
            && let Some(connection) = target.pool.take()
        {
            return Ok((Opened::Http1(connection), ConnectTimes::default()));
        }
        let alpn = if http2.is_possible() {
            AlpnOffer::Http2
        } else {
            AlpnOffer::Http1
        };
        self.open(target, alpn).await
    }

    /// Opens a connection. The future is boxed: it would make each request larger by several KiB, and few need
    /// it.
    fn open<'a>(
        &'a self,
        target: &'a Target<B>,
        alpn: AlpnOffer,
    ) -> LocalBoxFuture<'a, Result<(Opened<B>, ConnectTimes), Error>> {
        Box::pin(self.try_open(target, alpn))
    }

    async fn try_open(
        &self,
        target: &Target<B>,
        alpn: AlpnOffer,
    ) -> Result<(Opened<B>, ConnectTimes), Error> {
        let limit = self.connect_timeout;
        let connected = (target.origin)
            .connect(&self.network, &target.lookup, alpn, limit)
            .await?;
        if connected.is_http2 {
            let starting = target.http2.start(connected.transport);
            let failure = match timeout(HTTP2_START_LIMIT, starting).await {
                Ok(Ok(stream)) => return Ok((Opened::Http2(stream), connected.times)),
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            tracing::debug!(%failure, "the gateway agreed to HTTP/2 and did not begin; using HTTP/1.1");
            target.http2.failed();
            return self.open(target, AlpnOffer::Http1).await;
        }
        if alpn == AlpnOffer::Http2 {
            target.http2.declined();
        }
        let connection = Http1Connection::start(connected.transport, self.answer_limits).await;
        let connection =
            connection.map_err(|error| Error::UpstreamUnreachable(std::io::Error::other(error)))?;
        Ok((Opened::Http1(connection), connected.times))
    }
}

impl<B> Target<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn evict(&self) {
        let (idle_limit, max_age) = (self.pool.idle_limit(), self.pool.max_age());
        for idle in self.http2.evict(idle_limit, max_age) {
            self.pool.learn(idle);
        }
        self.pool.evict(self.http2.idle());
    }
}
