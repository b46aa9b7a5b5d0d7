//! Serves one connection to its end, with hyper.
//!
//! Once the protocol is known, hyper reads requests and writes responses until either side ends the
//! connection. The last response of an HTTP/1.1 connection decides what follows: a WebSocket takes
//! the stream over, or the caller gets the time to read.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tower::Service;

use super::accept::{Accepted, Connected, ConnectionPermit};
use super::handshake::{Opened, Protocol, Transport, open};
use super::io::{CallerIo, NOT_HTTP};
use super::linger::{AFTER_REFUSAL, COMPLETE, LingerLimits, UNREAD_BODY, linger};
use super::registry::{CloseReason, ConnectionState, Phase, Registry};
use super::requests::{BoxError, InFlight, call};
use crate::error::Error;
use crate::proxy::CallerConnection;

/// How many bytes of a body hyper reads ahead at most. A connection may hold two such pieces. Twice
/// as much makes streamed uploads 3 % faster.
const READ_AHEAD: usize = 64 * 1024;

/// How many requests of an HTTP/2 connection the guard may refuse before the connection ends.
const MAX_REFUSALS: u32 = 8;

/// How long an HTTP/2 connection may take to end after its GOAWAY, or to write its last frames.
const LAST_FRAMES_TIMEOUT: Duration = Duration::from_millis(250);

/// Serves one connection until it ends. `make` makes its service, which must always be ready.
pub(super) async fn serve<M, S, B>(
    connected: Connected,
    _permit: ConnectionPermit,
    registry: Rc<Registry>,
    make: M,
) where
    M: FnOnce(Rc<CallerConnection>) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: 'static>
        + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let state = registry.register(&connected);
    let Some((stream, protocol, sniffed)) = handshake(connected.0, &state).await else {
        return;
    };
    state.is_http2.set(protocol == Protocol::Http2);
    let service = RefCell::new(make(Rc::clone(&state.caller)));
    let io = CallerIo::new(stream, sniffed, &state);
    let hyper_io = TokioIo::new(io.clone());
    let requests = Rc::clone(&state);
    let service = service_fn(move |request| call(&service, &requests, request));
    let driver = Driver { state, io };
    if protocol == Protocol::Http2 {
        let mut connection = http2_builder().serve_connection(hyper_io, service);
        let finish = http2::Connection::graceful_shutdown;
        let ended = driver.run(&mut connection, finish).await;
        driver.after_http2(ended, &mut connection, finish).await;
    } else {
        let max_header = registry.limits.get().max_header;
        // `poll_without_shutdown` would want the service's future to be boxed. `CallerIo` does not
        // shut down either, and this flushes hyper's last bytes.
        let mut connection = http1_builder(max_header).serve_connection(hyper_io, service);
        let finish = http1::Connection::graceful_shutdown;
        let ended = driver.run(&mut connection, finish).await;
        let read_ahead = connection.into_parts().read_buf;
        driver.after_http1(ended, read_ahead).await;
    }
}

fn http1_builder(max_header: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The end of a caller's stream means that the caller has gone.
        .half_close(false)
        .max_header_size(max_header)
        .max_buf_size(READ_AHEAD.max(max_header))
        // The registry tells heads from idle connections; this timer does not.
        .header_read_timeout(None)
        // Responses have the gateway's date.
        .auto_date_header(false);
    builder
}

fn http2_builder() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .auto_date_header(false);
    builder
}

/// Detects the protocol of a connection; `None` if it ends without HTTP.
async fn handshake(accepted: Accepted, state: &ConnectionState) -> Option<Opened> {
    // The future of a TLS handshake is large, and is dropped after it.
    let opening = Box::pin(open(accepted));
    match state.unless_closed(opening).await {
        Ok(Ok(Some((stream, Protocol::Tls, _)))) => refuse_tls(stream, state).await,
        Ok(Ok(opened)) => return opened,
        Ok(Err(error)) => tracing::info!(%error, "a caller's connection could not be served"),
        Err(reason) => state.log_close(reason),
    }
    None
}

/// How hyper's part of a connection ended: by itself, or because the server closes the connection.
type HyperResult = Result<hyper::Result<()>, CloseReason>;

struct Driver {
    state: Rc<ConnectionState>,
    io: CallerIo,
}

impl Driver {
    /// Ends an HTTP/1.1 connection after its last response.
    async fn after_http1(self, ended: HyperResult, read_ahead: Bytes) {
        let caller = &self.state.caller;
        let is_at_end = self.io.is_at_end();
        let limits = match ended {
            Err(reason) => return self.close(reason),
            Ok(Err(error)) if error.is_parse() => return self.refuse(&error).await,
            // The caller has gone, or a response broke off.
            Ok(Err(_)) => return self.close(CloseReason::Reset),
            Ok(Ok(())) => {
                if let Some(takeover) = caller.takeover.take() {
                    let _busy = InFlight::begin(&self.state);
                    if let Some(stream) = self.io.into_stream() {
                        takeover(stream, read_ahead).await;
                    }
                    return;
                }
                match (caller.refusals.get(), caller.request_is_read.get()) {
                    (0, true) => COMPLETE,
                    (0, false) => UNREAD_BODY,
                    _ => AFTER_REFUSAL,
                }
            }
        };
        if !is_at_end && let Some(stream) = self.io.into_stream() {
            linger(stream, limits, &self.state).await;
        }
    }

