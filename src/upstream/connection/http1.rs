//! HTTP/1.1: a connection that carries one request at a time.
//!
//! hyper's connection runs in a task of its own, which goes on with an upload while its response is
//! read, and notices when the gateway closes an idle connection.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::io::{ConnectionState, GatewayIo};
use super::{GatewayBody, MAX_FIELDS, MAX_INTERIM, SendBody};
use crate::error::{Error, Retry};
use crate::upstream::connector::Transport;

/// The least that hyper may buffer in each direction, in bytes. Less makes uploads slower.
const MIN_BUFFER: usize = 128 * 1024;

/// How long hyper may take to give back the stream after a 101.
const UPGRADE_LIMIT: Duration = Duration::from_secs(5);

/// An HTTP/1.1 connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Http1Connection<B: SendBody> {
    pub(crate) sender: http1::SendRequest<PacedBody<B>>,
    /// Ends with the stream, for another protocol. `None` after a failure.
    task: Option<AbortOnDropHandle<Option<(GatewayIo, Bytes)>>>,
    pub(crate) state: Rc<ConnectionState>,
}

impl<B: SendBody> Http1Connection<B> {
    /// Starts HTTP/1.1 on a connection. To be called within a `LocalSet`.
    pub(crate) async fn start(transport: Transport, max_head: usize) -> hyper::Result<Self> {
        let (io, state) = GatewayIo::new(transport, false);
        let mut builder = http1::Builder::new();
        builder
            // hyper refuses a head that does not fit into its buffer, whatever max_header_size
            // says.
            .max_buf_size(max_head.max(MIN_BUFFER))
            .max_header_size(max_head)
            .max_headers(MAX_FIELDS);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        let running = connection_task(connection, Rc::clone(&state));
        let task = AbortOnDropHandle::new(tokio::task::spawn_local(running));
        Ok(Self {
            sender,
            task: Some(task),
            state,
        })
    }

    /// Sends a request and receives the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<GatewayBody>, Error> {
        let mut request = request.map(|body| PacedBody {
            body,
            state: Rc::clone(&self.state),
        });
        let too_many_interim = limit_interim(&mut request);
        let before = self.state.traffic.get();
        let answer = tokio::select! {
            biased;
            // First, since the connection may have ended after them.
            () = too_many_interim.notified() => {
                Err(Error::BadResponse("it is preceded by too many interim answers".into()))
            }
            answer = self.sender.try_send_request(request) => {
                answer.map_err(|error| self.classify(error, before))
            }
        };
        // If it fails, hyper may have given up, but its task still holds the stream.
        let answer = answer.and_then(check_coding);
        let answer = answer.inspect_err(|_| self.task = None)?;
        Ok(answer.map(GatewayBody::Left))
    }

    /// Classifies a failure by how far the exchange got.
    fn classify<R>(&self, mut error: TrySendError<R>, before: (u64, u64)) -> Error {
        let was_taken = error.take_message().is_none();
        let error = error.into_error();
        let (written, read) = self.state.traffic.get();
        match before {
            _ if !was_taken => Error::NotSent(error.into()),
            _ if error.is_parse_too_large() => Error::AnswerHeaderTooLarge,
            _ if error.is_parse() => Error::BadResponse(error.into()),
            (at, _) if written == at => Error::NotSent(error.into()),
            (_, at) if read == at => Error::UpstreamReset(error.into(), self.state.retry()),
            _ => Error::UpstreamReset(error.into(), Retry::Never),
        }
    }

    /// The stream after a 101, and what was read of it already.
    pub(crate) async fn into_stream(self) -> io::Result<(GatewayIo, Bytes)> {
        let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let ended = timeout(UPGRADE_LIMIT, self.task.ok_or_else(closed)?).await?;
        ended.map_err(io::Error::other)?.ok_or_else(closed)
    }
}

/// Runs a connection to its end. It is not shut down: another protocol may go on with the stream.
async fn connection_task<B: SendBody>(
    connection: http1::Connection<TokioIo<GatewayIo>, PacedBody<B>>,
    state: Rc<ConnectionState>,
) -> Option<(GatewayIo, Bytes)> {
    let outcome = connection.without_shutdown().await;
    state.ended.set(Some(Instant::now()));
    match outcome {
        Ok(parts) => Some((parts.io.into_inner(), parts.read_buf)),
        Err(error) => {
            tracing::debug!(%error, "a connection to the gateway has ended");
            None
        }
    }
}

/// Notifies when a request gets more interim responses than it may.
fn limit_interim<B>(request: &mut Request<B>) -> Arc<Notify> {
    let too_many = Arc::new(Notify::new());
    let (count, notify) = (AtomicUsize::new(0), Arc::clone(&too_many));
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_INTERIM {
            notify.notify_one();
        }
    });
    too_many
}

/// Refuses another transfer coding than `chunked`, once. hyper looks at the last coding only, so
/// the body would not be what it seems.
fn check_coding(answer: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    let is_chunked = first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if is_chunked && codings.next().is_none() {
        return Ok(answer);
    }
    let message = "its Transfer-Encoding is not chunked, once";
    Err(Error::BadResponse(message.into()))
}

/// A request body that waits while a write does. hyper would queue as much of it as the head of an
/// answer may have, which is a quarter of a MiB for each upload that is faster than the gateway.
#[derive(Debug)]
pub(crate) struct PacedBody<B> {
    body: B,
    state: Rc<ConnectionState>,
}

impl<B: SendBody> Body for PacedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        ready!(self.state.poll_writable(cx));
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
