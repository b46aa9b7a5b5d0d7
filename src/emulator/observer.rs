//! Tells whoever watches what becomes of each request to the gateway, as it happens.
//!
//! Watching never delays or changes a request. An observation for which the queue has no room is
//! lost, bodies first.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, request, response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc::Sender;

use super::refusal::{Canonical, Outcome};

/// Room in the queue that bodies leave to others.
const RESERVED: usize = 256;

/// Something that happened to a request to the gateway.
#[derive(Debug)]
pub struct Observation {
    /// The request. The number is drawn for it.
    pub id: u128,
    /// What happened.
    pub event: ObservedEvent,
}

/// What happened.
#[derive(Debug)]
pub enum ObservedEvent {
    /// The head was read.
    Received(Box<request::Parts>),
    /// The hash of the body is known, in hexadecimal digits.
    Hashed(String),
    /// Bytes of the body were read.
    RequestBody(Bytes),
    /// The head of the response is sent.
    Answered(Box<Answered>),
    /// Bytes of the response's body are sent.
    ResponseBody(Bytes),
    /// Nothing more happens.
    Ended,
}

/// The response to a request.
#[derive(Debug)]
pub struct Answered {
    /// Its head.
    pub head: response::Parts,
    /// `verified`, `forwarded`, or the error code.
    pub outcome: &'static str,
    /// The canonical request that the gateway has computed, if the signature does not match it. It
    /// holds the security token.
    pub canonical: Option<String>,
}

/// One request that is watched. Its end is told when all that belongs to it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    id: u128,
    observer: Sender<Observation>,
}

impl Watch {
    /// Watches a request, if there is an observer.
    pub(super) fn begin<B>(
        observer: Option<&Sender<Observation>>,
        request: &Request<B>,
    ) -> Option<Arc<Self>> {
        let watch = Self {
            id: fastrand::u128(..),
            observer: observer?.clone(),
        };
        let mut head = Request::new(()).into_parts().0;
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        watch.tell(ObservedEvent::Received(Box::new(head)));
        Some(Arc::new(watch))
    }

    /// Tells the response.
    pub(super) fn answered<B>(&self, response: &Response<B>) {
        let mut head = Response::new(()).into_parts().0;
        head.status = response.status();
        head.version = response.version();
        head.headers = response.headers().clone();
        let extensions = response.extensions();
        let canonical = extensions.get::<Canonical>();
        self.tell(ObservedEvent::Answered(Box::new(Answered {
            head,
            outcome: extensions.get::<Outcome>().map_or("", |outcome| outcome.0),
            canonical: canonical.map(|canonical| canonical.0.clone()),
        })));
    }

    pub(super) fn tell(&self, event: ObservedEvent) {
        let is_body = matches!(
            event,
            ObservedEvent::RequestBody(_) | ObservedEvent::ResponseBody(_)
        );
        if !is_body || self.observer.capacity() > RESERVED {
            // Whoever watches may be gone, or be too slow.
            let _ = self.observer.try_send(Observation { id: self.id, event });
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell(ObservedEvent::Ended);
    }
}

/// A body that is watched, if there is an observer.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    watch: Option<Arc<Watch>>,
    event: fn(Bytes) -> ObservedEvent,
}

/// The body of a request.
pub(super) type Received = Watched<Incoming>;

impl<B> Watched<B> {
    pub(super) fn new(
        body: B,
        watch: Option<&Arc<Watch>>,
        event: fn(Bytes) -> ObservedEvent,
    ) -> Self {
        Self {
            body,
            watch: watch.map(Arc::clone),
            event,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let (Some(data), Some(watch)) = (frame.data_ref(), &self.watch)
        {
            watch.tell((self.event)(data.clone()));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
