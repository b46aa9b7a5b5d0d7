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
mod attempt;
mod body;
mod budget;
mod catch_panic;
mod cors;
mod forward;
mod head;
mod keyring;
mod location;
mod lockout;
mod loop_detection;
mod message;
mod observe;
mod payload;
mod proof;
#[cfg(test)]
mod properties;
mod record;
mod redact;
mod refusal;
mod renewals;
mod reply;
mod respond;
mod route;
mod sending;
mod settings;
mod sign;
mod tunnel;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use tower::{Service, ServiceBuilder};

use crate::clock::{Clock, GatewayClock, parse_http_date};
use crate::error::Error;
use crate::telemetry::metrics::Meter;
use crate::upstream::{Network, OriginId, TlsSetupError, Upstream};
pub(crate) use admit::split_target;
pub use body::{Blocks, Held, Relayed, RequestBody, ResponseBody, ResponseEnded, Streamed};
pub use budget::{Budget, Full, Room};
pub use head::pass_unowned;
pub use keyring::Keyring;
use keyring::Ring;
use message::Observed;
pub use message::{Announced, Request, Response};
pub use record::refused;
use redact::redacted;
pub use settings::Settings;
pub use sign::{SigningKey, SigningKeyError};
pub use tunnel::{TunnelEnded, tunnel};

/// The pipeline of one worker thread.
#[derive(Debug)]
pub struct Pipeline {
    settings: Arc<Settings>,
    ring: Ring,
    upstream: Rc<Upstream>,
    /// The origin of each route.
    origins: Vec<OriginId>,
    clock: Clock,
    meter: Rc<Meter>,
    /// The last `Date` of each origin that was looked at: it says something new once a second only.
    dates: RefCell<Vec<Vec<u8>>>,
}

impl Pipeline {
    /// A pipeline with a pool of its own, of one of so many workers.
    ///
    /// # Errors
    ///
    /// A [`TlsSetupError`] if a route's host cannot be the name of a certificate.
    pub fn new(
        settings: Arc<Settings>,
        network: Network,
        workers: usize,
    ) -> Result<Self, TlsSetupError> {
        let meter = Rc::new(settings.metrics.meter());
        let (upstream, origins) = upstream(&settings, network, workers)?;
        Ok(Self::of(settings, meter, Rc::new(upstream), origins))
    }

    /// The pipeline that takes this one's place. Connections to the gateway are kept if nothing has changed
    /// about how they are made.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn succeeded_by(
        &self,
        settings: Arc<Settings>,
        network: Network,
        workers: usize,
    ) -> Result<Self, TlsSetupError> {
        let meter = Rc::clone(&self.meter);
        let (upstream, origins) = upstream(&settings, network, workers)?;
        let upstream = if upstream.is_as(&self.upstream) {
            Rc::clone(&self.upstream)
        } else {
            Rc::new(upstream)
        };
        Ok(Self::of(settings, meter, upstream, origins))
    }

    fn of(
        settings: Arc<Settings>,
        meter: Rc<Meter>,
        upstream: Rc<Upstream>,
        origins: Vec<OriginId>,
    ) -> Self {
        settings.pools.watch(&upstream);
        Self {
            meter,
            ring: Ring::new(&settings.keyring),
            settings,
            upstream,
            dates: RefCell::new(vec![Vec::new(); origins.len()]),
            origins,
            clock: Clock::new(),
        }
    }

    /// Whether pipelines can be made.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn check(settings: &Settings, network: Network) -> Result<(), TlsSetupError> {
        upstream(settings, network, 1).map(drop)
    }

    /// What the pipeline works by.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Its connections to gateways.
    #[must_use]
    pub fn upstream(&self) -> &Rc<Upstream> {
        &self.upstream
    }

    /// The clock of a route's gateway.
    fn gateway_clock(&self, route: usize) -> &GatewayClock {
        &self.settings.gateway_clocks[self.origins[route].index()]
    }

    /// The time that a `Date` tells, if it is another one than the last, or if it is `wanted` in any case.
    fn news_of_date(&self, route: usize, date: Option<&[u8]>, wanted: bool) -> Option<i64> {
        let date = date?;
        let last = &mut self.dates.borrow_mut()[self.origins[route].index()];
        if last == date && !wanted {
            return None;
        }
        last.clear();
        last.extend_from_slice(date);
        parse_http_date(date)
    }

    /// Runs a request through all steps.
    async fn run(&self, observed: Observed) -> Result<Response, Error> {
        let request = &observed.request;
        if let Some(answer) = cors::preflight(&self.settings, &request.head, request.listener)? {
            return Ok(answer);
        }
        let flight = Rc::clone(&observed.flight);
        let admitted = admit::admit(&self.settings, observed)?;
        let prepared = payload::prepare(&self.settings, admitted).await?;
        let exchange = forward::forward(self, prepared).await?;
        if exchange.is_refusal {
            flight.refused();
        }
        let request_id = exchange.head.fields.first("x-request-id");
        let redactor = exchange.redactor.as_ref();
        let request_id = request_id.map(|id| redacted(redactor, id));
        flight.gateway_request_id(request_id.as_deref());
        Ok(respond::relay(&self.settings, exchange))
    }
}

