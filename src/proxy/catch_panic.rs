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
    use tower::ServiceExt;

    use super::*;

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
