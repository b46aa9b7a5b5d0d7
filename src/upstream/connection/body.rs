//! A request body that keeps the error which ended it.
//!
//! hyper hands out such an error by reference only, and over HTTP/2 not at all. Over HTTP/1.1, hyper also
//! queues as much of a body as the head of an answer may have; here a body waits while a write does, which
//! takes a quarter of a MiB less for each upload that is faster than the gateway.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;
use super::io::Traffic;

/// A request body as hyper sends it.
#[derive(Debug)]
pub(super) struct TrackedBody<B> {
    body: B,
    failure: BodyFailure,
    /// What an HTTP/1.1 connection carries. HTTP/2 has its own flow control.
    traffic: Option<Rc<Traffic>>,
}

/// Where the error of a request body is found once it has failed.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyFailure(Option<Rc<RefCell<Option<BoxError>>>>);

/// What hyper gets in the place of the error.
#[derive(Debug, thiserror::Error)]
#[error("the request body failed")]
pub(super) struct BodyFailed;

impl<B: Body> TrackedBody<B> {
    pub(super) fn new(body: B, traffic: Option<Rc<Traffic>>) -> (Self, BodyFailure) {
        // Most requests have no body, and then there is no error to be kept.
        let failure = BodyFailure((!body.is_end_stream()).then(Rc::default));
        let body = Self {
            body,
            failure: failure.clone(),
            traffic,
        };
        (body, failure)
    }

    pub(super) fn into_inner(self) -> B {
        self.body
    }
}

impl BodyFailure {
    pub(super) fn take(&self) -> Option<BoxError> {
        self.0.as_ref()?.borrow_mut().take()
    }
}

impl<B> Body for TrackedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        if let Some(traffic) = &self.traffic {
            ready!(traffic.poll_writable(cx));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|frame| {
            frame.map(|frame| {
                frame.map_err(|error| {
                    if let Some(failure) = &self.failure.0 {
                        *failure.borrow_mut() = Some(error.into());
                    }
                    BodyFailed
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
