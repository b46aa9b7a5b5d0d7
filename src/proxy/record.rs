//! Around the pipeline: every request is recorded and counted, and every error becomes an answer.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use tower::{Layer, Service};

use super::message::{Observed, Request, Response};
use super::respond;
use crate::error::{Error, Origin};
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
        let head = request.head.clone();
        let flight = self.meter.begin(head.method());
        let observed = Observed {
            request,
            flight: Rc::clone(&flight),
        };
        let future = self.inner.call(observed);
        Box::pin(async move {
            let method = head.method();
            let response = match future.await {
                Ok(response) => relayed(flight, response),
                Err(error) => counted(flight, &error, refused(method, &error)),
            };
            tracing::debug!(method, status = response.status, elapsed = ?response.elapsed(), "answered");
            Ok(response)
        })
    }
}

/// Counts an answer, which is in flight from now on.
fn relayed(flight: Rc<Flight>, mut response: Response) -> Response {
    flight.relayed(response.status);
    response.flight = Some(flight);
    response
}

/// Counts the answer to an error, which is in flight from now on.
pub(super) fn counted(flight: Rc<Flight>, error: &Error, mut response: Response) -> Response {
    flight.answered(response.status, Outcome::Proxy(error.answer().code));
    response.flight = Some(flight);
    response
}

/// Records an error and makes the answer to it. The method is empty if it is not known.
pub fn refused(method: &str, error: &Error) -> Response {
    let answer = error.answer();
    let request_id = request_id();
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

/// A name for a request: 32 hexadecimal digits, as the gateway's own.
fn request_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
