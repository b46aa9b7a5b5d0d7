//! Around the pipeline: every request is recorded, and every error becomes an answer.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::message::{Request, Response};
use super::respond;
use crate::error::{Error, Origin};

/// Adds [`Record`].
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordLayer;

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record(inner)
    }
}

/// A service that always answers.
#[derive(Clone, Debug)]
pub(super) struct Record<S>(S);

impl<S> Service<Request> for Record<S>
where
    S: Service<Request, Response = Response, Error = Error>,
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
        let started = Instant::now();
        let future = self.0.call(request);
        Box::pin(async move {
            let method = head.method();
            let response = future.await.unwrap_or_else(|error| refused(method, &error));
            tracing::debug!(method, status = response.status, elapsed = ?started.elapsed(), "answered");
            Ok(response)
        })
    }
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
