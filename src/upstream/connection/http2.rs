//! HTTP/2: connections that many requests share, each with a stream of its own.
//!
//! # What can go wrong
//!
//! The gateway may end a connection under running requests, and says then up to which one it got
//! (GOAWAY); or it refuses a single one. Requests that it did not process can be sent again. A
//! connection that stops answering would swallow every further request, so none is sent over it
//! once it is marked unusable.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use h2::Reason;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::io::{CoalescingExecutor, ConnectionState, GatewayIo, TransportTask};
use super::{AnswerLimits, SendBody};
use crate::error::{Cause, Error, Retry};
use crate::upstream::connector::Transport;

/// The most requests that share a connection, whatever the gateway allows: all of them wait for a
/// lost packet.
const MAX_STREAMS: usize = 100;

/// The limit on streams until the gateway has sent its own, which cannot be this number.
const SETTINGS_PENDING: usize = usize::MAX - 1;

/// How much of a response may be in flight to a caller that does not read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all responses of a connection: more than the streams can use, so that none waits
/// for another.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// How long HTTP/2 is not offered to a gateway that agreed to it and did not begin.
const OFFER_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Headers that neither side may keep in its table (RFC 7541 §7.1.3): secrets, and what never
/// repeats.
const NEVER_INDEXED: [&str; 4] = [
    "authorization",
    "x-security-token",
    "x-auth-token",
    "x-apig-appcode",
];

/// A gateway's support for HTTP/2, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Http2Support {
    /// Nothing speaks against it, so other requests wait for a connection that is being opened.
    #[default]
    Likely,
    /// The gateway chose HTTP/1.1 the last time.
    Declined,
    /// It agreed to HTTP/2 and then did not begin, at this time.
    Failed(Instant),
    /// It agreed to HTTP/2 and then asked for HTTP/1.1 (RFC 9113 §7, `HTTP_1_1_REQUIRED`).
    Http1Required,
}

impl Http2Support {
    /// HTTP/2 is offered.
    pub(crate) fn is_possible(self) -> bool {
        match self {
            Self::Http1Required => false,
            Self::Failed(at) => at.elapsed() >= OFFER_AGAIN_AFTER,
            Self::Likely | Self::Declined => true,
        }
    }

    /// A connection that is offered HTTP/2 is expected to use it.
    pub(crate) fn is_likely(self) -> bool {
        self != Self::Declined && self.is_possible()
    }
}

/// What all HTTP/2 connections to one origin have in common.
#[derive(Debug)]
pub(crate) struct Http2Origin {
    pub(crate) authority: Authority,
    pub(crate) limits: AnswerLimits,
    pub(crate) support: Cell<Http2Support>,
}

impl Http2Origin {
    /// Records what was seen of the gateway. A request over another connection may have learned
    /// more in the meantime.
    pub(crate) fn learn(&self, support: Http2Support) {
        if self.support.get().is_possible() {
            self.support.set(support);
        }
    }
}

/// One shared connection. The pool has one reference to it, and each request another; dropping the
/// last one closes it.
#[derive(Debug)]
pub(crate) struct Http2Connection<B: SendBody> {
    origin: Rc<Http2Origin>,
    sender: RefCell<http2::SendRequest<B>>,
    /// Gone when the connection takes no more requests.
    driver: Weak<RefCell<Driver<B>>>,
    pub(crate) state: Rc<ConnectionState>,
    _task: TransportTask,
    /// Takes no further requests.
    pub(crate) is_unusable: Cell<bool>,
}

type Driver<B> = http2::Connection<TokioIo<GatewayIo>, B, CoalescingExecutor>;

