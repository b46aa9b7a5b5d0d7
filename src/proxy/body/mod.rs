//! Bodies, in both directions: [`RequestBody`] goes to the gateway, [`ResponseBody`] to the caller.
//!
//! A body that is signed is hashed while it arrives and held until it is complete, so a caller that
//! goes away has sent nothing. One that is not signed is passed on while it arrives.

mod buffer;
mod idle;
mod reply;
mod request;
mod response;
mod streamed;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

pub(super) use idle::unless_idle;
pub(super) use reply::ReplyBody;
pub(super) use request::PreparedBody;
pub use request::RequestBody;
pub use response::ResponseBody;
use streamed::StreamedBody;

use super::context::RequestContext;
use super::route::Routed;
use super::{Settings, headers};
use crate::config::MediaRange;
use crate::error::Error;
use crate::signature::{CONTENT_HASH_HEADER, PayloadHash, PayloadHasher, UNSIGNED_PAYLOAD};

const CONTENT_HASH: HeaderName = HeaderName::from_static(CONTENT_HASH_HEADER);

/// Up to this length, in bytes, a body is short: it may share a connection. It is held even if it is
/// not hashed, so that it can be sent again if the gateway refuses the token.
pub(super) const SHORT: u64 = 64 * 1024;

/// How much of an unwanted body is read, in bytes, and for how long.
const DISCARD_BYTES: usize = 16 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// A body ended early. Its connection or stream is reset, so that it cannot be taken for a complete
/// one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyEnded(&'static str);

/// Drains an unwanted request body over HTTP/2, within bounds. Some callers report the reset of
/// their upload instead of the response. Over HTTP/1.1 the server does this.
pub(super) fn discard(mut body: Incoming, context: &RequestContext) {
    if context.version != Version::HTTP_2 || body.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(timeout(DISCARD_TIME, async move {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => return,
            }
        }
    }));
}

/// Reads a body as it arrives.
pub(super) struct BodyReader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) routed: &'a Routed,
    /// Taken when it is streamed.
    pub(super) body: &'a mut Option<Incoming>,
}