/// The upstream of one worker, and the origin of each route.
fn upstream(
    settings: &Settings,
    network: Network,
    workers: usize,
) -> Result<(Upstream, Vec<OriginId>), TlsSetupError> {
    let connect = settings.timeouts.connect;
    let mut upstream = Upstream::new(network, &settings.pool, connect, workers);
    let routes = settings.routes.iter();
    let origins = routes.map(|route| upstream.add(route));
    let origins = origins.collect::<Result<_, _>>()?;
    Ok((upstream, origins))
}

/// The pipeline that requests of a worker take now. It is another one when the configuration was read
/// again; requests that run stay with theirs.
#[derive(Debug)]
pub struct Current(RefCell<Rc<Pipeline>>);

impl Current {
    /// This one, for the time being.
    #[must_use]
    pub fn new(pipeline: Pipeline) -> Self {
        Self(RefCell::new(Rc::new(pipeline)))
    }

    /// The pipeline for a request that begins now.
    #[must_use]
    pub fn get(&self) -> Rc<Pipeline> {
        Rc::clone(&self.0.borrow())
    }

    /// Has requests that begin from now on take another one.
    pub fn replace(&self, pipeline: Pipeline) {
        *self.0.borrow_mut() = Rc::new(pipeline);
    }
}

/// The pipeline as a service, for one connection of a caller's.
#[derive(Clone, Debug)]
pub struct Proxy(Rc<Current>);

impl Proxy {
    /// The service with what lies around it.
    pub fn layered(
        current: Rc<Current>,
    ) -> impl Service<
        Request,
        Response = Response,
        Error = Infallible,
        Future = LocalBoxFuture<'static, Result<Response, Infallible>>,
    > + Clone {
        let meter = Rc::clone(&current.get().meter);
        layered(meter, Self(current))
    }
}

/// A service with what lies around it.
fn layered<S>(
    meter: Rc<Meter>,
    inner: S,
) -> impl Service<
    Request,
    Response = Response,
    Error = Infallible,
    Future = LocalBoxFuture<'static, Result<Response, Infallible>>,
> + Clone
where
    S: Service<Observed, Response = Response, Error = Error> + Clone,
    S::Future: 'static,
{
    ServiceBuilder::new()
        // Outermost: everything below speaks in errors, and this is where they become answers.
        .layer(record::RecordLayer(meter))
        // Inside, so that a panic is answered and recorded like any other failure.
        .layer(catch_panic::CatchPanicLayer)
        .service(inner)
}

impl Service<Observed> for Proxy {
    type Response = Response;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, observed: Observed) -> Self::Future {
        let pipeline = self.0.get();
        Box::pin(async move { pipeline.run(observed).await })
    }
}