impl<B: SendBody> Http2Connection<B> {
    /// Starts HTTP/2 on a connection on which the gateway has agreed to it, within a `LocalSet`.
    ///
    /// Waits for the gateway's SETTINGS. Before them the gateway has not said how many requests it
    /// takes, and would refuse those beyond; and if they never arrive, no request is lost.
    pub(crate) async fn start(
        transport: Transport,
        origin: &Rc<Http2Origin>,
    ) -> Result<Self, Cause> {
        let (io, state) = GatewayIo::new(transport, true);
        let (executor, task) = CoalescingExecutor::new(&io);
        // `h2` calls longer heads malformed, without saying why, so it gets to see only those that
        // exceed the limit by far.
        let header_list = u32::try_from(origin.limits.bytes.saturating_mul(2)).unwrap_or(u32::MAX);
        let mut builder = http2::Builder::new(executor);
        builder
            .initial_max_send_streams(SETTINGS_PENDING)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(header_list)
            // What still arrives for requests that were cancelled is no fault of the gateway's.
            .max_concurrent_reset_streams(MAX_STREAMS)
            .max_local_error_reset_streams(None);
        let (sender, mut driver) = builder.handshake(TokioIo::new(io)).await?;
        settings(&mut driver, &state).await?;
        let driver = Rc::new(RefCell::new(driver));
        let weak = Rc::downgrade(&driver);
        // Hands requests over until the connection takes no more. Those that still wait get their
        // error when the driver is dropped.
        spawn_local(async move {
            let ended = poll_fn(|cx| Pin::new(&mut *driver.borrow_mut()).poll(cx)).await;
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to the gateway has ended");
            }
        });
        Ok(Self {
            origin: Rc::clone(origin),
            sender: RefCell::new(sender),
            driver: weak,
            state,
            _task: task,
            is_unusable: Cell::default(),
        })
    }

    /// Open, and has room for one more request now.
    pub(crate) fn has_room(self: &Rc<Self>) -> bool {
        let is_open = !self.is_unusable.get()
            && self.state.ended.get().is_none()
            && self.sender.borrow().is_ready();
        // As many as the gateway allows, which it may change at any time.
        let max_streams = match self.driver.upgrade() {
            Some(driver) => driver.borrow().current_max_send_streams().min(MAX_STREAMS),
            None => 0,
        };
        is_open && self.in_flight() < max_streams
    }

    /// How many requests it carries.
    pub(crate) fn in_flight(self: &Rc<Self>) -> usize {
        Rc::strong_count(self) - 1
    }

    /// Sends a request and receives the head of its response.
    pub(crate) async fn send(&self, mut request: Request<B>) -> Result<Response<Incoming>, Error> {
        to_http2(&mut request, &self.origin.authority)
            .map_err(|error| Error::NotSent(error.into()))?;
        let retry = self.state.retry();
        let answer = self.sender.borrow_mut().try_send_request(request);
        let answer = answer.await.map_err(|error| self.classify(error, retry))?;
        let (headers, limits) = (answer.headers(), self.origin.limits);
        // As HTTP/2 counts it (RFC 9113 §6.5.2).
        let size = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32);
        if headers.len() > limits.fields || size.sum::<usize>() > limits.bytes {
            return Err(Error::AnswerHeaderTooLarge);
        }
        Ok(answer)
    }

    /// Tells failures apart by what the gateway says of them.
    fn classify<R>(&self, mut error: TrySendError<R>, retry: Retry) -> Error {
        let was_taken = error.take_message().is_none();
        let error = error.into_error();
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<h2::Error>());
        if !cause.is_some_and(h2::Error::is_reset) {
            // The connection has ended, or is going to.
            self.is_unusable.set(true);
        }
        let is_unprocessed = match cause {
            _ if !was_taken => true,
            // hyper unwraps errors of the connection; it is the user's if hyper dropped the request
            // while that waited for a stream of its own.
            None => error.is_user(),
            Some(cause) => match (cause.is_remote(), cause.reason()) {
                (true, Some(Reason::HTTP_1_1_REQUIRED)) => {
                    self.origin.support.set(Http2Support::Http1Required);
                    true
                }
                (true, Some(Reason::REFUSED_STREAM)) => true,
                // To requests up to the one that GOAWAY names, the end of the connection is another
                // error.
                (true, _) => cause.is_go_away(),
                // What the gateway sent is against the protocol.
                (false, Some(_)) => return Error::BadResponse(error.into()),
                (false, None) => false,
            },
        };
        if is_unprocessed {
            self.is_unusable.set(true);
            Error::NotSent(error.into())
        } else {
            Error::UpstreamReset(error.into(), retry)
        }
    }
}

/// Gives a request the form that HTTP/2 wants.
fn to_http2<B>(request: &mut Request<B>, authority: &Authority) -> Result<(), http::Error> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(authority.clone())
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()?;
    let headers = request.headers_mut();
    for name in [HOST, CONNECTION, UPGRADE] {
        headers.remove(name);
    }
    for (name, value) in headers.iter_mut() {
        if NEVER_INDEXED.contains(&HeaderName::as_str(name)) {
            value.set_sensitive(true);
        }
    }
    Ok(())
}

/// Waits for the gateway's SETTINGS; an error if it takes no requests.
async fn settings<B: SendBody>(
    driver: &mut Driver<B>,
    state: &ConnectionState,
) -> Result<(), Cause> {
    poll_fn(|cx| {
        // The driver is not woken by SETTINGS.
        state.wake_later(cx);
        if let Poll::Ready(ended) = Pin::new(&mut *driver).poll(cx) {
            ended?;
            return Poll::Ready(Err("the gateway closed the HTTP/2 connection".into()));
        }
        match driver.current_max_send_streams() {
            SETTINGS_PENDING => Poll::Pending,
            0 => Poll::Ready(Err("the gateway takes no requests over HTTP/2".into())),
            _ => Poll::Ready(Ok(())),
        }
    })
    .await
}
