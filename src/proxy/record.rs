//! Around the pipeline: every request is recorded and counted, and every error becomes an answer.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use tower::{Layer, Service};

use super::message::{Observed, Request, Response};
use super::{Pipeline, respond, split_target};
use crate::error::{Error, Origin};
use crate::http1::Traffic;
use crate::telemetry::access;
use crate::telemetry::metrics::{Flight, Meter, Outcome};

/// Adds [`Record`].
#[derive(Clone, Debug)]
pub(super) struct RecordLayer(pub(super) Rc<Meter>);

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record {
            inner,
            meter: Rc::clone(&self.0),
        }
    }
}

/// A service that always answers.
#[derive(Clone, Debug)]
pub(super) struct Record<S> {
    inner: S,
    meter: Rc<Meter>,
}

impl<S> Service<Request> for Record<S>
where
    S: Service<Observed, Response = Response, Error = Error>,
    S::Future: 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let method = request.head.shared_method();
        let record = access::is_wanted().then(|| record_of(&request));
        let flight = self.meter.begin(request.head.method(), record);
        let observed = Observed {
            request,
            flight: Rc::clone(&flight),
        };
        let future = self.inner.call(observed);
        Box::pin(async move {
            Ok(match future.await {
                Ok(response) => relayed(flight, response),
                Err(error) => {
                    let method = str::from_utf8(&method).unwrap_or_default();
                    failed(flight, method, &error)
                }
            })
        })
    }
}

/// Begins the record of a request.
fn record_of(request: &Request) -> access::Record {
    let head = &request.head;
    let (_, target) = split_target(head.target(), request.listener.is_tls());
    let path = target.and_then(|target| target.split(['?', '#']).next());
    access::Record::of(access::Asked {
        method: head.method(),
        path: path.unwrap_or_default(),
        traceparent: head.fields.only("traceparent"),
        traffic: request.body.traffic(),
    })
}

impl Pipeline {
    /// Counts something that came instead of a request, and makes the answer to it.
    #[must_use]
    pub fn refused(&self, error: &Error, traffic: Rc<Traffic>) -> Response {
        let nothing = access::Asked {
            method: "",
            path: "",
            traceparent: None,
            traffic,
        };
        let record = access::is_wanted().then(|| access::Record::of(nothing));
        failed(self.meter.begin("", record), "", error)
    }

    /// Takes note that requests which have no answer yet get none, since the process ends.
    pub fn cut_off(&self) {
        self.meter.cut_off();
    }
}

/// Counts an answer, which is in flight from now on.
fn relayed(flight: Rc<Flight>, mut response: Response) -> Response {
    flight.relayed(response.status);
    response.flight = Some(flight);
    response
}

/// Counts the answer to an error, which is in flight from now on.
fn failed(flight: Rc<Flight>, method: &str, error: &Error) -> Response {
    let mut response = refused_as(flight.request_id(), method, error);
    flight.answered(response.status, Outcome::Proxy(error.answer().code));
    response.flight = Some(flight);
    response
}

/// Logs an error and makes the answer to it, of something that is not counted. The method is empty if it
/// is not known.
pub fn refused(method: &str, error: &Error) -> Response {
    refused_as(fastrand::u128(..), method, error)
}

/// Logs an error and makes the answer to it. The request is named by 32 hexadecimal digits, as by the
/// gateway.
fn refused_as(request_id: u128, method: &str, error: &Error) -> Response {
    let answer = error.answer();
    let request_id = format!("{request_id:032x}");
    let (code, cause) = (answer.code, error.cause());
    match answer.origin {
        Origin::Client => tracing::info!(%request_id, method, code, %cause, "refused: {error}"),
        // Shedding load is what the proxy is meant to do then, so it is no failure of its own.
        Origin::Proxy if answer.retry_after.is_none() => {
            tracing::error!(%request_id, method, code, %cause, "failed: {error}");
        }
        Origin::Upstream | Origin::Proxy => {
            tracing::warn!(%request_id, method, code, %cause, "failed: {error}");
        }
    }
    respond::answer(error, &request_id)
}
