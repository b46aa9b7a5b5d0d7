//! Serves one connection to its end, with hyper.
//!
//! Once the protocol is known ([`protocol`]), hyper reads requests and writes answers until either side
//! ends the connection. What follows an HTTP/1.1 connection is up to its last answer: a WebSocket takes
//! the stream over, or the caller gets the time to read.
//!
//! [`protocol`]: super::protocol

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::Service;

use super::accept::Accepted;
use super::builders::{LocalExecutor, http1_builder, http2_builder};
use super::io::CallerIo;
use super::linger::{LingerLimits, linger};
use super::protocol::{Opened, Protocol, open};
use super::registry::{Registration, Registry};
use super::service::{Requests, ServiceError, TrackedService};
use super::tracked::{CloseReason, Phase};
use super::transport::Transport;
use crate::proxy::{BareAnswer, CallerConnection};

/// How many requests of an HTTP/2 connection the guard may refuse before the connection ends.
const REFUSALS: u32 = 8;

/// How long an HTTP/2 connection may take to end after its GOAWAY, or to write its last frames.
const LAST_FRAMES: Duration = Duration::from_millis(250);

/// What the connections of one worker are served with.
pub(super) struct ConnectionContext {
    pub(super) registry: Rc<Registry>,
    /// `limits.connections`: one permit for each connection and each further HTTP/2 stream.
    pub(super) permits: Arc<Semaphore>,
    /// `limits.header`.
    pub(super) max_header: Cell<usize>,
    /// Makes, counts and logs the answers where no service can be asked: a whole HTTP/1.1 answer with
    /// `Connection: close`. It is called once for each such answer.
    pub(super) bare_answer: Rc<dyn Fn(BareAnswer) -> Bytes>,
    /// Whether these are connections of the admin listener, whose limits are no keys.
    pub(super) is_admin: bool,
}

/// Serves one connection until it ends. `make` makes its service, which has to be ready always.
pub(super) async fn serve<M, S, B>(accepted: Accepted, context: &ConnectionContext, make: M)
where
    M: FnOnce(Rc<CallerConnection>) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<ServiceError>,
    B: Body + 'static,
    B::Error: Into<ServiceError>,
{
    let tracked = context.registry.register();
    // TLS takes much room for its handshake, and none of it afterwards.
    let opening = Box::pin(open(accepted));
    let opened = match tracked.unless_closed(opening).await {
        Ok(Ok(Some(opened))) => opened,
        // The caller left without a request.
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            return tracing::info!(%error, "a caller's connection could not be served");
        }
        Err(reason) => return context.log_close(reason),
    };
    let caller = CallerConnection::new(opened.listener, context.registry.draining());
    let connection = Connection {
        caller: Rc::new(caller),
        tracked,
        context,
    };
    match opened.protocol {
        Protocol::Http1 => connection.http1(opened, make).await,
        Protocol::Http2 => connection.http2(opened, make).await,
        Protocol::Tls => connection.refuse_tls(opened.stream).await,
    }
}

/// How hyper's part of a connection ended.
enum Ended {
    /// hyper ended it, or the caller.
    Hyper(hyper::Result<()>),
    /// The server did.
    Closed(CloseReason),
    /// The caller reset the connection while nothing was read from it.
    Reset,
}

struct Connection<'a> {
    caller: Rc<CallerConnection>,
    tracked: Registration,
    context: &'a ConnectionContext,
}

