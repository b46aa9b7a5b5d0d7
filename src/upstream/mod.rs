//! Connections to the gateway: opened over TLS, reused, one pool per worker.
//!
//! A signature must be made when the connection is there and not before, so a request takes two
//! calls: `Upstream::acquire` returns a connection, the caller signs, then `Connection::send`
//! sends. A client that does both in one call cannot sign the retry again.
//!
//! Small requests share HTTP/2 connections if the gateway supports it and enough of them are in
//! flight, which takes fewer system calls. Long and streamed bodies have an HTTP/1.1 connection of
//! their own: there they cost less, and no other request waits behind them.
//!
//! Everything here belongs to one worker thread, so nothing is locked.
//!
//! # What can go wrong
//!
//! The gateway may close an idle connection just as a request is sent over it. The error says
//! how far the request got, and so if it may be sent again.

mod acquired;
mod connection;
mod connector;
mod happy_eyeballs;
mod oneshot;
mod pool;
mod resolve;
#[cfg(test)]
mod tests;
mod tls;

use std::cell::Cell;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use http::uri::Authority;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::either::Either;

use crate::config::{Config, PoolConfig, Route};
use crate::error::Error;
pub(crate) use acquired::Connection;
use acquired::Protocol;
pub(crate) use connection::GatewayBody;
pub use connection::SendBody;
use connection::{Http1Connection, Http2Connection, Http2Origin, Http2Support, OFFER_AGAIN_AFTER};
pub use connector::Network;
use connector::Origin;
pub(crate) use connector::{ConnectTimes, Probe};
pub use oneshot::OneshotError;
use pool::Pool;
pub(crate) use pool::PoolStats;
use resolve::Lookup;
pub use resolve::Resolver;
use tls::HTTP2;
pub use tls::{TlsSettings, TlsSetupError};

/// How often idle connections are examined.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a request waits for another one to open a connection for both.
const SHARED_OPEN_LIMIT: Duration = Duration::from_millis(300);

/// How long a gateway may take to begin with HTTP/2 after it agreed to it.
const HTTP2_START_LIMIT: Duration = Duration::from_secs(1);

/// The upstreams of one worker.
#[derive(Debug)]
pub struct Upstream<B: SendBody> {
    config: UpstreamConfig,
    targets: Vec<Target<B>>,
}

/// How connections are opened and kept.
#[derive(Debug, PartialEq, Eq)]
struct UpstreamConfig {
    network: Network,
    /// This worker's share.
    pool: PoolConfig,
    /// For name lookup, TCP and TLS together.
    connect_timeout: Duration,
    /// The longest head of a response, in bytes.
    max_answer_head: usize,
}

#[derive(Debug)]
struct Target<B: SendBody> {
    origin: Origin,
    lookup: Lookup,
    pool: Rc<Pool<B>>,
    http2: Rc<Http2Origin>,
}

/// Which connections a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// One that was used before, if there is one.
    Any,
    /// A new one, or a shared one that is known to work: others may have been closed in the
    /// meantime.
    Fresh,
}

/// How a request uses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It may share it with others, if the gateway supports HTTP/2.
    Shared,
    /// It needs HTTP/2, if the gateway supports that, also where no other request is in flight.
    Http2,
    /// It has it for itself.
    Exclusive,
}

impl<B: SendBody> Upstream<B> {
    /// The upstream of one of `workers` workers, without origins.
    pub(crate) fn new(network: Network, config: &Config, workers: usize) -> Self {
        let mut pool = config.pool.clone();
        pool.connections = pool.connections.div_ceil(workers);
        let config = UpstreamConfig {
            network,
            pool,
            connect_timeout: config.timeouts.connect,
            max_answer_head: config.limits.answer_header,
        };
        let targets = Vec::new();
        Self { config, targets }
    }

    /// Adds the origin of a route, and returns its index. Routes that differ only in their path
    /// share one, and its connections.
    pub(crate) fn add(&mut self, route: &Route) -> usize {
        let origin = Origin::new(&route.upstream);
        if let Some(at) = self.targets.iter().position(|known| known.origin == origin) {
            return at;
        }
        let authority = route.upstream.authority.as_bytes();
        let http2 = Http2Origin {
            authority: Authority::try_from(authority).expect("the authority of a URL is one"),
            max_head: self.config.max_answer_head,
            support: Cell::default(),
        };
        self.targets.push(Target {
            origin,
            lookup: Lookup::default(),
            pool: Rc::new(Pool::new(&self.config.pool)),
            http2: Rc::new(http2),
        });
        self.targets.len() - 1
    }

    /// True if another upstream would open and keep connections in the same way.
    pub(crate) fn same_config(&self, other: &Self) -> bool {
        let ours = self.targets.iter().map(|target| &target.origin);
        let theirs = other.targets.iter().map(|target| &target.origin);
        self.config == other.config && ours.eq(theirs)
    }

