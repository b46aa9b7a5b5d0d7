//! A panic costs one request, not the worker and all it serves.
//!
//! Not the layer of `tower-http`: that one boxes every answer's body, and answers by itself, where here
//! a panic becomes an [`Error`] like any other, with the same shape of answer and record.

use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tower::{Layer, Service};

use crate::error::Error;

/// Adds [`CatchPanic`].
#[derive(Clone, Copy, Debug)]
pub(super) struct CatchPanicLayer;

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic(inner)
    }
}

/// A service whose panics are errors.
#[derive(Clone, Debug)]
pub(super) struct CatchPanic<S>(S);

impl<S, R> Service<R> for CatchPanic<S>
where
    S: Service<R, Error = Error>,
    S::Future: 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<S::Response, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // What a panic leaves half-done belongs to the request alone: the pool is changed in single steps.
        let future = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async { future.await.unwrap_or(Err(Error::Internal("panic"))) })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper_util::rt::TokioIo;
    use hyper_util::service::TowerToHyperService;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tower::ServiceExt;

    use super::*;
    use crate::proxy::guard::ListenerKind;
    use crate::proxy::{CallerConnection, RequestContext, ResponseBody, layered};
    use crate::telemetry::metrics::Metrics;

    /// Answers with 204, but panics for one target with words that quote the request.
    async fn treacherous(
        (request, _): (Request<Incoming>, Rc<RequestContext>),
    ) -> Result<Response<ResponseBody>, Error> {
        assert!(request.uri() != "/panic", "MARKER {request:?}");
        let mut answer = Response::new(ResponseBody::whole(Bytes::new(), None));
        *answer.status_mut() = StatusCode::NO_CONTENT;
        Ok(answer)
    }

    #[tokio::test]
    async fn fault_79_a_panic_in_a_request_is_answered_with_500_and_the_next_one_is_served() {
        let (near, mut far) = duplex(64 * 1024);
        let service = layered(
            Rc::new(Metrics::default().worker()),
            Rc::new(CallerConnection::new(ListenerKind::Tcp, Rc::default())),
            tower::service_fn(treacherous),
        );
        let serving = http1::Builder::new()
            .serve_connection(TokioIo::new(near), TowerToHyperService::new(service));
        let calling = async {
            for (target, close) in [
                ("/panic", ""),
                ("/", ""),
                ("/panic", "connection: close\r\n"),
            ] {
                let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n");
                far.write_all(request.as_bytes()).await.unwrap();
            }
            let mut answers = String::new();
            far.read_to_string(&mut answers).await.unwrap();
            answers
        };
        let (served, answers) = tokio::join!(serving, calling);
        served.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 500").count(), 2, "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 204").count(), 1, "{answers}");
        assert_eq!(
            answers.matches("\"PROXY.internal\"").count(),
            2,
            "{answers}"
        );
        for told in ["MARKER", "/panic", "Incoming", "catch_panic"] {
            assert!(!answers.contains(told), "{answers}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let inner = tower::service_fn(|panics: bool| async move {
            assert!(!panics, "asked to");
            Ok::<_, Error>(1)
        });
        let service = CatchPanicLayer.layer(inner);
        let failed = service.clone().oneshot(true).await.unwrap_err();
        assert_eq!(failed.answer().code, "internal");
        assert_eq!(service.oneshot(false).await.unwrap(), 1);
    }
}
