//! HTTP/2: connections that many requests share, each with a stream of its own.
//!
//! # What can go wrong
//!
//! The gateway may end a connection under running requests, and says then up to which one it got
//! (GOAWAY); or it refuses a single one. Requests that it did not process can be sent again. A
//! connection that stops answering would swallow every further request, so none is sent over it
//! once it is marked unusable.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, SendRequest};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, Request, Response, Uri};
use tokio::task::spawn_local;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::io::{ConnectionState, GatewayIo};
use super::streams::{StreamBody, Upload, final_response, upload as start_upload};
use super::{GatewayBody, MAX_FIELDS, SendBody};
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
pub(crate) const OFFER_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How long it is not offered to a gateway that asked for HTTP/1.1 (RFC 9113 §7,
/// `HTTP_1_1_REQUIRED`).
const REQUIRED_FOR: Duration = Duration::from_secs(600);

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
    /// Nothing has ruled it out, so other requests wait for a connection that is being opened.
    #[default]
    Likely,
    /// The gateway chose HTTP/1.1 the last time.
    Declined,
    /// It agreed to HTTP/2 but does not serve it. HTTP/2 is not offered until this time.
    Unusable(Instant),
}

impl Http2Support {
    /// HTTP/2 is offered.
    pub(crate) fn is_possible(self) -> bool {
        !matches!(self, Self::Unusable(until) if Instant::now() < until)
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
    /// The longest head of a response, in bytes.
    pub(crate) max_head: usize,
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
pub(crate) struct Http2Connection {
    origin: Rc<Http2Origin>,
    sender: SendRequest<Bytes>,
    pub(crate) state: Rc<ConnectionState>,
    /// Runs the connection. Aborted on drop: a gateway that reads nothing must not keep it open.
    _task: AbortOnDropHandle<()>,
    /// Takes no further requests.
    pub(crate) is_unusable: Cell<bool>,
}

impl Http2Connection {
    /// Starts HTTP/2 on a connection on which the gateway has agreed to it, within a `LocalSet`.
    ///
    /// Waits for the gateway's SETTINGS. Before them the gateway has not said how many requests it
    /// takes, and would refuse those beyond; and if they never arrive, no request is lost.
    pub(crate) async fn start(
        transport: Transport,
        origin: &Rc<Http2Origin>,
    ) -> Result<Self, Cause> {
        let (io, state) = GatewayIo::new(transport, true);
        // `h2` calls longer heads malformed, without saying why, so it gets to see only those that
        // exceed the limit by far.
        let header_list = u32::try_from(origin.max_head.saturating_mul(2)).unwrap_or(u32::MAX);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(SETTINGS_PENDING)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(header_list)
            // What still arrives for requests that were cancelled is no fault of the gateway's.
            .max_concurrent_reset_streams(MAX_STREAMS)
            .max_local_error_reset_streams(None);
        let (sender, connection) = builder.handshake(io.clone()).await?;
        let running = spawn_local(io.coalesced(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to the gateway has ended");
            }
        }));
        let connection = Self {
            origin: Rc::clone(origin),
            sender,
            state,
            _task: AbortOnDropHandle::new(running),
            is_unusable: Cell::default(),
        };
        connection.settings().await?;
        Ok(connection)
    }

    /// Waits for the gateway's SETTINGS; an error if it takes no requests.
    async fn settings(&self) -> Result<(), Cause> {
        poll_fn(|cx| {
            self.state.wake_later(cx);
            if self.state.ended.get().is_some() {
                return Poll::Ready(Err("the gateway closed the HTTP/2 connection".into()));
            }
            match self.sender.current_max_send_streams() {
                SETTINGS_PENDING => Poll::Pending,
                0 => Poll::Ready(Err("the gateway takes no requests over HTTP/2".into())),
                _ => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    /// Open, and has room for one more request now.
    pub(crate) fn has_room(self: &Rc<Self>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let ready = self.sender.clone().poll_ready(&mut context);
        !self.is_unusable.get()
            && self.state.ended.get().is_none()
            && matches!(ready, Poll::Ready(Ok(())))
            // As many as the gateway allows, which it may change at any time.
            && self.in_flight() < self.sender.current_max_send_streams().min(MAX_STREAMS)
    }

    /// How many requests it carries.
    pub(crate) fn in_flight(self: &Rc<Self>) -> usize {
        Rc::strong_count(self) - 1
    }

    /// Sends a request and receives the head of its response. `upload` sends the rest of the request
    /// until it is dropped.
    pub(crate) async fn send<B: SendBody>(
        &self,
        mut request: Request<B>,
        upload: &mut Option<Upload>,
    ) -> Result<Response<GatewayBody>, Error> {
        to_http2(&mut request, &self.origin.authority)
            .map_err(|error| Error::NotSent(error.into()))?;
        let retry = self.state.retry();
        let (head, body) = request.into_parts();
        let is_bodiless = body.is_end_stream();
        // A clone does not wait for a stream that another request opens.
        let mut sender = self.sender.clone();
        let sent = sender.send_request(Request::from_parts(head, ()), is_bodiless);
        let sent = sent.inspect_err(|_| self.is_unusable.set(true));
        let (response, stream) = sent.map_err(|error| Error::NotSent(error.into()))?;
        if !is_bodiless {
            *upload = start_upload(body, stream);
        }
        let response = final_response(response, |error| self.classify(error, retry)).await?;
        let headers = response.headers();
        // As HTTP/2 counts it (RFC 9113 §6.5.2).
        let sizes = (headers.iter()).map(|(name, value)| name.as_str().len() + value.len() + 32);
        if headers.len() > MAX_FIELDS || sizes.sum::<usize>() > self.origin.max_head {
            return Err(Error::AnswerHeaderTooLarge);
        }
        let left = headers.get(CONTENT_LENGTH);
        let left = left.and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(response.map(|stream| GatewayBody::Right(StreamBody { stream, left })))
    }

    /// Classifies a failure by what the gateway reports.
    fn classify(&self, error: h2::Error, retry: Retry) -> Error {
        if !error.is_reset() {
            // The connection has ended, or is going to.
            self.is_unusable.set(true);
        }
        let is_unprocessed = match (error.is_remote(), error.reason()) {
            (true, Some(Reason::HTTP_1_1_REQUIRED)) => {
                let until = Instant::now() + REQUIRED_FOR;
                self.origin.support.set(Http2Support::Unusable(until));
                true
            }
            (true, Some(Reason::REFUSED_STREAM)) => true,
            // To requests up to the one that GOAWAY names, the end of the connection is another
            // error.
            (true, _) => error.is_go_away(),
            // The gateway violated the protocol.
            (false, Some(_)) => return Error::BadResponse(error.into()),
            (false, None) => false,
        };
        if is_unprocessed {
            self.is_unusable.set(true);
            Error::NotSent(error.into())
        } else {
            Error::UpstreamReset(error.into(), retry)
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_kept_out_of_the_tables_of_both_sides() {
        let mut request = Request::get("/a?b")
            .header(HOST, "h")
            .header("authorization", "x")
            .header("x-stage", "y")
            .body(())
            .unwrap();
        to_http2(&mut request, &Authority::from_static("gateway.example")).unwrap();
        assert_eq!(request.uri(), "https://gateway.example/a?b");
        let headers = request.headers();
        assert!(headers["authorization"].is_sensitive() && !headers["x-stage"].is_sensitive());
        assert!(!headers.contains_key(HOST));
    }
}
