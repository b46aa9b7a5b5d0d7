//! The two kinds of connections to a gateway, HTTP/1.1 and HTTP/2, and what they have in common.

mod http1;
mod http2;
mod io;

use std::error::Error as StdError;

use bytes::Bytes;
use http_body::Body;

pub(super) use http1::Http1Connection;
pub(super) use http2::{Http2Connection, Http2Origin, Http2Support};
pub(super) use io::ConnectionState;
pub use io::GatewayIo;

/// Any error, as the cause of a [`SendError`].
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A request body that can be sent.
pub trait SendBody: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static> SendBody for B {}

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
}

/// Why no answer was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The gateway did not process the request: nothing was sent, or the gateway says so. It can be
    /// sent again, whatever its method.
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
    /// The connection ended in the middle of the answer's head, or after interim answers.
    #[error("the connection ended in the middle of the answer")]
    Broken(#[source] BoxError),
}
