//! HTTP/2: connections that many requests share, each with a stream of its own.
//!
//! # What can go wrong
//!
//! The gateway may end a connection under running requests, and says then up to which one it got (GOAWAY); or
//! it refuses a single one. Requests that it did not process can be sent again. A connection that stops
//! answering would swallow every further request, so none is sent over it once it is marked unusable.

mod cork;
mod stream;
mod support;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http_body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::TrackedBody;
use super::{AnswerLimits, BoxError};
use crate::upstream::connector::Transport;
use crate::upstream::pool::MIN_IDLE_LIMIT;
use cork::{Cork, CorkedExecutor, TransportGuard};
pub(in crate::upstream) use stream::Http2Stream;
pub(in crate::upstream) use support::Concurrency;
use support::Http2Support;

/// The most requests that share a connection, whatever the gateway allows: all of them wait for a lost packet.
const MAX_STREAMS: usize = 100;

/// The limit on streams until the gateway has sent its own, which cannot be this number.
const SETTINGS_PENDING: usize = usize::MAX - 1;

/// How much of an answer may be in flight to a caller that does not read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all answers of a connection: more than the streams can use, so that none waits for another.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// The HTTP/2 connections of one worker to one origin.
#[derive(Debug)]
pub(in crate::upstream) struct Http2Connections<B> {
    open: RefCell<Vec<Rc<Http2Connection<B>>>>,
    /// Held while one is opened, so that a hundred requests do not open a hundred.
    pub(in crate::upstream) opening: Semaphore,
    support: Rc<Cell<Http2Support>>,
    authority: Authority,
    limits: AnswerLimits,
}

/// One shared connection.
#[derive(Debug)]
struct Http2Connection<B> {
    sender: RefCell<http2::SendRequest<TrackedBody<B>>>,
    guard: TransportGuard,
    max_streams: MaxStreams,
    support: Rc<Cell<Http2Support>>,
    authority: Authority,
    limits: AnswerLimits,
    opened: Instant,
    in_flight: Cell<usize>,
    idle_since: Cell<Instant>,
    has_answered: Cell<bool>,
    is_unusable: Cell<bool>,
}

/// As many streams as the gateway allows, which it may change at any time. Not generic, as hyper's connection is.
struct MaxStreams(Box<dyn Fn() -> usize>);

impl MaxStreams {
    fn now(&self) -> usize {
        (self.0)()
    }
}

impl fmt::Debug for MaxStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaxStreams").field(&self.now()).finish()
    }
}

type Driver<B> = http2::Connection<TokioIo<Cork>, TrackedBody<B>, CorkedExecutor>;

impl<B> Http2Connections<B> {
    pub(in crate::upstream) fn new(authority: Authority, limits: AnswerLimits) -> Self {
        Self {
            open: RefCell::default(),
            opening: Semaphore::new(1),
            support: Rc::new(Cell::new(Http2Support::Unknown)),
            authority,
            limits,
        }
    }

    /// A stream of a connection that can take another request now.
    pub(in crate::upstream) fn find(&self) -> Option<Http2Stream<B>> {
        let open = self.open.borrow();
        let found = open.iter().find(|connection| connection.has_room())?;
        Some(Http2Stream::new(Rc::clone(found)))
    }

    /// Whether HTTP/2 is worth being offered.
    pub(in crate::upstream) fn is_possible(&self) -> bool {
        self.support.get().is_possible()
    }

    /// Whether a connection that another request opens is likely to be shared.
    pub(in crate::upstream) fn is_likely(&self) -> bool {
        self.support.get().is_likely()
    }

    /// Records that the gateway chose HTTP/1.1.
    pub(in crate::upstream) fn declined(&self) {
        self.learn(Http2Support::Declined);
    }

    /// Records that the gateway agreed to HTTP/2 and did not begin.
    pub(in crate::upstream) fn failed(&self) {
        self.learn(Http2Support::Failed(Instant::now()));
    }

    fn learn(&self, support: Http2Support) {
        // A request over another connection may have learned more in the meantime.
        if self.is_possible() {
            self.support.set(support);
        }
    }

    /// How many carry no request.
    pub(in crate::upstream) fn idle(&self) -> usize {
        let open = self.open.borrow();
        let idle = open.iter().filter(|connection| connection.is_idle());
        idle.count()
    }

