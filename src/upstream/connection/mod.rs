//! The two kinds of connections to a gateway, HTTP/1.1 and HTTP/2, and what they have in common.

mod http1;
mod http2;
mod io;
mod streams;

use bytes::Bytes;
use http_body::Body;
use http_body_util::Either;
use hyper::body::Incoming;

use crate::error::Cause;
pub(super) use http1::Http1Connection;
pub(super) use http2::{Http2Connection, Http2Origin, Http2Support, OFFER_AGAIN_AFTER};
pub(super) use io::ConnectionState;
pub(crate) use io::GatewayIo;
use streams::StreamBody;
pub(super) use streams::Upload;

/// The body of a gateway's response, over HTTP/1.1 or HTTP/2.
pub(crate) type GatewayBody = Either<Incoming, StreamBody>;

/// A request body that can be sent.
pub trait SendBody: Body<Data = Bytes, Error: Into<Cause>> + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Into<Cause>> + Unpin + 'static> SendBody for B {}

/// The most header fields of a response that are accepted.
const MAX_FIELDS: usize = 500;

/// How many interim responses (1xx) a request may get.
const MAX_INTERIM: usize = 32;
