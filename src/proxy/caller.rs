//! A caller's connection, as the requests on it see it.
//!
//! The server makes one [`CallerConnection`] for each connection that it accepts and hands it to the
//! service of that connection. It holds facts about the connection, and what a request asks of it beyond
//! an answer: to be taken over by a WebSocket, or to be reset.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use super::guard::ListenerKind;
use crate::error::Error;

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin + ?Sized> Stream for T {}

/// What goes on with the raw stream after a `101` answer. It also gets the bytes that were read ahead.
pub type Takeover = Box<dyn FnOnce(Box<dyn Stream>, Bytes) -> LocalBoxFuture<'static, ()>>;

/// One connection of a caller, shared by the server and the requests on the connection.
pub struct CallerConnection {
    listener: ListenerKind,
    draining: Rc<Cell<bool>>,
    takeover: RefCell<Option<Takeover>>,
    reset_on_close: Cell<bool>,
    request_is_read: Cell<bool>,
    refusals: Cell<u32>,
    received: Cell<u64>,
    written: Cell<u64>,
}

impl CallerConnection {
    /// A connection without requests. `draining` is true as soon as the server is about to stop.
    #[must_use]
    pub fn new(listener: ListenerKind, draining: Rc<Cell<bool>>) -> Self {
        Self {
            listener,
            draining,
            takeover: RefCell::default(),
            reset_on_close: Cell::new(false),
            request_is_read: Cell::new(true),
            refusals: Cell::new(0),
            received: Cell::new(0),
            written: Cell::new(0),
        }
    }

    /// The kind of listener that the caller reached.
    #[must_use]
    pub fn listener(&self) -> ListenerKind {
        self.listener
    }

    /// Whether the server is about to stop. HTTP/1.1 answers carry `Connection: close` then; the server adds
    /// it.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Hands the raw stream to `takeover` once the answer has been written. To be called with a `101`
    /// answer only.
    pub fn take_over(&self, takeover: Takeover) {
        self.takeover.replace(Some(takeover));
    }

    /// Makes closing reset the connection, so that the caller cannot take what it got for complete.
    pub fn reset_on_close(&self) {
        self.reset_on_close.set(true);
    }

    /// Notes that the body of the current HTTP/1.1 request was read to its end. After the last answer the
    /// server then waits one second for the caller to close, instead of ten.
    pub fn request_was_read(&self) {
        self.request_is_read.set(true);
    }

    /// Counts a request that the guard refused. Little is read from such a caller after its answer, and an
    /// HTTP/2 connection ends after several refusals.
    pub fn refused(&self) {
        self.refusals.set(self.refusals.get() + 1);
    }

    /// Bytes that were read from the socket, after TLS, heads included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// Bytes that were written to the socket, before TLS, heads included.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    pub(crate) fn refusals(&self) -> u32 {
        self.refusals.get()
    }

    pub(crate) fn takeover(&self) -> Option<Takeover> {
        self.takeover.take()
    }

    pub(crate) fn resets_on_close(&self) -> bool {
        self.reset_on_close.get()
    }

    pub(crate) fn close_normally(&self) {
        self.reset_on_close.set(false);
    }

    pub(crate) fn request_is_read(&self) -> bool {
        self.request_is_read.get()
    }

    pub(crate) fn request_begins(&self, has_body: bool) {
        self.request_is_read.set(!has_body);
    }

    pub(crate) fn add_received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    pub(crate) fn add_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }
}

impl fmt::Debug for CallerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerConnection")
            .field("listener", &self.listener)
            .field("draining", &self.draining)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

/// What came instead of a request, and is answered where no service can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BareAnswer {
    /// The head is not HTTP, or its target has bytes that are not allowed.
    BadRequest,
    /// The head is larger than it may be, or has too many fields.
    HeaderTooLarge,
    /// The target is longer than hyper takes (64 KiB).
    TargetTooLong,
    /// The caller speaks TLS, and the port does not.
    TlsOnPlainPort,
}

impl BareAnswer {
    /// The error that it is answered as.
    pub(crate) fn error(self) -> Error {
        match self {
            Self::BadRequest => Error::BadRequest(
                "it is not HTTP/1.1, or its target has characters that must be percent-encoded\nhint: percent-encode the target, \" as %22",
            ),
            Self::HeaderTooLarge => Error::HeaderTooLarge,
            Self::TargetTooLong => Error::TargetTooLong,
            Self::TlsOnPlainPort => Error::BadRequest(
                "this is TLS, and plain HTTP is spoken here; write http:// instead of https://",
            ),
        }
    }
}
