//! Around the pipeline: every request gets a context, and every error becomes an answer.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service};

use super::caller::CallerConnection;
use super::context::RequestContext;
use super::guard::ListenerKind;
use super::{BareAnswer, Pipeline, ResponseBody, respond};
use crate::error::{Error, Origin};
use crate::telemetry::access::End;
use crate::telemetry::metrics::{Outcome, WorkerMetrics};

/// Adds [`Record`].
#[derive(Clone, Debug)]
pub(super) struct RecordLayer {
    pub(super) metrics: Rc<WorkerMetrics>,
    pub(super) caller: Rc<CallerConnection>,
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service that always answers.
#[derive(Clone, Debug)]
pub(super) struct Record<S> {
    inner: S,
    layer: RecordLayer,
}

impl<S> Service<Request<Incoming>> for Record<S>
where
    S: Service<
            (Request<Incoming>, Rc<RequestContext>),
            Response = Response<ResponseBody>,
            Error = Error,
        >,
    S::Future: 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<Response<ResponseBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let RecordLayer { metrics, caller } = self.layer.clone();
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let context = RequestContext::begin(metrics, caller, &head);
        let request = Request::from_parts(head, body);
        let future = self.inner.call((request, Rc::clone(&context)));
        Box::pin(async move {
            Ok(match future.await {
                Ok(response) => {
                    if !context.is_answered() {
                        context.relayed(response.status().as_u16(), false, None);
                    }
                    response
                }
                // The caller has gone: nothing is counted but that.
                Err(error @ Error::BodyIncomplete(_)) => {
                    let request_id = context.request_id();
                    log(&error, method.as_str(), &request_id);
                    respond::answer(&error, &request_id, Some(context))
                }
                Err(error) => failed(context, method.as_str(), &error),
            })
        })
    }
}

impl Pipeline {
    /// Counts and logs what hyper could not read as a request; returns the whole HTTP/1.1 answer to it.
    #[must_use]
    pub fn bare_answer(&self, answer: BareAnswer) -> Bytes {
        let caller = CallerConnection::new(ListenerKind::Tcp, Rc::default());
        let context = RequestContext::begin_malformed(Rc::clone(&self.metrics), Rc::new(caller));
        let error = answer.error();
        let request_id = context.request_id();
        log(&error, "", &request_id);
        let answer = error.answer();
        context.answered(answer.status.as_u16(), Outcome::Proxy(answer.code));
        context.ended(End::Whole);
        let (whole, length) = respond::bare_answer(&error, &request_id);
        context.sent(length);
        whole
    }

    /// Counts requests that have no answer yet as cut off, since the process ends.
    pub fn cut_off(&self) {
        self.metrics.cut_off();
    }
}

/// Counts the answer to an error. Its request is in flight until the answer was written.
fn failed(context: Rc<RequestContext>, method: &str, error: &Error) -> Response<ResponseBody> {
    let request_id = context.request_id();
    log(error, method, &request_id);
    let answer = error.answer();
    context.answered(answer.status.as_u16(), Outcome::Proxy(answer.code));
    respond::answer(error, &request_id, Some(context))
}

/// Logs an error and makes the answer to it, of something that is not counted. The method is empty if it is
/// not known.
pub fn refused(method: &str, error: &Error) -> Response<ResponseBody> {
    let request_id = format!("{:032x}", fastrand::u128(..));
    log(error, method, &request_id);
    respond::answer(error, &request_id, None)
}

/// Logs an error. The request is named by 32 hexadecimal digits, as by the gateway.
fn log(error: &Error, method: &str, request_id: &str) {
    let answer = error.answer();
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
}
