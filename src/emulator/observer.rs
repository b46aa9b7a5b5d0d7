//! Reports each request to the gateway to an observer, once the request and its response are dropped.
//!
//! Observing never delays or changes a request. An observation for which the queue has no room is
//! lost.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, request, response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::refusal::{Canonical, Outcome};

/// The most bytes of a body that are kept.
const MAX_BODY: usize = 64 * 1024;

/// A request to the gateway that has ended.
#[derive(Debug)]
pub(crate) struct Observation {
    /// When the head was read.
    pub(crate) start: Instant,
    pub(crate) head: request::Parts,
    /// When the hash of the body was known, in hexadecimal digits.
    pub(crate) hashed: Option<(Instant, String)>,
    pub(crate) answered: Option<Answered>,
    /// The bodies of request and response.
    pub(crate) bodies: [ObservedBody; 2],
}

/// The response to a request.
#[derive(Debug)]
pub(crate) struct Answered {
    /// When its head was sent.
    pub(crate) at: Instant,
    pub(crate) head: response::Parts,
    /// `verified`, or the error code.
    pub(crate) outcome: &'static str,
    /// The canonical request that the gateway computed, if the signature does not match it. It
    /// contains the security token.
    pub(crate) canonical: Option<String>,
}

/// The beginning of a body, and the length of all of it.
#[derive(Debug, Default)]
pub(crate) struct ObservedBody {
    pub(crate) kept: Vec<u8>,
    pub(crate) length: usize,
}

/// One request that is watched. The observer gets the observation when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Mutex<Option<Observation>>,
    observer: Sender<Observation>,
}

impl Watch {
    /// Watches a request, if there is an observer.
    pub(super) fn begin<B>(
        observer: Option<&Sender<Observation>>,
        request: &Request<B>,
    ) -> Option<Arc<Self>> {
        let observer = observer?.clone();
        let mut head = Request::new(()).into_parts().0;
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        let seen = Mutex::new(Some(Observation {
            start: Instant::now(),
            head,
            hashed: None,
            answered: None,
            bodies: Default::default(),
        }));
        Some(Arc::new(Self { seen, observer }))
    }

    fn seen(&self) -> MutexGuard<'_, Option<Observation>> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the hash of the request's body.
    pub(super) fn hashed(&self, hash: &str) {
        if let Some(seen) = &mut *self.seen() {
            seen.hashed = Some((Instant::now(), hash.to_owned()));
        }
    }

    /// Notes the response.
    pub(super) fn answered<B>(&self, response: &Response<B>) {
        let mut head = Response::new(()).into_parts().0;
        head.status = response.status();
        head.version = response.version();
        head.headers = response.headers().clone();
        let extensions = response.extensions();
        let canonical = extensions.get::<Canonical>();
        if let Some(seen) = &mut *self.seen() {
            seen.answered = Some(Answered {
                at: Instant::now(),
                head,
                outcome: extensions.get::<Outcome>().map_or("", |outcome| outcome.0),
                canonical: canonical.map(|canonical| canonical.0.clone()),
            });
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(seen) = self.seen().take() {
            // The observer may have ended, or be too slow.
            let _ = self.observer.try_send(seen);
        }
    }
}

/// A body that is watched, if there is an observer.
#[derive(Debug)]
pub(super) struct Watched<B> {
    pub(super) body: B,
    pub(super) watch: Option<Arc<Watch>>,
    /// Its place in [`Observation::bodies`].
    pub(super) side: usize,
}

/// The body of a request.
pub(super) type Received = Watched<Incoming>;

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
            && let Some(seen) = &mut *watch.seen()
        {
            let body = &mut seen.bodies[self.side];
            let room = MAX_BODY.saturating_sub(body.kept.len());
            body.kept.extend_from_slice(&data[..data.len().min(room)]);
            body.length += data.len();
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
