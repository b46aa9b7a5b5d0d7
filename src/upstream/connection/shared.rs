//! A stream of a connection with HTTP/2: one request and its answer.
//!
//! Heads are translated here: from the HTTP/1.1 text that was signed, and back into the types in which the
//! pipeline reads answers. Names lose their capital letters on the way, as HTTP/2 wants it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, response};
use tokio::sync::OwnedSemaphorePermit;

use super::{Outgoing, ReceiveError, SendError};
use crate::http1::{Fields, Framing, Malformed, ReadError, RequestHead, ResponseHead, push_field};
use crate::upstream::session::{Session, io_error};

/// Headers that no table of either side is to remember (RFC 7541 §7.1.3): secrets, and what is never the
/// same twice.
const NEVER_INDEXED: [&str; 4] = [
    "authorization",
    "x-security-token",
    "x-auth-token",
    "x-apig-appcode",
];

/// One request over a shared connection.
#[derive(Debug)]
pub(in crate::upstream) struct Stream {
    session: Rc<Session>,
    is_reused: bool,
    request: Sending,
    answer: Receiving,
    /// Held for its drop: then another request may be sent.
    _slot: OwnedSemaphorePermit,
}

/// How far the request is.
#[derive(Debug, Default)]
struct Sending {
    /// None before it has begun, and when it is over.
    stream: Option<SendStream<Bytes>>,
    /// What is to be sent next.
    piece: Bytes,
    /// Bytes of the body that are still to be sent, if that is known.
    left: Option<u64>,
    handed_over: u64,
}

/// How far the answer is.
#[derive(Debug, Default)]
struct Receiving {
    /// None before the request has begun, and when the head of the answer was read.
    head: Option<ResponseFuture>,
    /// Why the request did not begin.
    failure: Option<io::Error>,
    body: Option<RecvStream>,
    /// Bytes of the body that must still come, if that is known.
    left: Option<u64>,
    to_head: bool,
    trailers: Option<Fields>,
}

impl Stream {
    pub(in crate::upstream) fn new(session: Rc<Session>, slot: OwnedSemaphorePermit) -> Self {
        session.enter();
        Self {
            is_reused: session.has_answered(),
            session,
            request: Sending::default(),
            answer: Receiving::default(),
            _slot: slot,
        }
    }

    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(super) fn written(&self) -> u64 {
        self.request.handed_over
    }

    pub(super) fn distrust(&self) {
        self.session.retire();
    }

    pub(super) fn begin(&mut self, head: &Bytes, framing: Framing, to_head: bool) {
        self.answer.to_head = to_head;
        let begun = translated(head).and_then(|request| {
            self.session
                .send(request, framing.is_empty())
                .map_err(|error| {
                    self.session.retire();
                    io_error(error)
                })
        });
        match begun {
            Ok((answer, stream)) => {
                self.answer.head = Some(answer);
                self.request.handed_over += head.len() as u64;
                if let Framing::Length(length) = framing {
                    self.request.left = Some(length);
                }
                self.request.stream = (!framing.is_empty()).then_some(stream);
            }
            Err(error) => self.answer.failure = Some(error),
        }
    }

    pub(super) fn poll_send<B: Outgoing>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<(), SendError<B::Error>>> {
        while let Some(stream) = &mut self.request.stream {
            if self.request.piece.is_empty() {
                match ready!(body.poll_piece(cx)) {
                    Some(Ok(piece)) => self.request.piece = piece,
                    Some(Err(error)) => return Poll::Ready(Err(SendError::Body(error))),
                    None => {
                        let ended = stream.send_data(Bytes::new(), true);
                        self.request.stream = None;
                        ended.map_err(|error| SendError::Io(io_error(error)))?;
                        break;
                    }
                }
            }
            ready!(self.request.poll_piece(cx)).map_err(|error| SendError::Io(io_error(error)))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, ReceiveError>> {
        if let Some(failure) = self.answer.failure.take() {
            return Poll::Ready(Err(ReceiveError::Untouched(failure)));
        }
        let Some(answer) = &mut self.answer.head else {
            let error = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Poll::Ready(Err(error.into()));
        };
        if let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
            return Poll::Ready(head_of(&interim.into_parts().0).map_err(Into::into));
        }
        match ready!(Pin::new(answer).poll(cx)) {
            Ok(answered) => {
                let (parts, body) = answered.into_parts();
                self.answer.head = None;
                self.answer.body = Some(body);
                self.session.answered();
                Poll::Ready(head_of(&parts).map_err(Into::into))
            }
            Err(error) => Poll::Ready(Err(self.failure(error))),
        }
    }

    pub(super) fn receive(&mut self, head: &ResponseHead) -> Result<Framing, Malformed> {
        let framing = match head.framing(self.answer.to_head)? {
            _ if self.has_ended() => Framing::Length(0),
            Framing::UntilClose => Framing::Chunked,
            framing => framing,
        };
        if let Framing::Length(length) = framing {
            self.answer.left = Some(length);
        }
        Ok(framing)
    }

    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        let Some(body) = &mut self.answer.body else {
            return Poll::Ready(None);
        };
        loop {
            match ready!(body.poll_data(cx)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    // It is on its way to the caller, who holds the next one back by not taking it.
                    let _ = body.flow_control().release_capacity(piece.len());
                    return Poll::Ready(Some(self.answer.count(piece)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(read_error(error)))),
                None => break,
            }
        }
        let trailers = ready!(body.poll_trailers(cx)).map_err(read_error)?;
        self.answer.body = None;
        if self.answer.left.is_some_and(|left| left > 0) {
            return Poll::Ready(Some(Err(ReadError::Incomplete)));
        }
        self.answer.trailers = trailers.and_then(|trailers| {
            let mut lines = lines_of(&trailers);
            lines.extend_from_slice(b"\r\n");
            Fields::of_trailers(&lines.into()).ok()
        });
        Poll::Ready(None)
    }

    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        self.answer.trailers.take()
    }

    fn has_ended(&self) -> bool {
        self.answer
            .body
            .as_ref()
            .is_some_and(RecvStream::is_end_stream)
    }

    /// What it means that no head came.
    fn failure(&self, error: h2::Error) -> ReceiveError {
        if self.session.has_not_looked(&error) {
            ReceiveError::Untouched(io_error(error))
        } else if error.is_library() {
            Malformed::Stream.into()
        } else {
            ReceiveError::Io(io_error(error))
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.leave();
    }
}

