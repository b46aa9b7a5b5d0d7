//! A connection to the gateway: sends one request and receives its answer, over HTTP/1.1 or HTTP/2.

mod body;
mod http1;
mod http2;
mod io;

use std::error::Error as StdError;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::pool::{Pool, Pooled};
pub(super) use http1::Http1Connection;
pub(super) use http2::{Concurrency, Http2Connections, Http2Stream};

/// Any error, as the cause of a [`SendError`].
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The longest answer head that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Header fields.
    pub fields: usize,
}

impl AnswerLimits {
    /// The most header fields that are accepted, unless a test wants otherwise.
    pub const MAX_FIELDS: usize = 500;

    /// Whether a head exceeds them, as HTTP/2 counts it (RFC 9113 §6.5.2).
    fn are_exceeded(self, headers: &HeaderMap) -> bool {
        let sizes = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32);
        headers.len() > self.fields || sizes.sum::<usize>() > self.bytes
    }
}

/// Why no answer was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The gateway did not process the request: nothing was sent, or the gateway says so. It can be sent
    /// again, whatever its method.
    #[error("the request was not processed")]
    NotSent(#[source] BoxError),
    /// The connection ended before anything of an answer was received.
    #[error("the connection ended without an answer")]
    NoAnswer(#[source] BoxError),
    /// The answer is not well-formed HTTP.
    #[error("the answer is not well-formed HTTP")]
    BadResponse(#[source] BoxError),
    /// The head of the answer exceeds [`AnswerLimits`].
    #[error("the head of the answer is too large")]
    AnswerHeadTooLarge,
    /// The gateway sends interim answers (1xx) without end.
    #[error("the gateway sent too many interim answers")]
    TooManyInterim,
    /// The connection ended in the middle of the answer's head, or after interim answers.
    #[error("the connection ended in the middle of the answer")]
    Broken(#[source] BoxError),
    /// The request body failed; this is its own error, or hyper's if the body is shorter than it declared.
    #[error("the request body failed")]
    RequestBody(#[source] BoxError),
}

/// A request that got no answer; its body is still there if nothing of the request was taken.
struct Unsent<B> {
    error: SendError,
    body: Option<B>,
}

impl<B> From<SendError> for Unsent<B> {
    fn from(error: SendError) -> Self {
        Self { error, body: None }
    }
}

/// A byte stream after a protocol switch.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection that was acquired for one request.
///
/// It belongs to the answer as well: keep it until the answer's body was read to its end, then
/// [release](Self::release) it. Dropping it closes an HTTP/1.1 connection and ends an HTTP/2 stream.
#[derive(Debug)]
pub struct Connection<B> {
    protocol: Protocol<B>,
    /// The body of a request that was not taken, until the caller asks for it.
    unsent: Option<B>,
    /// Held until drop: it bounds the connections to the origin.
    permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Protocol<B> {
    Http1(Box<Http1Connection<B>>, Rc<Pool<Http1Connection<B>>>),
    Http2(Http2Stream<B>),
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn http1(
        connection: Http1Connection<B>,
        pool: &Rc<Pool<Http1Connection<B>>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            protocol: Protocol::Http1(Box::new(connection), Rc::clone(pool)),
            unsent: None,
            permit,
        }
    }

    pub(super) fn http2(stream: Http2Stream<B>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            protocol: Protocol::Http2(stream),
            unsent: None,
            permit,
        }
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> Option<Rc<Pool<Http1Connection<B>>>> {
        match &self.protocol {
            Protocol::Http1(_, pool) => Some(Rc::clone(pool)),
            Protocol::Http2(_) => None,
        }
    }

    /// Whether it has carried a request before, so that the gateway may be closing it for being idle.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        match &self.protocol {
            Protocol::Http1(connection, _) => connection.is_reused(),
            Protocol::Http2(stream) => stream.is_reused(),
        }
    }

    /// Whether it is a stream of a connection that other requests share.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2(_))
    }

    /// Sends a request and receives the head of its answer, which may arrive while the body is still sent; the
    /// upload goes on then. Interim answers are dropped; a 101 is returned, whether it was asked for or not.
    ///
    /// The request has an origin-form target and a `Host` header. Over HTTP/2, `:authority` is the
    /// origin's, and headers of the connection are left out.
    ///
    /// # Errors
    ///
    /// A [`SendError`]. After [`SendError::NotSent`], [`Self::take_unsent_body`] may give the body back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes an HTTP/1.1 connection, and resets an HTTP/2 stream.
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, SendError> {
        let answer = match &mut self.protocol {
            Protocol::Http1(connection, _) => connection.send(request).await,
            Protocol::Http2(stream) => stream.send(request).await,
        };
        answer.map_err(|unsent| {
            self.unsent = unsent.body;
            unsent.error
        })
    }

    /// The body of a request that failed with [`SendError::NotSent`] before anything of it was read.
    pub fn take_unsent_body(&mut self) -> Option<B> {
        self.unsent.take()
    }

    /// Returns it to the pool once both sides have finished the exchange, or closes it if it cannot carry
    /// another one. An HTTP/2 stream ends. To be called within a `LocalSet`.
    pub fn release(self) {
        let Protocol::Http1(connection, pool) = self.protocol else {
            return;
        };
        if connection.is_ready() {
            pool.put(*connection);
        } else if !connection.is_closed() {
            // hyper notices a moment after the last byte that it was the last.
            let permit = self.permit;
            tokio::task::spawn_local(async move {
                let finished = connection.finished().await;
                drop(permit);
                if let Some(connection) = finished {
                    pool.put(connection);
                }
            });
        }
    }

    /// Prevents further requests over a shared connection on which the gateway does not answer.
    pub fn mark_unusable(&self) {
        if let Protocol::Http2(stream) = &self.protocol {
            stream.mark_unusable();
        }
    }

    /// The stream of the new protocol after a 101, and what was read of it already.
    ///
    /// # Errors
    ///
    /// [`std::io::ErrorKind::Unsupported`] over HTTP/2, and what ended the connection.
    pub async fn into_stream(self) -> std::io::Result<(Box<dyn Stream>, Bytes)> {
        match self.protocol {
            Protocol::Http1(connection, _) => {
                let (transport, read_ahead) = connection.into_stream().await?;
                let stream = io::Permitted::new(transport, self.permit);
                Ok((Box::new(stream), read_ahead))
            }
            Protocol::Http2(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }
}