    /// How its connections are made.
    pub(crate) fn network(&self) -> &Network {
        &self.config.network
    }

    /// The authority of each origin and the statistics of its pool, by index.
    pub(crate) fn pool_stats(&self) -> impl Iterator<Item = (&str, PoolStats)> {
        let targets = self.targets.iter();
        targets.map(|target| (target.http2.authority.as_str(), target.pool.stats()))
    }

    /// Acquires a connection for one request, within a `LocalSet`. Dropping the future closes a
    /// connection that was being opened, and loses nothing else.
    pub(crate) async fn acquire(
        &self,
        origin: usize,
        reuse: Reuse,
        mode: Mode,
    ) -> Result<Connection<B>, Error> {
        let target = &self.targets[origin];
        let permit = target.pool.permit(self.config.connect_timeout).await?;
        let is_concurrent = target.pool.is_above_threshold();
        let wants_http2 = mode == Mode::Http2 || (mode == Mode::Shared && is_concurrent);
        let may_share = wants_http2 && self.config.pool.http2 && target.origin.is_secure();
        let (protocol, connect_times) = self.pooled_or_new(target, reuse, may_share).await?;
        Ok(Connection {
            protocol,
            permit,
            connect_times,
        })
    }

    /// Evicts closed, expired and old connections, until the upstream is dropped.
    pub(crate) async fn maintain(upstream: Weak<Self>) {
        while let Some(upstream) = upstream.upgrade() {
            (upstream.targets.iter()).for_each(|target| target.pool.evict());
            drop(upstream);
            sleep(SWEEP_INTERVAL).await;
        }
    }

    async fn pooled_or_new(
        &self,
        target: &Target<B>,
        reuse: Reuse,
        mut may_share: bool,
    ) -> Result<(Protocol<B>, ConnectTimes), Error> {
        let pool = &target.pool;
        let support = || target.http2.support.get();
        let mut opening = None;
        if may_share && support().is_possible() {
            // Those on which a request failed are not among them, so even a fresh one may be shared.
            let mut shared = pool.shared();
            if shared.is_none() && support().is_likely() {
                // If that takes long, something is wrong, and each request opens its own.
                let turn = timeout(SHARED_OPEN_LIMIT, pool.opening.acquire());
                opening = turn.await.ok();
                may_share = opening.is_some();
                shared = pool.shared();
            }
            if let Some(shared) = shared {
                return Ok((Protocol::Http2(shared, None), ConnectTimes::default()));
            }
        }
        // The request before may have learned that there is nothing to wait for.
        may_share &= support().is_possible();
        if !may_share || !support().is_likely() {
            drop(opening.take());
            if reuse == Reuse::Any
                && let Some(connection) = pool.take()
            {
                let protocol = Protocol::Http1(connection, Rc::clone(pool));
                return Ok((protocol, ConnectTimes::default()));
            }
        }
        Box::pin(self.open(target, may_share)).await
    }

    /// Opens a connection. Box the future: it would make each request larger by several KiB, and
    /// few need it.
    async fn open(
        &self,
        target: &Target<B>,
        offers_http2: bool,
    ) -> Result<(Protocol<B>, ConnectTimes), Error> {
        let Target { origin, http2, .. } = target;
        let network = &self.config.network;
        let (host, port) = origin.first_hop();
        let addresses = target.lookup.addresses(&network.resolver, host, port);
        let limit = self.config.connect_timeout;
        let connecting = origin.connect(network, addresses, offers_http2, limit);
        let (transport, times) = connecting.await?;
        if matches!(&transport, Either::Right(tls) if tls.get_ref().1.alpn_protocol() == Some(HTTP2))
        {
            let starting = Http2Connection::start(transport, http2);
            let failure = match timeout(HTTP2_START_LIMIT, starting).await {
                Ok(Ok(connection)) => {
                    http2.learn(Http2Support::Likely);
                    return Ok((Protocol::Http2(target.pool.share(connection), None), times));
                }
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            tracing::debug!(%failure, "the gateway agreed to HTTP/2 and did not begin");
            let until = Instant::now() + OFFER_AGAIN_AFTER;
            http2.learn(Http2Support::Unusable(until));
            return Box::pin(self.open(target, false)).await;
        }
        if offers_http2 {
            http2.learn(Http2Support::Declined);
        }
        let connection = Http1Connection::start(transport, self.config.max_answer_head).await;
        let unusable = |error| Error::UpstreamUnreachable(io::Error::other(error));
        let connection = connection.map_err(unusable)?;
        Ok((Protocol::Http1(connection, Rc::clone(&target.pool)), times))
    }
}