impl Sending {
    /// Hands over as much of the current piece as the gateway takes.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        stream.reserve_capacity(self.piece.len());
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(granted) => granted.map(drop)?,
                // The gateway has taken its fill: it says why in its answer.
                None => {
                    self.stream = None;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let count = stream.capacity().min(self.piece.len());
        let part = self.piece.split_to(count);
        self.handed_over += count as u64;
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        let is_last = self.left == Some(0) && self.piece.is_empty();
        stream.send_data(part, is_last)?;
        if is_last {
            self.stream = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Receiving {
    /// Counts a piece against the length that was said.
    fn count(&mut self, piece: Bytes) -> Result<Bytes, ReadError> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(piece.len() as u64)
                .ok_or(ReadError::Malformed(Malformed::ContentLength))?;
        }
        Ok(piece)
    }
}

/// Whether a request with this target can go over a shared connection. There a target is a [`Uri`], and those
/// have no quotes in a query, for one, which callers and gateways do not mind. Only what RFC 3986 has in paths
/// and queries is taken.
#[must_use]
pub fn can_be_shared(target: &str) -> bool {
    let is_of_uri = |byte: u8| {
        byte.is_ascii_alphanumeric()
            | matches!(
                byte,
                b'!' | b'$'..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~'
            )
    };
    // All of them are looked at, since that can be done for many at a time.
    let are_all = target
        .bytes()
        .fold(true, |so_far, byte| so_far & is_of_uri(byte));
    target.starts_with('/') && are_all
}

/// The request that a head is the text of.
fn translated(head: &Bytes) -> io::Result<Request<()>> {
    let invalid = |error: http::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let parsed = RequestHead::parse(head)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut headers = HeaderMap::with_capacity(parsed.fields.len());
    let mut authority = &b""[..];
    for field in parsed.fields.iter() {
        if field.is(HOST.as_str()) {
            authority = field.value;
            continue;
        }
        let name = HeaderName::from_bytes(field.name).map_err(|error| invalid(error.into()))?;
        let value = if field.value.is_empty() {
            Bytes::new()
        } else {
            head.slice_ref(field.value)
        };
        let mut value =
            HeaderValue::from_maybe_shared(value).map_err(|error| invalid(error.into()))?;
        value.set_sensitive(NEVER_INDEXED.contains(&name.as_str()));
        headers.append(name, value);
    }
    let uri = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(authority)
        .path_and_query(parsed.target())
        .build();
    let method = Method::from_bytes(parsed.method().as_bytes());
    let mut request = Request::new(());
    *request.uri_mut() = uri.map_err(invalid)?;
    *request.method_mut() = method.map_err(|error| invalid(error.into()))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The head of an answer, in the form of HTTP/1.1.
fn head_of(parts: &response::Parts) -> Result<ResponseHead, Malformed> {
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut text = Vec::with_capacity(512);
    for part in ["HTTP/1.1 ", parts.status.as_str(), " ", reason, "\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    text.append(&mut lines_of(&parts.headers));
    text.extend_from_slice(b"\r\n");
    ResponseHead::parse(&text.into())
}

fn lines_of(fields: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::with_capacity(512);
    for (name, value) in fields {
        push_field(&mut lines, name.as_str(), value.as_bytes());
    }
    lines
}

fn read_error(error: h2::Error) -> ReadError {
    if error.is_library() {
        Malformed::Stream.into()
    } else {
        io_error(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_shared_is_a_uri_that_stays_as_it_is() {
        for byte in 0..=127_u8 {
            let target = format!("/a{0}b?c{0}d", char::from(byte));
            if can_be_shared(&target) {
                let uri = Uri::builder()
                    .scheme(Scheme::HTTPS)
                    .authority("gateway")
                    .path_and_query(target.as_str())
                    .build()
                    .unwrap();
                assert_eq!(uri.path_and_query().unwrap().as_str(), target);
            }
        }
        for target in ["/v1/%E4%B8%AD?a=1&b=%20:@", "/", "/?"] {
            assert!(can_be_shared(target), "{target}");
        }
        for target in ["*", "a", "/a\"b", "/?a=\"", "/a b", "/{a}", "/a#b"] {
            assert!(!can_be_shared(target), "{target}");
        }
    }
}
