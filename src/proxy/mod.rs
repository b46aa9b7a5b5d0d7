//! The pipeline: what happens to a request between the listener and the upstream, and back.
//!
//! ```text
//! Request ─admit─► Admitted ─prepare─► Prepared ─sign─► Signed ─forward─► Exchange ─relay─► Response
//! ```
//!
//! Each step takes the type that the one before made, and only `sign` makes a `Signed`, which is all
//! that `forward` takes: what failed to be signed cannot be sent. What goes wrong is an
//! [`Error`] until `respond` turns it into an answer.
//!
//! # What can go wrong
//!
//! A future of this room may be dropped at any await, when the caller goes away. Then the connection
//! to the upstream is closed rather than reused, and room in the [`Budget`] is given back.

mod admit;
mod body;
mod budget;
mod catch_panic;
mod cors;
mod forward;
mod head;
mod location;
mod message;
mod payload;
mod record;
mod reply;
mod respond;
mod sign;
mod tunnel;

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use tower::{Service, ServiceBuilder};

use crate::clock::Clock;
use crate::config::{Config, Limits, Methods, Route, SigningConfig, Timeouts};
use crate::error::Error;
use crate::guard::Guard;
use crate::upstream::{OriginId, TlsSettings, TlsSetupError, Upstream};
pub use body::{Blocks, Held, Relayed, RequestBody, ResponseBody, ResponseEnded, Streamed};
pub use budget::{Budget, Full, Room};
pub use message::{Announced, Request, Response};
pub use record::refused;
pub use sign::{SigningKey, SigningKeyError};
pub use tunnel::{TunnelEnded, tunnel};

/// What all workers share: it does not change while they run.
#[derive(Debug)]
pub struct Settings {
    guard: Guard,
    routes: Vec<Route>,
    methods: Methods,
    signing: SigningConfig,
    limits: Limits,
    timeouts: Timeouts,
    key: SigningKey,
    budget: Budget,
    blocks: Blocks,
}

impl Settings {
    /// The part of a configuration that the pipeline works by.
    #[must_use]
    pub fn new(config: &Config, guard: Guard, key: SigningKey) -> Self {
        Self {
            guard,
            routes: config.routes.clone(),
            methods: config.methods.clone(),
            signing: config.signing.clone(),
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            key,
            budget: Budget::new(config.limits.buffered),
            blocks: Blocks::default(),
        }
    }

    /// How long each phase of a request may take.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Gives memory for bodies that was not needed since the last call back to the system. To be called
    /// every few seconds.
    pub fn give_back_memory(&self) {
        self.blocks.give_back();
    }

    /// What a caller may make the proxy hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The pipeline of one worker thread.
#[derive(Debug)]
pub struct Pipeline {
    settings: Arc<Settings>,
    upstream: Upstream,
    /// The origin of each route.
    origins: Vec<OriginId>,
    clock: Clock,
}

impl Pipeline {
    /// A pipeline with a pool of its own.
    ///
    /// # Errors
    ///
    /// A [`TlsSetupError`] if a route's host cannot be the name of a certificate.
    pub fn new(settings: Arc<Settings>, tls: TlsSettings) -> Result<Self, TlsSetupError> {
        let mut upstream = Upstream::new(tls, settings.timeouts.connect);
        let origins = settings
            .routes
            .iter()
            .map(|route| upstream.add(&route.upstream))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            upstream,
            origins,
            clock: Clock::new(),
        })
    }

    /// What the pipeline works by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Closes upstream connections that have been idle for too long, for ever.
    pub async fn sweep(&self) {
        self.upstream.sweep().await;
    }

    /// Runs a request through all steps.
    async fn run(&self, request: Request) -> Result<Response, Error> {
        if let Some(answer) = cors::preflight(&self.settings, &request.head)? {
            return Ok(answer);
        }
        let admitted = admit::admit(&self.settings, request)?;
        let prepared = payload::prepare(&self.settings, admitted).await?;
        let exchange = forward::forward(self, prepared).await?;
        respond::relay(&self.settings, exchange)
    }
}

/// The pipeline as a service, for one connection of a caller's.
#[derive(Clone, Debug)]
pub struct Proxy(Rc<Pipeline>);

impl Proxy {
    /// The service with what lies around it.
    pub fn layered(
        pipeline: Rc<Pipeline>,
    ) -> impl Service<
        Request,
        Response = Response,
        Error = Infallible,
        Future = LocalBoxFuture<'static, Result<Response, Infallible>>,
    > + Clone {
        ServiceBuilder::new()
            // Outermost: everything below speaks in errors, and this is where they become answers.
            .layer(record::RecordLayer)
            // Inside, so that a panic is answered and recorded like any other failure.
            .layer(catch_panic::CatchPanicLayer)
            .service(Self(pipeline))
    }
}

impl Service<Request> for Proxy {
    type Response = Response;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let pipeline = Rc::clone(&self.0);
        Box::pin(async move { pipeline.run(request).await })
    }
}
