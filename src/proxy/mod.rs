//! The pipeline: what happens to a request between the listener and the upstream, and back.
//!
//! ```text
//! Request ─guard, route─► Routed ─prepare─► Prepared ─auth─► Signed ─send─► GatewayReply ─relay─► Response
//! ```
//!
//! Each step takes the type that the one before made, and only `auth` makes a `Signed`, which is all that
//! is sent: what failed to be signed cannot be sent. What goes wrong is an [`Error`] until `respond` turns it
//! into an answer. One [`RequestContext`] goes through all steps.
//!
//! | step | modules |
//! |---|---|
//! | around all steps | `record`, `catch_panic`, `context`, `caller` |
//! | who may call | `guard`, `cors` |
//! | which route, within which limits | `route`, `loop_detection` |
//! | the head and body to send | `prepare`, `headers`, `body`, `memory_budget` |
//! | a connection, the signature, sending, again if need be | `retry`, `auth`, `sign`, `credentials`, `key_breaker`, `refresh_backoff` |
//! | what the gateway answered | `gateway_reply`, `redact` |
//! | the response to the caller | `respond`, `location`, `grpc`, `websocket` |
//!
//! # What can go wrong
//!
//! A future of this module may be dropped at any await, when the caller goes away. Then the connection to
//! the upstream is closed rather than reused, and the room in the [`MemoryBudget`] is given back.

mod auth;
mod body;
pub mod caller;
mod catch_panic;
mod context;
mod cors;
mod credentials;
mod gateway_reply;
mod grpc;
pub mod guard;
mod headers;
mod key_breaker;
mod location;
mod loop_detection;
mod memory_budget;
mod observe;
mod prepare;
#[cfg(test)]
mod properties;
mod record;
mod redact;
mod refresh_backoff;
mod respond;
mod retry;
mod route;
mod settings;
mod sign;
mod websocket;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::{Service, ServiceBuilder};

use crate::clock::{Clock, parse_http_date};
use crate::error::Error;
use crate::gateway::GatewayClock;
use crate::telemetry::metrics::WorkerMetrics;
use crate::upstream::{AnswerLimits, Network, TlsSetupError, Upstream};
pub use body::{RequestBody, ResponseBody, ResponseEnded, UploadFailed};
pub use caller::{BareAnswer, CallerConnection};
pub use context::{AttemptReason, AttemptTimings, RequestContext, Timings};
use credentials::CredentialsView;
pub use credentials::RouteCredentials;
use gateway_reply::GatewayReply;
pub use headers::pass_request;
pub use memory_budget::{Full, MemoryBudget, Reservation};
pub use record::refused;
pub(crate) use respond::own_headers;
pub use settings::Settings;
pub use sign::{SigningKey, SigningKeyError};

