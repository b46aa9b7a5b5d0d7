//! Response bodies on their way to the caller.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::RequestBody;
use crate::error::Error;
use crate::http1::{Fields, IdleTimer, ReadError};
use crate::proxy::head::{is_for_caller, is_owned, pass_through};
use crate::proxy::redact::{Redactor, redacted};
use crate::upstream::{Connection, SendError};

/// A response body on its way to the caller.
#[derive(Debug)]
pub enum ResponseBody {
    /// An answer of the proxy's own.
    Own(Option<Bytes>),
    /// An answer of the gateway's.
    Relayed(Box<Relayed>),
    /// A WebSocket: what comes after the head is no body.
    Tunnel(Box<Connection>),
}

/// A body that is passed on while it arrives. It holds the connection that it comes over, which goes
/// back to the pool when the answer was read and the request sent to its end, and is closed if the caller
/// does not wait for that.
#[derive(Debug)]
pub struct Relayed {
    /// What was read before the head was relayed.
    pub(in crate::proxy) ahead: Bytes,
    /// Redacts the secret of the request in a refusal.
    pub(in crate::proxy) redactor: Option<Redactor>,
    /// None once it was given back.
    pub(in crate::proxy) connection: Option<Connection>,
    /// The request body, if the gateway took the request before it was complete.
    pub(in crate::proxy) uploading: Option<RequestBody>,
    /// Whether the body was read to its end.
    pub(in crate::proxy) is_read: bool,
    /// Runs while nothing comes and nothing is sent.
    pub(in crate::proxy) idle: IdleTimer,
    pub(in crate::proxy) takes_trailers: bool,
    /// Lines for the caller, once the end was read.
    pub(in crate::proxy) trailers: Option<Vec<u8>>,
}

impl ResponseBody {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ResponseEnded`] if the rest will not come.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ResponseEnded>>> {
        match self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Relayed(relayed) => relayed.poll_piece(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    /// Sends what is left of the request. Ready when nothing is, or the gateway takes no more.
    ///
    /// # Errors
    ///
    /// [`ResponseEnded`] if the rest of the request will not come, or is not taken.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ResponseEnded>> {
        match self {
            Self::Relayed(relayed) => relayed.poll_upload(cx),
            Self::Own(_) | Self::Tunnel(_) => Poll::Ready(Ok(())),
        }
    }

    /// Trailers for the caller, once the end was reached: lines, each with its end.
    pub fn take_trailers(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Relayed(relayed) => relayed.trailers.take(),
            Self::Own(_) | Self::Tunnel(_) => None,
        }
    }

    /// Whether the body of the request is still being read for the gateway.
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        matches!(self, Self::Relayed(relayed) if relayed.uploading.is_some())
    }

    /// A number that grows while something of the request is sent.
    #[must_use]
    pub fn uploaded(&self) -> u64 {
        match self {
            Self::Relayed(relayed) => relayed.connection.as_ref().map_or(0, Connection::written),
            Self::Own(_) | Self::Tunnel(_) => 0,
        }
    }
}

impl Relayed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ResponseEnded>>> {
        loop {
            let piece = ready!(self.poll_original(cx));
            let Some(redactor) = &mut self.redactor else {
                return Poll::Ready(piece);
            };
            let redacted = match piece {
                Some(Ok(piece)) => redactor.push(&piece),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = redactor.finish();
                    if rest.is_empty() {
                        return Poll::Ready(None);
                    }
                    rest
                }
            };
            if !redacted.is_empty() {
                return Poll::Ready(Some(Ok(redacted.into())));
            }
        }
    }

    /// The next piece as the gateway sent it.
    fn poll_original(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ResponseEnded>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ahead))));
        }
        let connection = self.connection.as_mut().filter(|_| !self.is_read);
        let Some(connection) = connection else {
            return Poll::Ready(None);
        };
        let Poll::Ready(piece) = connection.poll_piece(cx) else {
            ready!(self.idle.poll_expired(cx));
            return Poll::Ready(Some(Err(ResponseEnded::Idle.recorded())));
        };
        self.idle.stop();
        Poll::Ready(match piece {
            Some(Ok(piece)) => Some(Ok(piece)),
            Some(Err(error)) => Some(Err(ResponseEnded::Broken(error).recorded())),
            None => {
                self.finish();
                None
            }
        })
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ResponseEnded>> {
        let (Some(connection), Some(body)) = (&mut self.connection, &mut self.uploading) else {
            return Poll::Ready(Ok(()));
        };
        let before = connection.written();
        let sent = connection.poll_send(cx, body);
        if connection.written() != before {
            self.idle.stop();
        }
        let Poll::Ready(sent) = sent else {
            // Until the answer was read, the wait for that is bounded.
            if self.is_read {
                ready!(self.idle.poll_expired(cx));
                return Poll::Ready(Err(ResponseEnded::Idle.recorded()));
            }
            return Poll::Pending;
        };
        self.uploading = None;
        match sent {
            Ok(()) => {}
            Err(SendError::Body(error)) => {
                return Poll::Ready(Err(ResponseEnded::Unsent(error).recorded()));
            }
            // It has answered, and is free to close its side.
            Err(SendError::Io(error)) => {
                tracing::info!(%error, "the gateway took no more of a request that it had answered");
            }
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    /// To be called when the body has been read to its end.
    pub(in crate::proxy) fn finish(&mut self) {
        self.is_read = true;
        if let Some(connection) = &mut self.connection {
            self.trailers = connection
                .take_trailers()
                .filter(|_| self.takes_trailers)
                .map(|trailers| passed_trailers(&trailers))
                .map(|lines| redacted(self.redactor.as_ref(), &lines).into_owned());
        }
        self.release();
    }

    /// Gives the connection back, unless one side is not done.
    fn release(&mut self) {
        if self.is_read
            && self.uploading.is_none()
            && let Some(connection) = self.connection.take()
        {
            connection.release();
        }
    }
}

/// What of trailers goes through: nothing that frames, routes or concerns the connection.
fn passed_trailers(trailers: &Fields) -> Vec<u8> {
    let mut passed = Vec::new();
    let is_passed = |name: &[u8]| !is_owned(name) && is_for_caller(name);
    pass_through(trailers, &mut passed, is_passed);
    passed
}

/// Why a response body ended early. The caller's connection is then cut off, so that the answer
/// cannot be taken for a complete one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseEnded {
    /// Nothing came, and nothing of the request was taken, for `timeouts.idle`.
    #[error("the gateway's answer stood still for too long (timeouts.idle)")]
    Idle,
    /// The rest of the request cannot be had.
    #[error("a request broke off after its answer had begun")]
    Unsent(#[source] Error),
    /// The connection to the gateway broke.
    #[error("the gateway's answer broke off")]
    Broken(#[source] ReadError),
}

impl ResponseEnded {
    /// Written to the log here, since the answer's head has been sent and recorded before.
    fn recorded(self) -> Self {
        let cause = std::error::Error::source(&self)
            .map(ToString::to_string)
            .unwrap_or_default();
        match self {
            Self::Unsent(_) => tracing::info!(%cause, "{self}; both connections are cut off"),
            Self::Idle | Self::Broken(_) => {
                tracing::warn!(%cause, "{self}; the caller's connection is cut off");
            }
        }
        self
    }
}
