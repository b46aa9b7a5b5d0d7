//! Response bodies on their way to the caller.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Progress, RequestBody};
use crate::proxy::idle::IdleTimer;
use crate::upstream::Connection;

/// A response body on its way to the caller.
#[derive(Debug)]
pub enum ResponseBody {
    /// An answer of the proxy's own.
    Own(Option<Bytes>),
    /// An answer of the gateway's.
    Relayed(Box<Relayed>),
}

/// A body that is passed on while it arrives. It holds the connection that it comes over, which goes
/// back to the pool with the last byte, and is closed if the caller does not wait for that.
#[derive(Debug)]
pub struct Relayed {
    pub(in crate::proxy) body: Incoming,
    pub(in crate::proxy) idle: IdleTimer,
    pub(in crate::proxy) connection: Option<Connection<RequestBody>>,
    /// Of the request body.
    pub(in crate::proxy) progress: Option<Rc<Progress>>,
}

impl Relayed {
    /// To be called when the body has been read to its end.
    pub(in crate::proxy) fn finish(&mut self) {
        let sent = self
            .progress
            .as_ref()
            .is_none_or(|progress| progress.is_complete());
        if let Some(connection) = self.connection.take()
            && sent
        {
            connection.release();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseEnded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseEnded>>> {
        match &mut *self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relayed) => relayed.poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Relayed(relayed) => relayed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Relayed(relayed) => relayed.body.size_hint(),
        }
    }
}

impl Relayed {
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseEnded>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                ready!(self.idle.poll_expired(cx));
                return Poll::Ready(Some(Err(ResponseEnded::Idle.recorded())));
            };
            self.idle.stop();
            if self.body.is_end_stream() || frame.is_none() {
                self.finish();
            }
            return Poll::Ready(match frame {
                None => None,
                Some(Err(error)) => Some(Err(ResponseEnded::Broken(error).recorded())),
                Some(Ok(frame)) if frame.is_data() => Some(Ok(frame)),
                // Trailers are not passed on; the end comes next.
                Some(Ok(_)) => continue,
            });
        }
    }
}

/// Why a response body ended early. The caller's connection is then cut off, so that the answer
/// cannot be taken for a complete one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseEnded {
    /// Nothing came for `timeouts.idle`.
    #[error("the gateway's answer stood still for too long (timeouts.idle)")]
    Idle,
    /// The connection to the gateway broke.
    #[error("the gateway's answer broke off")]
    Broken(#[source] hyper::Error),
}

impl ResponseEnded {
    /// Written to the log here, since the answer's head has been sent and recorded before.
    fn recorded(self) -> Self {
        let cause = std::error::Error::source(&self)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::warn!(%cause, "{self}; the caller's connection is cut off");
        self
    }
}