impl Connection<'_> {
    async fn http1<M, S, B>(self, opened: Opened, make: M)
    where
        M: FnOnce(Rc<CallerConnection>) -> S,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Error: Into<ServiceError>,
        B: Body + 'static,
        B::Error: Into<ServiceError>,
    {
        let io = self.io(opened.stream, opened.sniffed, false);
        let requests = Requests::http1(Rc::clone(&self.caller), Rc::clone(&self.tracked));
        let service = TrackedService::new(make(Rc::clone(&self.caller)), Rc::clone(&requests));
        let mut connection = http1_builder(self.context.max_header.get())
            .serve_connection(TokioIo::new(io.clone()), service);
        let ended = self.drive_http1(&mut connection, &io).await;
        let ahead = connection.into_parts().read_buf;
        self.after_http1(ended, io, ahead, &requests).await;
    }

    async fn drive_http1<S, B>(
        &self,
        connection: &mut http1::Connection<TokioIo<CallerIo>, TrackedService<S>>,
        io: &CallerIo,
    ) -> Ended
    where
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Error: Into<ServiceError>,
        B: Body + 'static,
        B::Error: Into<ServiceError>,
    {
        let mut is_last = false;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_ended(io, cx) {
                return Poll::Ready(ended);
            }
            loop {
                // `poll_without_shutdown` would want the service's future to be boxed. `CallerIo` does not
                // shut down either, and this flushes what hyper has to say at the end.
                if let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
                    return Poll::Ready(Ended::Hyper(result));
                }
                // A request that has begun to arrive is waited for, and a first one for a moment.
                let is_due = matches!(
                    self.tracked.phase(),
                    Phase::Idle | Phase::Busy | Phase::Flushing
                );
                if is_last || !is_due || !self.tracked.is_stopping() {
                    return Poll::Pending;
                }
                is_last = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
        })
        .await
    }

    /// Ready when the connection ends for a reason that hyper does not know.
    fn poll_ended(&self, io: &CallerIo, cx: &Context<'_>) -> Poll<Ended> {
        if self.tracked.is_checked.take() && io.has_failed() {
            return Poll::Ready(Ended::Reset);
        }
        self.tracked.poll_closed(cx).map(Ended::Closed)
    }

    /// What follows the last answer of an HTTP/1.1 connection.
    async fn after_http1(self, ended: Ended, io: CallerIo, ahead: Bytes, requests: &Rc<Requests>) {
        let is_at_end = io.is_at_end();
        let limits = match ended {
            Ended::Closed(reason) => return self.close(reason, &io),
            Ended::Hyper(Err(error)) if error.is_parse() => {
                let is_too_large = error.is_parse_too_large();
                io.count_bare_answer(if is_too_large {
                    BareAnswer::HeaderTooLarge
                } else {
                    BareAnswer::BadRequest
                });
                // Where the next request would begin is not known.
                LingerLimits::UNREAD_BODY
            }
            Ended::Hyper(Ok(())) => {
                if let Some(takeover) = self.caller.takeover() {
                    let _busy = requests.begin();
                    if let Some(stream) = io.into_stream() {
                        takeover(stream, ahead).await;
                    }
                    return;
                }
                self.linger_limits()
            }
            // The caller has gone, or an answer broke off.
            Ended::Hyper(Err(_)) | Ended::Reset => {
                if self.caller.resets_on_close() {
                    io.reset();
                }
                return;
            }
        };
        if !is_at_end && let Some(stream) = io.into_stream() {
            self.linger(stream, limits).await;
        }
    }

    fn linger_limits(&self) -> LingerLimits {
        if self.caller.refusals() > 0 {
            LingerLimits::REFUSED
        } else if self.caller.request_is_read() {
            LingerLimits::COMPLETE
        } else {
            LingerLimits::UNREAD_BODY
        }
    }

    async fn linger(&self, stream: Box<dyn Transport>, limits: LingerLimits) {
        self.tracked.enter(Phase::Lingering);
        // It may be closed before its time to make room.
        let _ = self.tracked.unless_closed(linger(stream, limits)).await;
    }

    fn close(&self, reason: CloseReason, io: &CallerIo) {
        self.context.log_close(reason);
        if reason == CloseReason::WriteTimeout {
            // What was not read is dropped at once, and the answer cannot be taken for complete.
            io.reset();
        }
    }

    async fn http2<M, S, B>(self, opened: Opened, make: M)
    where
        M: FnOnce(Rc<CallerConnection>) -> S,
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Error: Into<ServiceError>,
        B: Body + 'static,
        B::Error: Into<ServiceError>,
    {
        let io = self.io(opened.stream, opened.sniffed, true);
        let permits = Arc::clone(&self.context.permits);
        let requests = Requests::http2(Rc::clone(&self.caller), Rc::clone(&self.tracked), permits);
        let service = TrackedService::new(make(Rc::clone(&self.caller)), requests);
        let mut connection = http2_builder().serve_connection(TokioIo::new(io.clone()), service);
        match self.drive_http2(&mut connection, &io).await {
            Ended::Closed(reason) => {
                self.close(reason, &io);
                if reason != CloseReason::WriteTimeout {
                    Pin::new(&mut connection).graceful_shutdown();
                    let ending = poll_fn(|cx| poll_http2(&mut connection, &io, cx));
                    let _ = timeout(LAST_FRAMES, ending).await;
                }
            }
            Ended::Reset => {}
            Ended::Hyper(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a caller's HTTP/2 connection ended");
                }
                let writing = poll_fn(|cx| io.poll_write_out(cx));
                let _ = timeout(LAST_FRAMES, writing).await;
            }
        }
    }

    async fn drive_http2<S, B>(&self, connection: &mut Http2<S>, io: &CallerIo) -> Ended
    where
        S: Service<Request<Incoming>, Response = Response<B>> + 'static,
        S::Error: Into<ServiceError>,
        B: Body + 'static,
        B::Error: Into<ServiceError>,
    {
        let mut is_last = false;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_ended(io, cx) {
                return Poll::Ready(ended);
            }
            let is_due = self.tracked.is_stopping() || self.caller.refusals() >= REFUSALS;
            if is_due && !is_last {
                is_last = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            poll_http2(connection, io, cx)
        })
        .await
    }

    async fn refuse_tls(self, mut stream: Box<dyn Transport>) {
        tracing::info!(
            "a caller speaks TLS to an address that does not; call it as http://, or add an https:// address to listen"
        );
        let answer = (self.context.bare_answer)(BareAnswer::TlsOnPlainPort);
        let writing = stream.write_all(&answer);
        if let Ok(Ok(())) = self.tracked.unless_closed(writing).await {
            self.linger(stream, LingerLimits::COMPLETE).await;
        }
    }

    fn io(&self, stream: Box<dyn Transport>, sniffed: Bytes, is_http2: bool) -> CallerIo {
        let bare_answer = Rc::clone(&self.context.bare_answer);
        let (caller, tracked) = (Rc::clone(&self.caller), Rc::clone(&self.tracked));
        CallerIo::new(stream, sniffed, caller, tracked, bare_answer, is_http2)
    }
}

