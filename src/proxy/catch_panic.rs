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
    use std::cell::RefCell;
    use std::rc::Rc;

    use bytes::Bytes;
    use tokio::net::{TcpListener, TcpStream};
    use tower::ServiceExt;

    use super::*;
    use crate::guard::ListenerKind;
    use crate::http1::{Caller, Framing, Incoming, RequestHead, Wire};
    use crate::proxy::body::ResponseBody;
    use crate::proxy::message::Observed;
    use crate::proxy::{Announced, Request, Response, layered};
    use crate::telemetry::metrics::Metrics;

    /// A request without a body, of a caller that stays.
    fn request(target: &str, wire: Wire) -> Request {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let caller = Rc::new(RefCell::new(Caller::new(wire)));
        Request {
            head: RequestHead::parse(&head.into()).unwrap(),
            body: Incoming::new(caller, Framing::Length(0)),
            listener: ListenerKind::Tcp,
        }
    }

    async fn wire() -> Wire {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Wire::new(
            TcpStream::connect(socket.local_addr().unwrap())
                .await
                .unwrap(),
        )
    }

    /// Answers with 204, but panics for one target with words that quote the request.
    async fn treacherous(observed: Observed) -> Result<Response, Error> {
        let request = observed.request;
        assert!(
            request.head.target() != "/panic",
            "MARKER {:?}",
            request.head
        );
        Ok(Response {
            status: 204,
            head: b"HTTP/1.1 204 No Content\r\n".to_vec(),
            length: Announced::Nothing,
            body: ResponseBody::Own(None),
            closes: false,
            flight: None,
        })
    }

    #[tokio::test]
    async fn fault_79_a_panic_in_a_request_is_answered_with_500_and_the_next_one_is_served() {
        let mut service = layered(
            Rc::new(Metrics::new().meter()),
            tower::service_fn(treacherous),
        );
        for _ in 0..3 {
            let failed = service.call(request("/panic", wire().await)).await.unwrap();
            assert_eq!((failed.status, failed.closes), (500, false));
            let ResponseBody::Own(Some(body)) = failed.body else {
                panic!("an answer of the proxy's own");
            };
            let answer = [Bytes::from(failed.head), body].concat();
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains("\"PROXY.internal\""), "{answer}");
            for told in ["MARKER", "/panic", "RequestHead", "catch_panic"] {
                assert!(!answer.contains(told), "{answer}");
            }
            let served = service.call(request("/", wire().await)).await.unwrap();
            assert_eq!(served.status, 204);
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