impl BodyReader<'_> {
    /// Hashes and holds the body, or sets it up to be streamed. No hash means that it is not
    /// signed.
    ///
    /// # Errors
    ///
    /// The errors of a request body, and [`Error::Overloaded`] if the memory budget has no room for
    /// it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the room of the body back.
    pub(super) async fn prepare(mut self) -> Result<(PreparedBody, Option<PayloadHash>), Error> {
        let (settings, routed) = (self.settings, self.routed);
        let algorithm = settings.route(routed.route).signing.algorithm();
        let declared = routed.context.length;
        let is_short = declared.is_some_and(|length| length <= SHORT);
        let is_signed = routed.rules.is_signed;
        // The whole body is needed before anything is sent.
        let proves_caller = routed.context.awaits_proof();
        let is_hashed =
            || is_signed && !is_unsigned(&settings.config.unsigned, &routed.head.headers);
        if declared == Some(0) {
            // There is nothing to read.
        } else if !is_signed && is_short && !proves_caller {
            return Ok((self.hold(|_| {}).await?, None));
        } else if proves_caller || is_hashed() {
            let mut hasher = PayloadHasher::new(algorithm);
            let body = self.hold(|data| hasher.update(data)).await?;
            return Ok((body, Some(hasher.finish())));
        } else if let Some(body) = self.stream().await? {
            return Ok((body, None));
        }
        // An empty body must not be sent as UNSIGNED-PAYLOAD.
        Ok((
            PreparedBody::Held(None),
            Some(PayloadHash::empty(algorithm)),
        ))
    }

    /// Sets the body up to be passed on while it arrives; `None` if it is empty. Without a declared
    /// length, only the first frame tells.
    async fn stream(&mut self) -> Result<Option<PreparedBody>, Error> {
        let length = self.routed.context.length;
        let mut first = None;
        if length.is_none() {
            first = self.next().await?;
            if first.is_none() {
                return Ok(None);
            }
        }
        let rest = self.body.take();
        let rest = rest.ok_or(Error::Internal("a body is read once"))?;
        let body = Some(Box::new(StreamedBody::new(self, first, rest)));
        Ok(Some(PreparedBody::Streamed { body, length }))
    }

    /// Reads the body to its end, and passes each frame to `see`.
    async fn hold(&mut self, mut see: impl FnMut(&[u8])) -> Result<PreparedBody, Error> {
        let (context, mut rules) = (&self.routed.context, self.routed.rules);
        // The budget gives no more in one piece.
        let buffered = self.settings.config.limits.buffered.min(u32::MAX.into());
        if buffered < rules.limit {
            rules.limit = buffered;
            rules.hint = "raise `limits.buffered`, or the memory of the process";
        }
        let declared = context.length.unwrap_or(0);
        if declared > rules.limit {
            return Err(rules.too_large());
        }
        let reserved = self.settings.budget.reserve(declared);
        let mut reservation = context.waited(pin!(reserved)).await?;
        let mut buffer = buffer::Buffer::default();
        while let Some(data) = self.next().await? {
            let length = buffer.length() + data.len() as u64;
            if length > rules.limit {
                return Err(rules.too_large());
            }
            let grown = pin!(reservation.grow(length));
            context.waited(grown).await?;
            see(&data);
            buffer.push(data);
        }
        context.body_read();
        Ok(PreparedBody::Held(buffer.finish(reservation).map(Rc::new)))
    }

    /// The next data; `None` at the end. Trailers are dropped.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(body) = self.body else {
            return Ok(None);
        };
        loop {
            let frame = timeout(self.settings.config.timeouts.body_idle, body.frame()).await;
            let Some(frame) = frame.map_err(|_| Error::BodyTimeout)? else {
                return Ok(None);
            };
            if let Ok(data) = frame.map_err(Error::from_body)?.into_data()
                && !data.is_empty()
            {
                self.routed.context.received(&data);
                return Ok(Some(data));
            }
        }
    }
}

/// Returns `true` for a body that goes out as `UNSIGNED-PAYLOAD`.
fn is_unsigned(ranges: &[MediaRange], head: &HeaderMap) -> bool {
    let asked = head
        .get(CONTENT_HASH)
        .is_some_and(|value| value == UNSIGNED_PAYLOAD);
    // With two content types it is unknown which one counts; a hash is right in either case.
    let essence = headers::only(head, &http::header::CONTENT_TYPE).map_or("", headers::essence);
    asked || ranges.iter().any(|range| is_in(range, essence))
}

fn is_in(range: &MediaRange, essence: &str) -> bool {
    match range {
        MediaRange::Any => true,
        MediaRange::Type(name) => essence
            .split_once('/')
            .is_some_and(|(own, sub)| own.eq_ignore_ascii_case(name) && !sub.is_empty()),
        // `application/grpc` includes `application/grpc+proto` and similar types.
        MediaRange::Exact(name) if headers::is_grpc_type(name) => headers::is_grpc_type(essence),
        MediaRange::Exact(name) => essence.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_decides() {
        let ranges = [
            MediaRange::Type("multipart".to_owned()),
            MediaRange::Exact("video/mp4".to_owned()),
            MediaRange::Exact("application/grpc".to_owned()),
        ];
        let taken =
            "multipart/form-data Multipart/mixed VIDEO/mp4 application/grpc application/grpc+proto";
        let others = "application/grpc-web text/plain multipart multipart/ video/mp4v";
        for (essences, expected) in [(taken, true), (others, false)] {
            for essence in essences.split(' ') {
                let is_taken = ranges.iter().any(|range| is_in(range, essence));
                assert_eq!(is_taken, expected, "{essence}");
            }
        }
    }
}