/// The pipeline of one worker thread.
#[derive(Debug)]
pub struct Pipeline {
    settings: Arc<Settings>,
    credentials: CredentialsView,
    upstream: Rc<Upstream<RequestBody>>,
    /// The origin of each route.
    origins: Vec<usize>,
    clock: Clock,
    metrics: Rc<WorkerMetrics>,
    /// The last `Date` of each origin that was looked at: it says something new once a second only.
    dates: RefCell<Vec<Option<HeaderValue>>>,
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
        let metrics = Rc::new(settings.metrics.worker());
        let (upstream, origins) = upstream(&settings, network, workers)?;
        Ok(Self::assemble(
            settings,
            metrics,
            Rc::new(upstream),
            origins,
        ))
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
        let metrics = Rc::clone(&self.metrics);
        let (upstream, origins) = upstream(&settings, network, workers)?;
        let upstream = if upstream.same_config(&self.upstream) {
            Rc::clone(&self.upstream)
        } else {
            Rc::new(upstream)
        };
        Ok(Self::assemble(settings, metrics, upstream, origins))
    }

    fn assemble(
        settings: Arc<Settings>,
        metrics: Rc<WorkerMetrics>,
        upstream: Rc<Upstream<RequestBody>>,
        origins: Vec<usize>,
    ) -> Self {
        settings.pools.watch(&upstream);
        Self {
            metrics,
            credentials: CredentialsView::new(&settings.credentials),
            settings,
            upstream,
            dates: RefCell::new(vec![None; origins.len()]),
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
    pub fn upstream(&self) -> &Rc<Upstream<RequestBody>> {
        &self.upstream
    }

    /// The clock of a route's gateway.
    fn gateway_clock(&self, route: usize) -> &GatewayClock {
        &self.settings.gateway_clocks[self.origins[route]]
    }

    /// The time that a `Date` tells, if it is another one than the last, or if it is `wanted` in any case.
    fn news_of_date(&self, route: usize, date: Option<&HeaderValue>, wanted: bool) -> Option<i64> {
        let date = date?;
        let last = &mut self.dates.borrow_mut()[self.origins[route]];
        if last.as_ref() == Some(date) && !wanted {
            return None;
        }
        *last = Some(date.clone());
        parse_http_date(date.as_bytes())
    }

    /// Runs a request through all steps.
    async fn run(
        &self,
        request: Request<Incoming>,
        context: &Rc<RequestContext>,
    ) -> Result<Response<ResponseBody>, Error> {
        let settings = &self.settings;
        let (head, body) = request.into_parts();
        let routed = match self.check_head(head, &body, context) {
            Ok(Checked::Routed(routed)) => *routed,
            Ok(Checked::Answered(answer)) => return Ok(answer),
            Err(error) => {
                body::discard(body, context);
                return Err(error);
            }
        };
        let prepared = prepare::prepare(settings, routed, body).await?;
        let reply = retry::send(self, prepared).await?;
        let gateway_id = reply.head.headers.get("x-request-id");
        let gateway_id = gateway_id.map(HeaderValue::as_bytes);
        context.relayed(reply.head.status.as_u16(), reply.is_refusal, gateway_id);
        if reply.head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(reply).await;
        }
        Ok(respond::relay(settings, reply))
    }

    /// Checks all that can be told from the head of a request.
    fn check_head(
        &self,
        head: http::request::Parts,
        body: &Incoming,
        context: &Rc<RequestContext>,
    ) -> Result<Checked, Error> {
        if let Some(answer) = self.guard(&head, context)? {
            return Ok(Checked::Answered(answer));
        }
        let declared = body.size_hint().exact();
        let routed = route::route(&self.settings, head, declared, context)?;
        Ok(Checked::Routed(Box::new(routed)))
    }

    /// Checks who sent a request. A browser's question whether it may send one is answered here.
    fn guard(
        &self,
        head: &http::request::Parts,
        context: &Rc<RequestContext>,
    ) -> Result<Option<Response<ResponseBody>>, Error> {
        let guard = &self.settings.guard;
        let listener = context.caller.listener();
        let is_preflight = cors::is_preflight(head);
        let checked = if is_preflight {
            guard.check_page(listener, head)
        } else {
            guard.check(listener, head)
        };
        let visitor = checked.inspect_err(|_| context.caller.refused())?;
        context.called_by(&visitor);
        match context.origin.get() {
            Some(origin) if is_preflight => {
                cors::preflight(&self.settings, &head.headers, origin).map(Some)
            }
            None if is_preflight => guard.check(listener, head).map(|_| None),
            _ => Ok(None),
        }
    }

    /// Hands the connection to the gateway and that of the caller to a tunnel, once the answer was written.
    async fn switch(&self, reply: GatewayReply) -> Result<Response<ResponseBody>, Error> {
        let answer = respond::switch(&reply.head);
        let connection = reply
            .body
            .connection
            .ok_or(Error::Internal("a 101 has a connection"))?;
        let gateway = connection.into_stream().await;
        let gateway = gateway.map_err(|error| Error::UpstreamReset(error.into()))?;
        let (context, idle) = (reply.context, self.settings.timeouts.idle);
        let caller = Rc::clone(&context.caller);
        caller.take_over(Box::new(move |stream, read_ahead| {
            Box::pin(websocket::tunnel(
                (stream, read_ahead),
                gateway,
                idle,
                context,
            ))
        }));
        Ok(answer)
    }
}

/// What comes of the checks of a head.
enum Checked {
    /// The request may be forwarded.
    Routed(Box<route::Routed>),
    /// It was answered here.
    Answered(Response<ResponseBody>),
}

/// The upstream of one worker, and the origin of each route.
fn upstream(
    settings: &Settings,
    network: Network,
    workers: usize,
) -> Result<(Upstream<RequestBody>, Vec<usize>), TlsSetupError> {
    let connect = settings.timeouts.connect;
    let limits = AnswerLimits {
        bytes: settings.limits.answer_header,
        fields: AnswerLimits::MAX_FIELDS,
    };
    let mut upstream = Upstream::new(network, &settings.pool, connect, limits, workers);
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
    /// The service of one connection, with its outer layers.
    pub fn layered(
        current: Rc<Current>,
        caller: Rc<CallerConnection>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future = LocalBoxFuture<'static, Result<Response<ResponseBody>, Infallible>>,
    > + Clone {
        let metrics = Rc::clone(&current.get().metrics);
        layered(metrics, caller, Self(current))
    }
}

/// A service with its outer layers.
fn layered<S>(
    metrics: Rc<WorkerMetrics>,
    caller: Rc<CallerConnection>,
    inner: S,
) -> impl Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = LocalBoxFuture<'static, Result<Response<ResponseBody>, Infallible>>,
> + Clone
where
    S: Service<
            (Request<Incoming>, Rc<RequestContext>),
            Response = Response<ResponseBody>,
            Error = Error,
        > + Clone,
    S::Future: 'static,
{
    ServiceBuilder::new()
        // Outermost: everything below speaks in errors, and this is where they become answers.
        .layer(record::RecordLayer { metrics, caller })
        // Inside, so that a panic is answered and recorded like any other failure.
        .layer(catch_panic::CatchPanicLayer)
        .service(inner)
}

impl Service<(Request<Incoming>, Rc<RequestContext>)> for Proxy {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Response<ResponseBody>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(
        &mut self,
        (request, context): (Request<Incoming>, Rc<RequestContext>),
    ) -> Self::Future {
        let pipeline = self.0.get();
        Box::pin(async move { pipeline.run(request, &context).await })
    }
}
