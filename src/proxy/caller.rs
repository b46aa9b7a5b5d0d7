//! The connection of a caller, as shared by the server and the requests on it; and who the caller is.
//!
//! The server makes one [`CallerConnection`] for each accepted connection. It holds facts about the
//! connection, and what requests ask of the server besides a response.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::HeaderValue;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};

use super::guard::ListenerKind;
use crate::config::{ListenRules, Surrogate};
use crate::inspect::program::Replay;

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin + ?Sized> Stream for T {}

/// Takes over the raw stream after a `101` response, with the bytes that were read ahead.
pub type Takeover = Box<dyn FnOnce(Box<dyn Stream>, Bytes) -> LocalBoxFuture<'static, ()>>;

/// One connection of a caller.
pub struct CallerConnection {
    pub(crate) listener: ListenerKind,
    pub(crate) rules: ListenRules,

    /// Set with a `101` response only.
    pub(crate) takeover: RefCell<Option<Takeover>>,
    /// Closing resets the connection, so that the caller cannot take a cut response for complete.
    pub(crate) resets_on_close: Cell<bool>,
    /// The body of the current HTTP/1.1 request was read to its end. The server then lingers for
    /// one second after the last response instead of ten.
    pub(crate) request_is_read: Cell<bool>,
    /// Requests that the guard refused. The server reads little more after one, and an HTTP/2
    /// connection ends after several.
    pub(crate) refusals: Cell<u32>,
    /// The id of the request that began last.
    pub(crate) last_request: Cell<u128>,
    /// What the inspector says about the only request on this connection, if it sends it.
    pub(crate) replay: Option<Replay>,
}

impl CallerConnection {
    /// A connection without requests.
    #[must_use]
    pub fn new(listener: ListenerKind, rules: ListenRules) -> Self {
        Self {
            listener,
            rules,
            takeover: RefCell::default(),
            resets_on_close: Cell::new(false),
            request_is_read: Cell::new(true),
            refusals: Cell::new(0),
            last_request: Cell::new(0),
            replay: None,
        }
    }

    /// The id of the request that the only one on this connection repeats.
    pub(crate) fn replay_of(&self) -> Option<u128> {
        self.replay?.original
    }

    /// Counts a request that the guard refused.
    pub(crate) fn refused(&self) {
        self.refusals.set(self.refusals.get() + 1);
    }
}

impl fmt::Debug for CallerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerConnection")
            .field("listener", &self.listener)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

/// The caller of a request, where callers are known.
pub(super) struct Identified {
    pub(super) caller: Arc<Surrogate>,
    /// Its label in the metrics.
    pub(super) label: &'static str,
    /// The beginning of the path that the caller used, like `/~<digits>`.
    pub(super) capability: Option<SecretString>,
    /// The value of `Authorization`, if the caller has signed.
    pub(super) signature: Option<HeaderValue>,
    /// False until the head proves the caller, or the body if the signature needs that.
    pub(super) is_proven: Cell<bool>,
    /// The signature covers the body, which is held to be verified.
    pub(super) needs_body: bool,
    /// False if the caller signed, and its signature does not cover the body.
    pub(super) body_signed: Cell<bool>,
}