    /// Answers bytes that hyper could not parse, in its place.
    async fn refuse(self, error: &hyper::Error) {
        let held_back = self.io.bare_answer();
        let is_held_back = held_back.is_some();
        let error = held_back.unwrap_or(match error.is_parse_too_large() {
            true => Error::HeaderTooLarge,
            false => NOT_HTTP,
        });
        let answer = (self.state.registry.bare_answers)(&error);
        // If nothing was held back, hyper has written its own response, or cannot write.
        let unwritten = if is_held_back { &*answer } else { b"" };
        if let Some(stream) = self.io.into_stream() {
            // Where the next request would begin is not known.
            write_last(stream, unwritten, UNREAD_BODY, &self.state).await;
        }
    }

    /// Writes the last frames of an HTTP/2 connection.
    async fn after_http2<C>(self, ended: HyperResult, connection: &mut C, finish: fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>> + Unpin,
    {
        match ended {
            Err(reason) => {
                self.close(reason);
                if !matches!(reason, CloseReason::Reset | CloseReason::WriteTimeout) {
                    finish(Pin::new(connection));
                    let ending = poll_fn(|cx| self.poll(connection, cx));
                    let _ = timeout(LAST_FRAMES_TIMEOUT, ending).await;
                }
            }
            Ok(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a caller's HTTP/2 connection ended");
                }
                let writing = poll_fn(|cx| self.io.poll_write_out(cx));
                let _ = timeout(LAST_FRAMES_TIMEOUT, writing).await;
            }
        }
    }

    /// Runs hyper until it ends the connection, or the server closes it. Calls `finish` once the
    /// current request is the last one.
    async fn run<C>(&self, connection: &mut C, finish: fn(Pin<&mut C>)) -> HyperResult
    where
        C: Future<Output = hyper::Result<()>> + Unpin,
    {
        let mut is_last = false;
        poll_fn(|cx| {
            if self.state.is_checked.take() && self.io.has_failed() {
                return Poll::Ready(Err(CloseReason::Reset));
            }
            if let Poll::Ready(reason) = self.state.poll_closed(cx) {
                return Poll::Ready(Err(reason));
            }
            loop {
                if let Poll::Ready(ended) = self.poll(connection, cx) {
                    return Poll::Ready(ended);
                }
                if is_last || !self.is_last_request() {
                    return Poll::Pending;
                }
                is_last = true;
                finish(Pin::new(connection));
            }
        })
        .await
    }

    /// Gives hyper a turn, then writes all HTTP/2 frames of the turn together.
    fn poll<C>(&self, connection: &mut C, cx: &mut Context<'_>) -> Poll<HyperResult>
    where
        C: Future<Output = hyper::Result<()>> + Unpin,
    {
        let polled = Pin::new(connection).poll(cx);
        if self.state.is_http2.get()
            && let Poll::Ready(Err(_)) = self.io.poll_write_out(cx)
        {
            return Poll::Ready(Err(CloseReason::Reset));
        }
        polled.map(Ok)
    }

    fn is_last_request(&self) -> bool {
        let state = &self.state;
        if state.is_http2.get() && state.caller.refusals.get() >= MAX_REFUSALS {
            return true;
        }
        // The server waits for a request that has begun to arrive, and briefly for a first one.
        let is_due = matches!(state.phase(), Phase::Idle | Phase::Busy | Phase::Flushing);
        is_due && state.registry.stopping.get()
    }

    fn close(&self, reason: CloseReason) {
        self.state.log_close(reason);
        let is_until_close = self.state.caller.resets_on_close.get();
        // So the caller cannot take a response that was cut off for a complete one.
        if reason == CloseReason::WriteTimeout || (reason == CloseReason::Reset && is_until_close) {
            self.io.reset();
        }
    }
}

async fn refuse_tls(stream: Box<dyn Transport>, state: &ConnectionState) {
    tracing::info!(
        "a caller speaks TLS to a plain HTTP address; use http://, or add an https:// address to listen"
    );
    let error = Error::BadRequest(
        "this is TLS, and plain HTTP is spoken here\nhint: write `http://` instead of `https://`",
    );
    let answer = (state.registry.bare_answers)(&error);
    write_last(stream, &answer, COMPLETE, state).await;
}

/// Writes a response that no service has made, and closes the connection.
async fn write_last(
    mut stream: Box<dyn Transport>,
    answer: &[u8],
    limits: LingerLimits,
    state: &ConnectionState,
) {
    if let Ok(Ok(())) = state.unless_closed(stream.write_all(answer)).await {
        linger(stream, limits, state).await;
    }
}

/// Runs HTTP/2 streams as tasks of the worker's thread. They end with their connection.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
