//! Bodies, in both directions: [`RequestBody`] goes to the gateway, [`ResponseBody`] to the caller.
//!
//! A body that is signed is hashed while it arrives and held until it is complete, so a caller that goes
//! away has sent nothing. One that is not signed is passed on while it arrives.

mod buffer;
mod idle;
mod request;
mod response;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

pub(super) use buffer::Buffered;
pub(super) use idle::IdleTimer;
pub(super) use request::{BufferedBody, StreamedBody};
pub use request::{RequestBody, UploadFailed};
pub(super) use response::RelayedBody;
pub use response::{ResponseBody, ResponseEnded};

use super::Settings;
use super::context::{RequestContext, timed};
use super::headers;
use crate::config::MediaRange;
use crate::error::Error;
use crate::signature::{CONTENT_HASH_HEADER, PayloadHash, PayloadHasher, UNSIGNED_PAYLOAD};

/// Up to this length, in bytes, a body is short: it may share a connection, and one that need not be hashed
/// is held all the same, so that it can be sent again when the token turns out to have been withdrawn.
pub(super) const SHORT: u64 = 64 * 1024;

/// How much of an unwanted body is read, in bytes, and for how long.
const DISCARD_BYTES: usize = 16 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// A body that is ready to be sent.
#[derive(Debug)]
pub(super) enum PreparedBody {
    /// There is none.
    Empty,
    /// It is complete, and can be sent as often as needed.
    Buffered(Rc<Buffered>),
    /// It is passed on while it arrives, once. Its length is known if the caller declared it.
    Streamed {
        body: Option<Box<StreamedBody>>,
        length: Option<u64>,
    },
}

impl PreparedBody {
    /// The body for one attempt; `None` if it was streamed before and is gone.
    pub(super) fn take(
        &mut self,
        attempt: u32,
        context: &Rc<RequestContext>,
    ) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Buffered(body) => Some(RequestBody::Buffered(BufferedBody::new(
                body, attempt, context,
            ))),
            Self::Streamed { body, .. } => {
                let mut body = body.take()?;
                body.attempt = attempt;
                Some(RequestBody::Streamed(body))
            }
        }
    }

    /// Whether it can be sent again.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Streamed { .. })
    }

    /// Its length in bytes, if that is known before it is sent.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Buffered(body) => Some(body.length),
            Self::Streamed { length, .. } => *length,
        }
    }
}

/// How a body is to be prepared.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyRules {
    /// Whether the request is signed. If not, nothing is hashed.
    pub(super) is_signed: bool,
    /// Longest body, in bytes.
    pub(super) limit: u64,
}

/// Prepares a body: it is hashed and held, or set up to be streamed. No hash means that it is not signed.
///
/// # Errors
///
/// What a caller can do wrong with a body, and [`Error::Overloaded`] if there is no room for it.
///
/// # Cancel safety
///
/// Dropping the future drops the body and gives its room back.
pub(super) async fn prepare(
    settings: &Settings,
    head: &HeaderMap,
    body: Incoming,
    rules: BodyRules,
    context: &Rc<RequestContext>,
) -> Result<(PreparedBody, Option<PayloadHash>), Error> {
    let mut reader = Reader {
        settings,
        body: Some(body),
        limit: rules.limit,
        context,
    };
    let prepared = reader.prepare(head, rules.is_signed).await;
    if prepared.is_err()
        && let Some(body) = reader.body
    {
        discard(body, context);
    }
    prepared
}

/// Reads what a caller still sends of a body that is not wanted, over HTTP/2, and throws it away within bounds.
/// Some callers report the reset of their upload instead of the answer. Over HTTP/1.1 the server does this.
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
struct Reader<'a> {
    settings: &'a Settings,
    /// Absent once it is being streamed.
    body: Option<Incoming>,
    limit: u64,
    context: &'a Rc<RequestContext>,
}

