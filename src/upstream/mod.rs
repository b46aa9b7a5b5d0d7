//! Connections to the gateway: opened over TLS, kept for reuse, one pool per worker.
//!
//! Its own room, because a signature must be made when the connection is there and not before:
//! [`Upstream::connection`] gives a connection, the caller signs, then [`Connection::send`] sends. A
//! client that does all of this in one call cannot sign anew when it tries again.
//!
//! Everything here belongs to one worker thread, so nothing is locked.
//!
//! # What can go wrong
//!
//! A connection that has been idle may be closed by the gateway just as a request is sent. If none of
//! it was written, [`Unsent::request`] has it back and it can be sent again.

mod connect;
mod pool;
mod tls;

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::config::UpstreamUrl;
use crate::error::Error;
use connect::Origin;
use pool::Pool;
pub use tls::{TlsSettings, TlsSetupError};

/// How often connections that were idle for too long are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// The upstreams of one worker, with bodies of type `B`.
#[derive(Debug)]
pub struct Upstream<B> {
    origins: Vec<(Origin, Rc<Pool<B>>)>,
    tls: TlsSettings,
    connect_timeout: Duration,
}

/// One of the upstreams that an [`Upstream`] was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(usize);

impl<B> Upstream<B>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
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
    pub async fn connection(&self, origin: OriginId) -> Result<Connection<B>, Error> {
        let (origin, pool) = &self.origins[origin.0];
        while let Some((mut sender, opened)) = pool.take() {
            // Not yet ready means that the task which drives it has not run since the last answer.
            if sender.ready().await.is_ok() {
                return Ok(Connection {
                    sender,
                    opened,
                    pool: Rc::clone(pool),
                    reused: true,
                });
            }
        }
        let sender = tokio::time::timeout(self.connect_timeout, origin.connect(&self.tls))
            .await
            .map_err(|_| Error::ConnectTimeout)??;
        Ok(Connection {
            sender,
            opened: Instant::now(),
            pool: Rc::clone(pool),
            reused: false,
        })
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

/// A connection to an upstream, taken out of its pool.
#[derive(Debug)]
pub struct Connection<B> {
    sender: SendRequest<B>,
    opened: Instant,
    pool: Rc<Pool<B>>,
    reused: bool,
}

impl<B: Body + 'static> Connection<B> {
    /// Whether it has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends a request; resolves when the head of the answer is there.
    ///
    /// # Errors
    ///
    /// [`Unsent`], with the request if nothing of it was written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up and closes the connection.
    pub async fn send(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Box<Unsent<B>>> {
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut failure| {
                let request = failure.take_message();
                Box::new(Unsent {
                    error: failure.into_error(),
                    request,
                })
            })
    }

    /// Puts the connection back for the next request. To be called only once the answer has been read
    /// to its end and the request has been sent to its end; otherwise drop the connection.
    pub fn release(self) {
        self.pool.put(self.sender, self.opened);
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Unsent<B> {
    /// What went wrong.
    pub error: hyper::Error,
    /// The request, if nothing of it was written to the connection.
    pub request: Option<Request<B>>,
}
