//! Connections to the gateway: opened over TLS, kept for reuse, one pool per worker.
//!
//! Its own room, because a signature must be made when the connection is there and not before:
//! [`Upstream::connection`] gives a connection, the caller signs, then [`Connection::poll_send`] sends. A
//! client that does all of this in one call cannot sign anew when it tries again.
//!
//! Everything here belongs to one worker thread, so nothing is locked.
//!
//! # What can go wrong
//!
//! A connection that has been idle may be closed by the gateway just as a request is sent. As long as
//! [`Connection::written`] has not grown, nothing of the request can have arrived.

mod connect;
mod connection;
mod pool;
mod tls;

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::UpstreamUrl;
use crate::error::Error;
use connect::Origin;
pub use connection::{Connection, Outgoing, ReceiveError, SendError};
use pool::Pool;
pub use tls::{TlsSettings, TlsSetupError};

/// How often connections that were idle for too long are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// The upstreams of one worker.
#[derive(Debug)]
pub struct Upstream {
    origins: Vec<(Origin, Rc<Pool>)>,
    tls: TlsSettings,
    connect_timeout: Duration,
}

/// One of the upstreams that an [`Upstream`] was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(usize);

impl Upstream {
    /// An upstream without origins. `connect_timeout` bounds name lookup, TCP and TLS together.
    #[must_use]
    pub fn new(tls: TlsSettings, connect_timeout: Duration) -> Self {
        Self {
            origins: Vec::new(),
            tls,
            connect_timeout,
        }
    }

    /// Adds the origin of an URL. URLs that differ in their base path only share one, and its connections.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::ServerName`] if the host cannot be the name of a certificate.
    pub fn add(&mut self, url: &UpstreamUrl) -> Result<OriginId, TlsSetupError> {
        let origin = Origin::new(url)?;
        if let Some(at) = self.origins.iter().position(|(known, _)| *known == origin) {
            return Ok(OriginId(at));
        }
        self.origins.push((origin, Rc::new(Pool::default())));
        Ok(OriginId(self.origins.len() - 1))
    }

    /// A connection that is ready for one request: an idle one, or a new one.
    ///
    /// # Errors
    ///
    /// What went wrong while connecting: [`Error::Dns`], [`Error::UpstreamUnreachable`], [`Error::Tls`]
    /// or [`Error::ConnectTimeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes a connection that was being opened, and loses nothing else.
    pub async fn connection(&self, origin: OriginId) -> Result<Connection, Error> {
        let (origin, pool) = &self.origins[origin.0];
        if let Some((wire, opened)) = pool.take() {
            return Ok(Connection::new(wire, opened, Rc::clone(pool), true));
        }
        let wire = tokio::time::timeout(self.connect_timeout, origin.connect(&self.tls))
            .await
            .map_err(|_| Error::ConnectTimeout)??;
        Ok(Connection::new(
            wire,
            Instant::now(),
            Rc::clone(pool),
            false,
        ))
    }

    /// Closes connections that have been idle for too long, for ever.
    pub async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            self.origins.iter().for_each(|(_, pool)| pool.sweep());
        }
    }
}
