//! Accounts for the requests of one connection: the connection is busy until the last byte of an answer,
//! and HTTP/2 streams beyond the first take permits of their own.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use super::tracked::{Phase, Tracked};
use crate::proxy::caller::CallerConnection;

/// Why a request gets no answer.
pub(super) type ServiceError = Box<dyn StdError + Send + Sync>;

/// What the requests of one connection share.
#[derive(Debug)]
pub(super) struct Requests {
    caller: Rc<CallerConnection>,
    tracked: Rc<Tracked>,
    /// For HTTP/2 only: where streams get their permits.
    permits: Option<Arc<Semaphore>>,
    /// Permits of open streams, less one: the first stream uses the connection's.
    extra: RefCell<Vec<OwnedSemaphorePermit>>,
    open: Cell<usize>,
}

impl Requests {
    pub(super) fn http1(caller: Rc<CallerConnection>, tracked: Rc<Tracked>) -> Rc<Self> {
        Self::new(caller, tracked, None)
    }

    pub(super) fn http2(
        caller: Rc<CallerConnection>,
        tracked: Rc<Tracked>,
        permits: Arc<Semaphore>,
    ) -> Rc<Self> {
        Self::new(caller, tracked, Some(permits))
    }

    fn new(
        caller: Rc<CallerConnection>,
        tracked: Rc<Tracked>,
        permits: Option<Arc<Semaphore>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            caller,
            tracked,
            permits,
            extra: RefCell::default(),
            open: Cell::new(0),
        })
    }

    /// Marks the connection as busy. `None` if there is no permit for one more stream.
    pub(super) fn begin(self: &Rc<Self>) -> Option<InFlight> {
        if let Some(permits) = &self.permits
            && self.open.get() > 0
        {
            let permit = Arc::clone(permits).try_acquire_owned().ok()?;
            self.extra.borrow_mut().push(permit);
        }
        self.open.set(self.open.get() + 1);
        self.tracked.enter(Phase::Busy);
        Some(InFlight {
            requests: Rc::clone(self),
            is_stalled: false,
        })
    }
}

/// A request until its last byte.
#[derive(Debug)]
pub(super) struct InFlight {
    requests: Rc<Requests>,
    /// A piece of the answer was taken, and the next one not asked for.
    is_stalled: bool,
}

impl InFlight {
    /// Takes note that hyper asked for a piece of an HTTP/2 answer, and whether it got one.
    fn asked(&mut self, got_piece: bool) {
        let Requests {
            tracked, permits, ..
        } = &*self.requests;
        if permits.is_some() {
            tracked.make_progress();
            self.set_stalled(got_piece);
        }
    }

    fn set_stalled(&mut self, is_stalled: bool) {
        let count = &self.requests.tracked.stalled;
        let others = count.get() - usize::from(self.is_stalled);
        count.set(others + usize::from(is_stalled));
        self.is_stalled = is_stalled;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set_stalled(false);
        let requests = &*self.requests;
        requests.open.set(requests.open.get() - 1);
        requests.extra.borrow_mut().pop();
        if requests.open.get() == 0 {
            // Over HTTP/1.1, the end of the answer is in hyper's buffer.
            let is_http2 = requests.permits.is_some();
            let next = if is_http2 {
                Phase::Idle
            } else {
                Phase::Flushing
            };
            requests.tracked.enter(next);
        }
    }
}

/// A service for hyper around one that is always ready.
#[derive(Debug)]
pub(super) struct TrackedService<S> {
    inner: RefCell<S>,
    requests: Rc<Requests>,
}

impl<S> TrackedService<S> {
    pub(super) fn new(inner: S, requests: Rc<Requests>) -> Self {
        Self {
            inner: RefCell::new(inner),
            requests,
        }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for TrackedService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<ServiceError>,
    B: Body,
{
    type Response = Response<TrackedBody<B>>;
    type Error = ServiceError;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Some(in_flight) = self.requests.begin() else {
            return Answering::Refused;
        };
        let has_body = !request.body().is_end_stream();
        self.requests.caller.request_begins(has_body);
        let version = request.version();
        let wants_body = request.method() != Method::HEAD;
        Answering::Running {
            future: self.inner.borrow_mut().call(request),
            in_flight: Some(in_flight),
            version,
            wants_body,
        }
    }
}

pin_project! {
    /// The work on one request.
    #[project = AnsweringProjection]
    pub(super) enum Answering<F> {
        Running { #[pin] future: F, in_flight: Option<InFlight>, version: Version, wants_body: bool },
        /// There was no permit for the stream. The caller may send it again.
        Refused,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: Into<ServiceError>,
{
    type Output = Result<Response<TrackedBody<B>>, ServiceError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnsweringProjection::Running {
                future,
                in_flight,
                version,
                wants_body,
            } => {
                let mut response = ready!(future.poll(cx)).map_err(Into::into)?;
                let in_flight = in_flight
                    .take()
                    .expect("a future is not polled after it is ready");
                let caller = &in_flight.requests.caller;
                let ends_with_connection = finish_head(&mut response, *version, caller);
                let is_until_close = ends_with_connection && *wants_body;
                if is_until_close {
                    // Until it is complete, it must not end in good order, not even when the process stops.
                    caller.reset_on_close();
                }
                Poll::Ready(Ok(response.map(|body| TrackedBody {
                    body,
                    in_flight,
                    is_until_close,
                    broken_off: None,
                })))
            }
            AnsweringProjection::Refused => {
                let refused = h2::Error::from(h2::Reason::REFUSED_STREAM);
                Poll::Ready(Err(refused.into()))
            }
        }
    }
}

/// Adds what the connection needs to a head. Tells whether only the end of the connection ends the body.
fn finish_head<B: Body>(
    response: &mut Response<B>,
    version: Version,
    caller: &CallerConnection,
) -> bool {
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if version > Version::HTTP_11 || is_switch {
        return false;
    }
    if caller.is_draining() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    let has_length = response.headers().contains_key(CONTENT_LENGTH)
        || response.body().size_hint().exact().is_some();
    version < Version::HTTP_11 && !has_length
}

pin_project! {
    /// The body of an answer, which keeps the connection busy.
    pub(super) struct TrackedBody<B: Body> {
        #[pin]
        body: B,
        in_flight: InFlight,
        is_until_close: bool,
        broken_off: Option<B::Error>,
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        if let Some(error) = this.broken_off.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = this.body.as_mut().poll_frame(cx);
        let got_piece = matches!(polled, Poll::Ready(Some(Ok(_))));
        this.in_flight.asked(got_piece);
        let is_complete = match polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if is_complete && *this.is_until_close {
            this.in_flight.requests.caller.close_normally();
        }
        if let Poll::Ready(Some(Err(error))) = polled {
            // hyper drops what it has not written when it learns of an error. It gets a turn to write first, so
            // that the caller sees the head of an answer that breaks off at once.
            *this.broken_off = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