impl Reader<'_> {
    async fn prepare(
        &mut self,
        head: &HeaderMap,
        is_signed: bool,
    ) -> Result<(PreparedBody, Option<PayloadHash>), Error> {
        let declared = self.declared();
        let is_short = declared.is_some_and(|length| length <= SHORT);
        if declared == Some(0) {
            Ok((PreparedBody::Empty, Some(PayloadHash::EMPTY)))
        } else if !is_signed && is_short {
            Ok((self.hold(|_| {}).await?, None))
        } else if !is_signed || is_unsigned(&self.settings.signing.unsigned, head) {
            self.stream().await
        } else {
            let mut hasher = PayloadHasher::default();
            let body = self.hold(|data| hasher.update(data)).await?;
            Ok((body, Some(hasher.finish())))
        }
    }

    /// The length of the body, if the caller has declared one.
    fn declared(&self) -> Option<u64> {
        self.body
            .as_ref()
            .map_or(Some(0), |body| body.size_hint().exact())
    }

    /// Sets the body up to be passed on while it arrives.
    async fn stream(&mut self) -> Result<(PreparedBody, Option<PayloadHash>), Error> {
        let mut first = None;
        if self.declared().is_none() {
            // An empty body must not be sent as UNSIGNED-PAYLOAD, and only its first frame tells.
            first = self.next().await?;
            if first.is_none() {
                return Ok((PreparedBody::Empty, Some(PayloadHash::EMPTY)));
            }
        }
        let idle = IdleTimer::new(self.idle_limit());
        let body = self
            .body
            .take()
            .ok_or(Error::Internal("a body is read once"))?;
        let body = StreamedBody::new(first, body, self.limit, idle, self.context);
        let length = body.declared();
        let body = Some(Box::new(body));
        Ok((PreparedBody::Streamed { body, length }, None))
    }

    /// Reads the body to its end, and shows what comes to `see` meanwhile.
    async fn hold(&mut self, mut see: impl FnMut(&[u8])) -> Result<PreparedBody, Error> {
        let declared = self.declared().unwrap_or(0);
        let (reserved, waited) = timed(pin!(self.settings.budget.reserve(declared))).await;
        let mut reservation = reserved.map_err(|_| Error::Overloaded)?;
        self.waited(waited);
        let mut buffer = buffer::Buffer::default();
        while let Some(data) = self.next().await? {
            let length = buffer.length() + data.len() as u64;
            if length > self.limit {
                return Err(Error::BodyTooLarge { limit: self.limit });
            }
            let (grown, waited) = timed(pin!(reservation.grow_to(length))).await;
            grown.map_err(|_| Error::Overloaded)?;
            self.waited(waited);
            see(&data);
            buffer.push(data);
        }
        self.context
            .time(|timings| timings.body_read = Some(Instant::now()));
        Ok(match buffer.finish(reservation) {
            Some(buffered) => PreparedBody::Buffered(Rc::new(buffered)),
            None => PreparedBody::Empty,
        })
    }

    /// The next data; `None` at the end. Trailers are dropped.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let limit = self.idle_limit();
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        loop {
            let frame = timeout(limit, body.frame()).await;
            let Some(frame) = frame.map_err(|_| Error::BodyTimeout)? else {
                return Ok(None);
            };
            if let Ok(data) = frame.map_err(Error::from_body)?.into_data()
                && !data.is_empty()
            {
                self.context.upload.receive(data.len());
                return Ok(Some(data));
            }
        }
    }

    fn idle_limit(&self) -> Duration {
        self.settings.timeouts.body_idle
    }

    fn waited(&self, time: Duration) {
        self.context.time(|timings| timings.memory_wait += time);
    }
}

/// Whether the body goes out as `UNSIGNED-PAYLOAD`, if there is one.
fn is_unsigned(ranges: &[MediaRange], head: &HeaderMap) -> bool {
    let asked = head
        .get(CONTENT_HASH_HEADER)
        .is_some_and(|value| value == UNSIGNED_PAYLOAD);
    // Of two content types it is not known which one counts; a hash is right in either case.
    let essence = headers::only(head, &http::header::CONTENT_TYPE).map_or("", headers::essence);
    asked || ranges.iter().any(|range| is_in(range, essence))
}

fn is_in(range: &MediaRange, essence: &str) -> bool {
    match range {
        MediaRange::Any => true,
        MediaRange::Type(name) => essence
            .split_once('/')
            .is_some_and(|(own, sub)| own.eq_ignore_ascii_case(name) && !sub.is_empty()),
        // `application/grpc` stands for `application/grpc+proto` and the like too.
        MediaRange::Exact(name) if headers::is_grpc_type(name) => headers::is_grpc_type(essence),
        MediaRange::Exact(name) => essence.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn unsigned(lines: &[(&'static str, &'static str)]) -> bool {
        let mut head = HeaderMap::new();
        for (name, value) in lines {
            head.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let ranges = [
            MediaRange::Type("multipart".to_owned()),
            MediaRange::Exact("video/mp4".to_owned()),
            MediaRange::Exact("application/grpc".to_owned()),
        ];
        is_unsigned(&ranges, &head)
    }

    #[test]
    fn the_media_type_decides_whatever_its_case_and_parameters() {
        for (value, expected) in [
            ("multipart/form-data", true),
            ("Multipart/Form-Data; boundary=x", true),
            ("multipart/mixed;x", true),
            ("VIDEO/mp4", true),
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("text/plain; x=multipart/form-data", false),
            ("application/json", false),
            ("multipart", false),
            ("multipart/", false),
            ("video/mp4v", false),
            ("", false),
        ] {
            assert_eq!(unsigned(&[("content-type", value)]), expected, "{value}");
        }
    }

    #[test]
    fn a_caller_may_ask_for_it() {
        assert!(unsigned(&[("x-sdk-content-sha256", "UNSIGNED-PAYLOAD")]));
        assert!(!unsigned(&[("x-sdk-content-sha256", "e3b0")]));
    }

    #[test]
    fn of_two_content_types_neither_counts() {
        let twice = [("content-type", "multipart/form-data"); 2];
        assert!(!unsigned(&twice));
    }
}
