//! The pipeline: what happens to a request between the listener and the upstream, and back.
//!
//! ```text
//! Request ─guard, route─► Routed ─prepare─► Prepared ─auth─► Signed ─send─► GatewayResponse ─relay─► Response
//! ```
//!
//! Each step takes the type that the one before made, and only `auth` makes a `Signed`, which is
//! all that is sent: what failed to be signed cannot be sent. One `RequestContext` goes through all
//! steps. What goes wrong is an [`Error`] until `respond` turns it into a response.
//!
//! | step | modules |
//! |---|---|
//! | who may call | `guard`, `cors`, `caller`, `callers` |
//! | which route, within which limits | `route`, `route_matcher`, `head_checks`, `loop_detection` |
//! | the head and body to send | `prepare`, `headers`, `page_origin`, `body`, `upload`, `memory_budget` |
//! | a connection, the signature, sending, again if need be | `retry`, `auth`, `credentials`, `projects`, `key_breaker` |
//! | what the gateway answered | `gateway_response`, `redact` |
//! | the response to the caller | `relay`, `location`, `websocket`, `respond` |
//! | what the inspector gets | `capture` |
//!
//! # What can go wrong
//!
//! A future of this module may be dropped at any await, when the caller goes away. Then the
//! connection to the upstream is closed rather than reused, and the room in the memory budget is
//! given back.

mod auth;
mod body;
pub mod caller;
mod callers;
mod capture;
mod context;
mod cors;
mod credentials;
mod gateway_response;
pub mod guard;
mod head_checks;
mod headers;
mod key_breaker;
mod location;
mod loop_detection;
mod memory_budget;
mod page_origin;
mod path_reading;
mod prepare;
mod projects;
#[cfg(test)]
mod property_tests;
pub(crate) mod redact;
mod relay;
mod respond;
mod retry;
mod route;
mod route_matcher;
mod settings;
mod timings;
mod upload_progress;
mod websocket;

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::Service;

use crate::clock::{Clock, parse_http_date};
use crate::error::Error;
use crate::gateway::GatewayClock;
use crate::telemetry::metrics::WorkerMetrics;
use crate::upstream::{Network, Upstream};
use body::BodyReader;
pub use body::{RequestBody, ResponseBody};
pub use caller::{BareAnswer, CallerConnection};
use callers::Shown;
use capture::Recording;
use context::RequestContext;
use credentials::CredentialsView;
pub use credentials::RouteCredentials;
use guard::{ListenerKind, Purpose};
pub(crate) use headers::is_for_caller;
pub use headers::pass_request;
use prepare::Prepared;
pub use respond::refused;
pub(crate) use respond::{own_headers, serialize};
pub use settings::Settings;

/// The gateway's id of a request.
const GATEWAY_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The pipeline of one worker thread.
#[derive(Debug)]
pub struct Pipeline {
    settings: Arc<Settings>,
    credentials: CredentialsView,
    /// Its connections to gateways.
    pub upstream: Rc<Upstream<RequestBody>>,
    /// The origin of each route.
    origins: Vec<usize>,
    clock: Clock,
    metrics: Rc<WorkerMetrics>,
    recording: Option<Rc<Recording>>,
    /// The last `Date` of each route that was looked at: it says something new once a second only.
    dates: RefCell<Vec<Option<HeaderValue>>>,
}

