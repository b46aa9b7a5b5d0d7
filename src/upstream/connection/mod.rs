//! The two kinds of connections to a gateway, HTTP/1.1 and HTTP/2, and what they have in common.

mod body;
mod http1;
mod http2;
mod io;
mod upload;

use bytes::Bytes;
use http_body::Body;

use crate::error::Cause;
pub use body::GatewayBody;
pub(super) use http1::Http1Connection;
pub(super) use http2::{Http2Connection, Http2Origin, Http2Support};
pub(super) use io::ConnectionState;
pub use io::GatewayIo;
pub(super) use upload::Upload;

/// A request body that can be sent.
pub trait SendBody: Body<Data = Bytes, Error: Into<Cause>> + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Into<Cause>> + Unpin + 'static> SendBody for B {}

/// The longest response head that is accepted.
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
