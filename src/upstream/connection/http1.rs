//! HTTP/1.1: a connection that carries one request at a time.
//!
//! hyper's connection runs in a task of its own, which goes on with an upload while its answer is read, and notices
//! when the gateway closes an idle connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::TRANSFER_ENCODING;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::body::{BodyFailure, TrackedBody};
use super::io::{CountedIo, Mark, Traffic};
use super::{AnswerLimits, BoxError, SendError, Unsent};
use crate::upstream::connector::Transport;
use crate::upstream::pool::Pooled;

/// The least that hyper may buffer in each direction, in bytes. Less makes uploads slower.
const MIN_BUFFER: usize = 128 * 1024;

/// How many interim answers (1xx) a request may get.
const MAX_INTERIM: usize = 32;

/// How long a released connection may take to finish its last exchange.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// How long hyper may take to give back the stream after a 101.
const UPGRADE_LIMIT: Duration = Duration::from_secs(5);

/// An HTTP/1.1 connection. Dropping it closes it.
#[derive(Debug)]
pub(in crate::upstream) struct Http1Connection<B> {
    sender: http1::SendRequest<TrackedBody<B>>,
    /// None after a failure, which closes the connection.
    task: Option<ConnectionTask>,
    traffic: Rc<Traffic>,
    ended: Rc<Cell<Option<Instant>>>,
    opened: Instant,
    is_reused: bool,
}

/// The task of a connection; it ends with the stream, unless the gateway has closed that.
#[derive(Debug)]
struct ConnectionTask(JoinHandle<Option<(Transport, Bytes)>>);

/// Counts interim answers; the callback of hyper has to be `Send`.
#[derive(Debug, Default)]
struct InterimCounter {
    count: AtomicUsize,
    waker: AtomicWaker,
}

impl<B> Http1Connection<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Starts HTTP/1.1 on a connection. To be called within a `LocalSet`.
    pub(in crate::upstream) async fn start(
        transport: Transport,
        limits: AnswerLimits,
    ) -> hyper::Result<Self> {
        let (io, traffic) = CountedIo::new(transport);
        let mut builder = http1::Builder::new();
        builder
            // hyper refuses a head that does not fit into its buffer, whatever max_header_size says.
            .max_buf_size(limits.bytes.max(MIN_BUFFER))
            .max_header_size(limits.bytes)
            .max_headers(limits.fields);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        let ended = Rc::default();
        let driving = drive(connection, Rc::clone(&traffic), Rc::clone(&ended));
        Ok(Self {
            sender,
            task: Some(ConnectionTask(tokio::task::spawn_local(driving))),
            traffic,
            ended,
            opened: Instant::now(),
            is_reused: false,
        })
    }

    /// Whether it has carried a request before.
    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Whether it has ended, so that it can carry nothing more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and receives the head of its answer.
    pub(super) async fn send(
        &mut self,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, Unsent<B>> {
        let interim = Arc::<InterimCounter>::default();
        interim.watch(&mut request);
        let (head, body) = request.into_parts();
        let (body, failure) = TrackedBody::new(body, Some(Rc::clone(&self.traffic)));
        let mark = self.traffic.mark();
        let mut answer = pin!(
            self.sender
                .try_send_request(Request::from_parts(head, body))
        );
        let answer = poll_fn(|cx| {
            interim.waker.register(cx.waker());
            if interim.count.load(Ordering::Relaxed) > MAX_INTERIM {
                return Poll::Ready(None);
            }
            answer.as_mut().poll(cx).map(Some)
        });
        match answer.await {
            Some(Ok(answer)) if is_other_coding(&answer) => {
                self.task = None;
                Err(
                    SendError::BadResponse("its Transfer-Encoding is not chunked, once".into())
                        .into(),
                )
            }
            Some(Ok(answer)) => Ok(answer),
            failed => {
                // hyper has given up, and its task may be over, but that still holds the stream.
                self.task = None;
                Err(match failed {
                    Some(Err(error)) => self.classify(error, mark, &failure),
                    _ => SendError::TooManyInterim.into(),
                })
            }
        }
    }

    fn classify(
        &self,
        mut error: TrySendError<Request<TrackedBody<B>>>,
        mark: Mark,
        failure: &BodyFailure,
    ) -> Unsent<B> {
        if let Some(request) = error.take_message() {
            return Unsent {
                error: SendError::NotSent(error.into_error().into()),
                body: Some(request.into_body().into_inner()),
            };
        }
        let error = error.into_error();
        if let Some(error) = failure.take() {
            SendError::RequestBody(error)
        } else if error.is_parse_too_large() {
            SendError::AnswerHeadTooLarge
        } else if error.is_parse() {
            SendError::BadResponse(error.into())
        } else if error.is_body_write_aborted() {
            SendError::RequestBody(error.into())
        } else if !self.traffic.has_written_since(mark) {
            SendError::NotSent(error.into())
        } else if !self.traffic.has_read_since(mark) {
            SendError::NoAnswer(error.into())
        } else {
            SendError::Broken(error.into())
        }
        .into()
    }

    /// Waits until the exchange is over; `None` if the connection cannot carry another one.
    pub(super) async fn finished(mut self) -> Option<Self> {
        let ready = timeout(RELEASE_LIMIT, self.sender.ready()).await;
        matches!(ready, Ok(Ok(()))).then_some(self)
    }

    /// The stream after a 101, and what was read of it already.
    pub(super) async fn into_stream(mut self) -> io::Result<(Transport, Bytes)> {
        let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut task = self.task.take().ok_or_else(closed)?;
        let ended = timeout(UPGRADE_LIMIT, &mut task.0).await?;
        ended.map_err(io::Error::other)?.ok_or_else(closed)
    }
}

impl<B> Pooled for Http1Connection<B> {
    fn opened(&self) -> Instant {
        self.opened
    }

    fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    fn taken(&mut self) {
        self.is_reused = true;
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl InterimCounter {
    fn watch<B>(self: &Arc<Self>, request: &mut Request<B>) {
        let counter = Arc::clone(self);
        hyper::ext::on_informational(request, move |_| {
            if counter.count.fetch_add(1, Ordering::Relaxed) >= MAX_INTERIM {
                counter.waker.wake();
            }
        });
    }
}

/// Whether a body has another transfer coding than `chunked`. hyper looks at the last coding only, so the body
/// would not be what it seems.
fn is_other_coding(answer: &Response<Incoming>) -> bool {
    let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    let is_chunked = first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    !is_chunked || codings.next().is_some()
}

/// Runs a connection to its end.
async fn drive<B>(
    mut connection: http1::Connection<TokioIo<CountedIo<Transport>>, TrackedBody<B>>,
    traffic: Rc<Traffic>,
    ended: Rc<Cell<Option<Instant>>>,
) -> Option<(Transport, Bytes)>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    // It does not shut the stream down, which another protocol may go on with.
    let outcome = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    ended.set(Some(Instant::now()));
    if let Err(error) = &outcome {
        tracing::debug!(%error, "a connection to the gateway has ended");
    }
    let parts = connection.into_parts();
    let is_open = outcome.is_ok() && !traffic.is_read_closed();
    is_open.then(|| (parts.io.into_inner().into_inner(), parts.read_buf))
}
