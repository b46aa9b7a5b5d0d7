//! Around the pipeline: every request is recorded, and every error becomes an answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use http::{Method, Request, Response};
use hyper::body::Body;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::body::ResponseBody;
use super::respond;
use crate::error::{Error, Origin};

/// Adds [`Record`].
#[derive(Clone, Debug)]
pub(super) struct RecordLayer {
    linger: Rc<Cell<bool>>,
}

impl RecordLayer {
    /// `linger` is set when an answer of the proxy's own may leave a body unread.
    pub(super) fn new(linger: Rc<Cell<bool>>) -> Self {
        Self { linger }
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record {
            inner,
            linger: Rc::clone(&self.linger),
        }
    }
}

/// A service that always answers.
#[derive(Clone, Debug)]
pub(super) struct Record<S> {
    inner: S,
    linger: Rc<Cell<bool>>,
}

impl<S, B> Service<Request<B>> for Record<S>
where
    S: Service<Request<B>, Response = Response<ResponseBody>, Error = Error>,
    S::Future: 'static,
    B: Body,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.method().clone();
        let started = Instant::now();
        let linger = Rc::clone(&self.linger);
        let has_body = !request.body().is_end_stream();
        linger.set(false);
        let future = self.inner.call(request);
        Box::pin(async move {
            let response = match future.await {
                Ok(response) => response,
                Err(error) => {
                    // What is left of a body is read before the connection is closed, or the caller
                    // might not get the answer.
                    linger.set(has_body);
                    failed(&method, &error)
                }
            };
            tracing::debug!(%method, status = response.status().as_u16(), elapsed = ?started.elapsed(), "answered");
            Ok(response)
        })
    }
}

/// Records an error and makes the answer to it.
fn failed(method: &Method, error: &Error) -> Response<ResponseBody> {
    let answer = error.answer();
    let request_id = request_id();
    let (code, cause) = (answer.code, error.cause());
    match answer.origin {
        Origin::Client => tracing::info!(%request_id, %method, code, %cause, "refused: {error}"),
        // Shedding load is what the proxy is meant to do then, so it is no failure of its own.
        Origin::Proxy if answer.retry_after.is_none() => {
            tracing::error!(%request_id, %method, code, %cause, "failed: {error}");
        }
        Origin::Upstream | Origin::Proxy => {
            tracing::warn!(%request_id, %method, code, %cause, "failed: {error}");
        }
    }
    respond::answer(error, &request_id)
}

/// A name for a request: 32 hexadecimal digits, as the gateway's own.
fn request_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
