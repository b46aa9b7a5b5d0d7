//! A connection that a request has acquired, over either protocol.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::connection::{
    GatewayBody, GatewayIo, Http1Connection, Http2Connection, SendBody, Upload,
};
use super::connector::ConnectTimes;
use super::pool::Pool;
use super::tls;
use crate::error::Error;

/// How long a released connection may take to finish its last exchange.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// A connection that was acquired for one request.
///
/// Keep it until the response's body was read to its end, then [release](Self::release) it. Dropping
/// it closes an HTTP/1.1 connection and ends an HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct Connection<B: SendBody> {
    pub(super) protocol: Protocol<B>,
    /// Held until drop: it bounds the connections to the origin.
    pub(super) permit: OwnedSemaphorePermit,
    /// How long opening it took; all steps are `None` for one that was open already.
    pub(crate) connect_times: ConnectTimes,
}

/// A connection without its permit.
#[derive(Debug)]
pub(super) enum Protocol<B: SendBody> {
    Http1(Http1Connection<B>, Rc<Pool<B>>),
    Http2(Rc<Http2Connection>, Option<Upload>),
}

impl<B: SendBody> Connection<B> {
    /// True for a stream of a connection that other requests share.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2(..))
    }

    /// Sends a request and receives the head of its response, which may arrive while the body is
    /// still sent; the upload goes on then. Interim answers are dropped; over
    /// HTTP/1.1, a 101 is returned, also if it was not asked for.
    ///
    /// The request has an origin-form target and a `Host` header. Over HTTP/2, `:authority` is the
    /// origin's, and headers of the connection are left out.
    ///
    /// If the request body failed, that is one of the errors too. Dropping the future closes an
    /// HTTP/1.1 connection, and resets an HTTP/2 stream.
    pub(crate) async fn send(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<GatewayBody>, Error> {
        let (answer, state) = match &mut self.protocol {
            Protocol::Http1(connection, _) => (connection.send(request).await, &connection.state),
            Protocol::Http2(connection, upload) => {
                (connection.send(request, upload).await, &connection.state)
            }
        };
        if answer.is_ok() {
            state.has_answered.set(true);
        }
        answer.map_err(|error| match error {
            // In TLS 1.3, the gateway refuses a certificate after the handshake.
            Error::UpstreamReset(cause, _) | Error::NotSent(cause)
                if tls::is_about_certificate(&*cause) =>
            {
                Error::ClientCertificate(cause)
            }
            error => error,
        })
    }

    /// Returns it to the pool once both sides have finished the exchange, or closes it if it cannot
    /// carry another one. An HTTP/2 stream ends. To be called within a `LocalSet`.
    pub(crate) fn release(self) {
        let Protocol::Http1(mut connection, pool) = self.protocol else {
            return;
        };
        if connection.sender.is_ready() {
            pool.put(connection);
        } else if !connection.sender.is_closed() {
            // hyper notices a moment after the last byte that it was the last.
            let permit = self.permit;
            tokio::task::spawn_local(async move {
                let ready = timeout(RELEASE_LIMIT, connection.sender.ready()).await;
                drop(permit);
                if let Ok(Ok(())) = ready {
                    pool.put(connection);
                }
            });
        }
    }

    /// Prevents further requests over a shared connection on which the gateway does not answer.
    pub(crate) fn mark_unusable(&self) {
        if let Protocol::Http2(connection, _) = &self.protocol {
            connection.is_unusable.set(true);
        }
    }

    /// The stream of the new protocol after a 101, and what was read of it already. Fails over
    /// HTTP/2.
    pub(crate) async fn into_stream(self) -> io::Result<(GatewayIo, Bytes)> {
        let Protocol::Http1(connection, _) = self.protocol else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let (stream, read_ahead) = connection.into_stream().await?;
        stream.switch(self.permit);
        Ok((stream, read_ahead))
    }
}
