//! The body of the gateway's response, before it is redacted and relayed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::request::RequestBody;
use crate::error::Cause;
use crate::upstream::{Connection, GatewayBody};

/// The body of a response as the gateway sends it.
#[derive(Debug)]
pub(in crate::proxy) struct ReplyBody {
    /// The frames that were read ahead.
    pub(in crate::proxy) ahead: VecDeque<Result<Frame<Bytes>, Cause>>,
    /// The unread rest; `None` if it is not passed on.
    pub(in crate::proxy) rest: Option<GatewayBody>,
    /// The connection that it is read from; `None` if the response is complete without it.
    pub(in crate::proxy) connection: Option<Connection<RequestBody>>,
}

impl ReplyBody {
    /// Adds data to the frames that were read ahead.
    pub(in crate::proxy) fn relay_first(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.ahead.push_back(Ok(Frame::data(data)));
        }
    }

    /// The next frame as the gateway sent it.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match (self.ahead.pop_front(), &mut self.rest) {
            (Some(frame), _) => Poll::Ready(Some(frame)),
            (None, Some(rest)) => Pin::new(rest).poll_frame(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    /// Returns `true` once it was read to its end.
    pub(super) fn is_end(&self) -> bool {
        self.ahead.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.iter().flatten().filter_map(Frame::data_ref);
        let ahead: u64 = ahead.map(|data| data.len() as u64).sum();
        let rest = self.rest.as_ref().map(|rest| rest.size_hint().exact());
        match rest.unwrap_or(Some(0)) {
            Some(rest) => SizeHint::with_exact(ahead + rest),
            None => SizeHint::new(),
        }
    }
}
