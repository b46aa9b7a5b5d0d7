//! The requests of a connection: it is busy until the last byte of a response, and HTTP/2 streams
//! beyond the first take permits of their own.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::registry::{ConnectionState, Phase};

/// Why a request ends without a response.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// A request until its last byte.
pub(super) struct InFlight {
    state: Rc<ConnectionState>,
    /// hyper took a frame of the response body and has not polled for the next one.
    is_stalled: bool,
}

impl InFlight {
    /// Marks the connection as busy. `None` if there is no permit for one more stream.
    pub(super) fn begin(state: &Rc<ConnectionState>) -> Option<Self> {
        if state.is_http2.get() && state.open_requests.get() > 0 {
            let permits = Arc::clone(&state.registry.permits);
            let permit = permits.try_acquire_owned().ok()?;
            state.stream_permits.borrow_mut().push(permit);
        }
        state.open_requests.set(state.open_requests.get() + 1);
        state.enter(Phase::Busy);
        Some(Self {
            state: Rc::clone(state),
            is_stalled: false,
        })
    }

    fn set_stalled(&mut self, is_stalled: bool) {
        let count = &self.state.stalled;
        let others = count.get() - usize::from(self.is_stalled);
        count.set(others + usize::from(is_stalled));
        self.is_stalled = is_stalled;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set_stalled(false);
        let state = &self.state;
        state.open_requests.set(state.open_requests.get() - 1);
        state.stream_permits.borrow_mut().pop();
        if state.open_requests.get() == 0 {
            // Over HTTP/1.1, the end of the response is in hyper's buffer.
            state.enter(match state.is_http2.get() {
                true => Phase::Idle,
                false => Phase::Flushing,
            });
        }
    }
}

/// Runs a service that is always ready. Fails with `REFUSED_STREAM` if there is no permit for the
/// stream; the caller may send it again.
pub(super) fn call<S, B>(
    service: &RefCell<S>,
    state: &Rc<ConnectionState>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<TrackedBody<B>>, BoxError>> + use<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let running = InFlight::begin(state).map(|in_flight| {
        let is_read = request.body().is_end_stream();
        state.caller.request_is_read.set(is_read);
        let (version, wants_body) = (request.version(), request.method() != Method::HEAD);
        let future = service.borrow_mut().call(request);
        (in_flight, version, wants_body, future)
    });
    async move {
        let Some((in_flight, version, wants_body, future)) = running else {
            return Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into());
        };
        let Ok(mut response) = future.await;
        let state = &in_flight.state;
        let is_draining = state.registry.draining.get();
        let is_until_close = finish_head(&mut response, version, is_draining) && wants_body;
        if is_until_close {
            // Until it is complete, it must not end in good order, not even when the process stops.
            state.caller.resets_on_close.set(true);
        }
        Ok(response.map(|body| TrackedBody {
            body,
            in_flight,
            is_until_close,
            broken_off: None,
        }))
    }
}

/// Adds what the connection needs to a head. Returns true if only the end of the connection ends
/// the body.
fn finish_head<B: Body>(response: &mut Response<B>, version: Version, is_draining: bool) -> bool {
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if version > Version::HTTP_11 || is_switch {
        return false;
    }
    if is_draining {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    let has_length = response.headers().contains_key(CONTENT_LENGTH)
        || response.body().size_hint().exact().is_some();
    version < Version::HTTP_11 && !has_length
}

pin_project! {
    /// The body of a response, which keeps the connection busy.
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
        let state = &this.in_flight.state;
        if state.is_http2.get() {
            state.make_progress();
            this.in_flight.set_stalled(got_piece);
        }
        let is_complete =
            matches!(polled, Poll::Ready(None)) || (got_piece && this.body.is_end_stream());
        if is_complete && *this.is_until_close {
            this.in_flight.state.caller.resets_on_close.set(false);
        }
        if let Poll::Ready(Some(Err(error))) = polled {
            // hyper drops what it has not written when it learns of an error. It gets a turn to
            // write first, so that the caller sees the head of a response that breaks off at once.
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