impl Pipeline {
    /// The pipeline of one of so many workers. It takes the place of `before`, whose connections to
    /// the gateway are kept if nothing has changed about how they are made.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        network: Network,
        workers: usize,
        before: Option<&Self>,
    ) -> Self {
        let connect = settings.timeouts.connect;
        let limit = settings.limits.answer_header;
        let mut upstream = Upstream::new(network, &settings.pool, connect, limit, workers);
        let routes = settings.routes.iter();
        let origins: Vec<usize> = routes.map(|route| upstream.add(route)).collect();
        let kept = before.filter(|before| upstream.same_config(&before.upstream));
        let upstream = kept.map_or_else(|| Rc::new(upstream), |kept| Rc::clone(&kept.upstream));
        settings.watch(upstream.pool_stats());
        Self {
            metrics: before.map_or_else(
                || Rc::new(settings.metrics.worker()),
                |before| Rc::clone(&before.metrics),
            ),
            credentials: CredentialsView::new(&settings.credentials),
            recording: Recording::new(&settings, before),
            settings,
            upstream,
            dates: RefCell::new(vec![None; origins.len()]),
            origins,
            clock: Clock::new(),
        }
    }

    /// The clock of a route's gateway.
    fn gateway_clock(&self, route: usize) -> &GatewayClock {
        &self.settings.gateway_clocks[route]
    }

    /// The time that a `Date` tells, if it is another one than the last, or if it is `wanted` in
    /// any case.
    fn new_date(&self, route: usize, date: Option<&HeaderValue>, wanted: bool) -> Option<i64> {
        let date = date?;
        let last = &mut self.dates.borrow_mut()[route];
        if last.as_ref() == Some(date) && !wanted {
            return None;
        }
        *last = Some(date.clone());
        parse_http_date(date.as_bytes())
    }

    /// Answers a request. An error becomes a response, and what is left of a body is read.
    async fn serve(
        &self,
        request: Request<Incoming>,
        caller: Rc<CallerConnection>,
    ) -> Response<ResponseBody> {
        let (mut head, body) = request.into_parts();
        // Before anything is made of the head: what identifies a caller is a secret.
        let gate = self.settings.caller_gate.as_ref();
        let shown = gate.map_or(Shown::Nothing, |_| Shown::take(&mut head));
        let mut body = Some(body);
        let context = RequestContext::begin(Rc::clone(&self.metrics), caller, Some(&head));
        capture::begin(self, &head, &context);
        let response = {
            // Pinned where it is made: it is several KiB long, and moving it would copy all of it.
            let forwarding = pin!(self.forward(head, shown, &mut body, &context));
            respond::respond(&context, forwarding).await
        };
        if let Some(body) = body {
            body::discard(body, &context);
        }
        response
    }

    /// Runs a request through all steps.
    async fn forward(
        &self,
        head: request::Parts,
        shown: Shown,
        body: &mut Option<Incoming>,
        context: &Rc<RequestContext>,
    ) -> Result<Response<ResponseBody>, Error> {
        let settings = &self.settings;
        let declared = body.as_ref().and_then(|body| body.size_hint().exact());
        let service = match self.guard(&head, context) {
            Ok(None) => Ok(()),
            // Who is not known does not learn which services there are.
            Err(error @ Error::Service(_)) => Err(error),
            Ok(Some(answer)) => return Ok(answer),
            Err(error) => return Err(error),
        };
        self.identify(shown, (&head, declared == Some(0)), context)?;
        service?;
        let routed = route::route(settings, head, declared, context)?;
        if declared != Some(0) {
            capture::routed(settings, &routed, None);
        }
        let caller = context.identified.get();
        let reader = BodyReader {
            settings,
            route: &settings.routes[routed.route],
            head: &routed.head.headers,
            rules: routed.rules,
            body,
            holds: caller.is_some_and(|caller| !caller.is_proven.get()),
            context,
        };
        let (held, hash) = reader.prepare().await?;
        *body = None;
        if let (Some(caller), Some(gate)) = (caller, &settings.caller_gate) {
            let algorithm = settings.routes[routed.route].signing.algorithm();
            let body = (&held, hash.map(|hash| (hash, algorithm)));
            gate.check_body(caller, &routed.head, body)?;
        }
        capture::routed(settings, &routed, hash.as_ref());
        let mut prepared = Prepared::new(settings, routed, held, hash)?;
        let reply = retry::send(self, &mut prepared).await?;
        let gateway_id = reply.head.headers.get(GATEWAY_ID);
        let gateway_id = gateway_id.map(HeaderValue::as_bytes);
        let status = reply.head.status;
        context.relayed(status.as_u16(), reply.is_of_gateway(), gateway_id);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let idle = settings.idle_timeout(prepared.routed.route);
            return websocket::switch(reply, idle, context).await;
        }
        Ok(relay::relay(settings, &prepared.routed, reply))
    }

    /// Runs the guard. CORS preflight requests are answered here.
    fn guard(
        &self,
        head: &request::Parts,
        context: &Rc<RequestContext>,
    ) -> Result<Option<Response<ResponseBody>>, Error> {
        let guard = &self.settings.guard;
        let purpose = if cors::is_preflight(head) {
            Purpose::Preflight
        } else {
            Purpose::Forward
        };
        let check = |purpose| guard.check(purpose, context.caller.listener, head);
        let checked = check(purpose);
        // A page whose preflight passes may read why it needs a token.
        let page = match &checked {
            Err(Error::TokenRequired) => check(Purpose::Preflight).ok(),
            checked => checked.as_ref().ok().copied(),
        };
        page.iter().for_each(|admitted| context.called_by(admitted));
        checked.inspect_err(|_| context.caller.refused())?;
        match context.origin.get() {
            Some(origin) if purpose == Purpose::Preflight => {
                cors::preflight(&self.settings, &head.headers, origin).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Identifies the caller, where callers are known.
    fn identify(
        &self,
        shown: Shown,
        request: (&request::Parts, bool),
        context: &RequestContext,
    ) -> Result<(), Error> {
        let settings = &self.settings;
        let identified = match &settings.caller_gate {
            Some(gate) => gate.identify(shown, request, &settings.metrics, context),
            // The connection may be older than a reload.
            None if context.caller.rules.requires_caller => Err(Error::CallerRequired),
            None => return Ok(()),
        };
        identified.inspect_err(|_| context.caller.refused())
    }

    /// Counts and logs bytes that hyper could not parse as a request; returns the complete HTTP/1.1
    /// response to them.
    #[must_use]
    pub fn bare_answer(&self, answer: BareAnswer) -> Bytes {
        let caller = Rc::new(CallerConnection::new(
            ListenerKind::Tcp,
            Default::default(),
            Rc::default(),
        ));
        let context = RequestContext::begin(Rc::clone(&self.metrics), caller, None);
        serialize(respond::failed(&context, &answer.error()))
    }

    /// Counts requests without a response as cut off, when the process ends.
    pub fn cut_off(&self) {
        self.metrics.cut_off();
    }
}

/// The current pipeline of a worker. A reload replaces it; requests that run stay with theirs.
pub type Current = RefCell<Rc<Pipeline>>;

/// The pipeline as a service, for one connection of a caller's.
pub fn service(
    current: Rc<Current>,
    caller: Rc<CallerConnection>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = LocalBoxFuture<'static, Result<Response<ResponseBody>, Infallible>>,
> + Clone {
    tower::service_fn(move |request| {
        // The current one for the whole request, also if there is a reload meanwhile.
        let (pipeline, caller) = (Rc::clone(&current.borrow()), Rc::clone(&caller));
        async move { Ok(pipeline.serve(request, caller).await) }.boxed_local()
    })
}
