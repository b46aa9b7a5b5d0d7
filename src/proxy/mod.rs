//! The pipeline: what happens to a request between the listener and the upstream, and back.
//!
//! ```text
//! Request ─guard, route─► Routed ─prepare─► Prepared ─auth─► Signed ─send─► GatewayResponse ─relay─► Response
//! ```
//!
//! `forward` runs a request through these steps. Each step takes the type that the one before made, and only `auth` makes a `Signed`, which is
//! all that is sent: what failed to be signed cannot be sent. One `RequestContext` goes through all
//! steps. What goes wrong is an [`Error`] until `respond` turns it into a response.
//!
//! | step | modules |
//! |---|---|
//! | who may call | `guard`, `cors`, `caller`, `callers` |
//! | which route, within which limits | `route`, `route_matcher`, `head_checks`, `loop_detection` |
//! | the head and body to send | `prepare`, `headers`, `page_origin`, `body`, `upload_progress`, `memory_budget` |
//! | a connection, the signature, sending, again if need be | `retry`, `auth`, `credentials`, `projects`, `key_breaker` |
//! | what the gateway answered | `gateway_response`, `content_coding`, `redact` |
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
pub(crate) mod content_coding;
mod context;
mod cors;
mod credentials;
mod double_slashes;
mod forward;
mod gateway_response;
pub mod guard;
mod head_checks;
mod headers;
mod key_breaker;
mod location;
mod loop_detection;
mod memory_budget;
mod page_origin;
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
mod upload_progress;
mod websocket;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::task::spawn_local;
use tower::Service;

use crate::clock::{Clock, parse_http_date};
use crate::error::Error;
use crate::gateway::GatewayClock;
use crate::telemetry::metrics::WorkerMetrics;
use crate::upstream::{Network, Upstream};
pub use body::{RequestBody, ResponseBody};
pub use caller::CallerConnection;
use capture::Recording;
use context::RequestContext;
use credentials::CredentialsView;
pub use credentials::RouteCredentials;
use guard::ListenerKind;
pub(crate) use headers::is_for_caller;
pub use headers::pass_request;
pub use respond::refused;
pub(crate) use respond::{own_headers, serialize};
pub use settings::Settings;

/// The pipeline of one worker thread.
#[derive(Debug)]
pub struct Pipeline {
    settings: Arc<Settings>,
    credentials: CredentialsView,
    /// Its connections to gateways.
    upstream: Rc<Upstream<RequestBody>>,
    /// The origin of each route.
    origins: Vec<usize>,
    clock: Clock,
    metrics: Rc<WorkerMetrics>,
    recording: Option<Rc<Recording>>,
    /// The last `Date` of each route that was looked at: it says something new once a second only.
    dates: RefCell<Vec<Option<HeaderValue>>>,
}

impl Pipeline {
    /// The pipeline of one of so many workers, within a `LocalSet`. It takes the place of `before`,
    /// whose connections to the gateway are kept if nothing has changed about how they are made.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        network: Network,
        workers: usize,
        before: Option<&Self>,
    ) -> Self {
        let mut upstream = Upstream::new(network, &settings.config, workers);
        let routes = settings.config.routes.iter();
        let origins: Vec<usize> = routes.map(|route| upstream.add(route)).collect();
        let kept = before.filter(|before| upstream.same_config(&before.upstream));
        let upstream = match kept {
            Some(kept) => Rc::clone(&kept.upstream),
            None => {
                let upstream = Rc::new(upstream);
                spawn_local(Upstream::maintain(Rc::downgrade(&upstream)));
                upstream
            }
        };
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

    fn gateway_clock(&self, route: usize) -> &GatewayClock {
        &self.settings.route_states[route].clock
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

    /// Counts and logs bytes that hyper could not parse as a request; returns the complete HTTP/1.1
    /// response to them.
    #[must_use]
    pub fn bare_answer(&self, error: &Error) -> Bytes {
        let caller = CallerConnection::new(ListenerKind::Tcp, Default::default());
        let context = RequestContext::begin(Rc::clone(&self.metrics), caller.into(), None, None);
        serialize(respond::failed(&context, error))
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