    /// Evicts closed, expired, old and unusable connections; those with requests end with the last of them.
    /// Returns for how long connections had been idle which the gateway closed.
    pub(in crate::upstream) fn evict(
        &self,
        idle_limit: Duration,
        max_age: Duration,
    ) -> Vec<Duration> {
        let mut closed_after = Vec::new();
        self.open.borrow_mut().retain(|connection| {
            if let Some(ended) = connection.guard.ended() {
                let idle = ended.saturating_duration_since(connection.idle_since.get());
                // One that ended under requests, or with the last of them, was not closed for being idle.
                if connection.is_idle() && idle >= MIN_IDLE_LIMIT {
                    closed_after.push(idle);
                }
                return false;
            }
            let is_expired =
                connection.is_idle() && connection.idle_since.get().elapsed() >= idle_limit;
            let is_old = connection.opened.elapsed() >= max_age;
            !is_expired && !is_old && !connection.is_unusable.get()
        });
        closed_after
    }
}

impl<B> Http2Connections<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Starts HTTP/2 on a connection on which the gateway has agreed to it. To be called within a `LocalSet`.
    ///
    /// Waits for the gateway's SETTINGS. Before them the gateway has not said how many requests it takes, and
    /// would refuse those beyond; and if they never arrive, no request is lost.
    ///
    /// # Errors
    ///
    /// What ended the connection, or that it takes no requests.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(in crate::upstream) async fn start(
        &self,
        transport: Transport,
    ) -> Result<Http2Stream<B>, BoxError> {
        let (executor, cork, guard) = CorkedExecutor::new(transport);
        let mut builder = http2::Builder::new(executor);
        builder
            .initial_max_send_streams(SETTINGS_PENDING)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(max_header_list_size(self.limits))
            // What still arrives for requests that were cancelled is no fault of the gateway's.
            .max_concurrent_reset_streams(MAX_STREAMS)
            .max_local_error_reset_streams(None);
        let (sender, mut driver) = builder.handshake(TokioIo::new(cork)).await?;
        if settings(&mut driver, &guard).await? == 0 {
            return Err("the gateway takes no requests over HTTP/2".into());
        }
        let driver = Rc::new(RefCell::new(Some(driver)));
        let asked = Rc::clone(&driver);
        let max_streams = MaxStreams(Box::new(move || {
            let driver = asked.borrow();
            driver.as_ref().map_or(0, Driver::current_max_send_streams)
        }));
        tokio::task::spawn_local(drive(Rc::clone(&driver)));
        let now = Instant::now();
        let connection = Rc::new(Http2Connection {
            sender: RefCell::new(sender),
            guard,
            max_streams,
            support: Rc::clone(&self.support),
            authority: self.authority.clone(),
            limits: self.limits,
            opened: now,
            in_flight: Cell::new(0),
            idle_since: Cell::new(now),
            has_answered: Cell::new(false),
            is_unusable: Cell::new(false),
        });
        self.learn(Http2Support::Confirmed);
        self.open.borrow_mut().push(Rc::clone(&connection));
        Ok(Http2Stream::new(connection))
    }
}

impl<B> Http2Connection<B> {
    fn has_room(&self) -> bool {
        let is_open = !self.is_unusable.get()
            && self.guard.ended().is_none()
            && self.sender.borrow().is_ready();
        is_open && self.in_flight.get() < self.max_streams.now().min(MAX_STREAMS)
    }

    fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }
}

/// What the gateway is told, which `h2` enforces. It calls longer heads malformed, without saying why, so it gets
/// to see only those that exceed the limit by far.
fn max_header_list_size(limits: AnswerLimits) -> u32 {
    u32::try_from(limits.bytes.saturating_mul(2)).unwrap_or(u32::MAX)
}

/// Waits for the gateway's SETTINGS; returns how many streams it allows.
async fn settings<B>(driver: &mut Driver<B>, guard: &TransportGuard) -> Result<usize, BoxError>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    poll_fn(|cx| {
        // It is not woken by SETTINGS.
        guard.observe(cx);
        let ended = Pin::new(&mut *driver).poll(cx);
        match (driver.current_max_send_streams(), ended) {
            (SETTINGS_PENDING, Poll::Pending) => Poll::Pending,
            (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
            (_, Poll::Ready(Ok(()))) => {
                Poll::Ready(Err("the gateway closed the HTTP/2 connection".into()))
            }
            (max_streams, Poll::Pending) => Poll::Ready(Ok(max_streams)),
        }
    })
    .await
}

/// Hands requests over to the connection until it takes no more. Those that still wait get their error when the
/// driver is dropped.
async fn drive<B>(driver: Rc<RefCell<Option<Driver<B>>>>)
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let ended = poll_fn(|cx| match &mut *driver.borrow_mut() {
        Some(driver) => Pin::new(driver).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    let ended = ended.await;
    let finished = driver.take();
    drop(finished);
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection to the gateway has ended");
    }
}