type Http2<S> = http2::Connection<TokioIo<CallerIo>, TrackedService<S>, LocalExecutor>;

/// Gives hyper a turn, then writes all frames of the turn together.
fn poll_http2<S, B>(connection: &mut Http2<S>, io: &CallerIo, cx: &mut Context<'_>) -> Poll<Ended>
where
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<ServiceError>,
    B: Body + 'static,
    B::Error: Into<ServiceError>,
{
    let polled = Pin::new(connection).poll(cx);
    if let Poll::Ready(Err(_)) = io.poll_write_out(cx) {
        return Poll::Ready(Ended::Reset);
    }
    polled.map(Ended::Hyper)
}

impl ConnectionContext {
    fn log_close(&self, reason: CloseReason) {
        match reason {
            _ if self.is_admin => {
                tracing::debug!(?reason, "a connection to the admin listener was closed");
            }
            CloseReason::HeadTimeout => {
                tracing::info!(
                    "a caller took too long to send a request head (timeouts.header_read)"
                );
            }
            CloseReason::WriteTimeout => {
                tracing::info!("a caller did not read its answer (timeouts.idle)");
            }
            CloseReason::Evicted => {
                tracing::debug!(
                    "an idle connection was closed for another caller (limits.connections)"
                );
            }
            CloseReason::IdleTimeout | CloseReason::Draining => {}
        }
    }
}
