//! Second step: the head is rewritten, and the body is hashed, or set up to be streamed.
//!
//! Hashing happens while the body arrives, over the pieces it comes in, which are kept as they are. A
//! body is sent only when it is complete, so a caller that goes away has sent nothing.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use http::Method;
use tokio::time::timeout;

use super::admit::Admitted;
use super::body::{BLOCK, Pieces, RequestBody, Streamed};
use super::loop_detection::HOP_HEADER;
use super::reply::Reply;
use super::{Settings, head};
use crate::config::{MediaRange, Route};
use crate::error::Error;
use crate::http1::{Fields, Framing, IdleTimer, Incoming, RequestHead, push_field};
use crate::signature::{CONTENT_HASH_HEADER, PayloadHash, PayloadHasher, UNSIGNED_PAYLOAD};
use crate::telemetry::metrics::Flight;
use crate::upstream::{Usage, can_be_shared};

/// Up to this length a body is short: it may share a connection, and one that need not be hashed is held all
/// the same, so that it can be sent again when the token turns out to have been withdrawn.
const SHORT: u64 = 64 * 1024;

/// A request with its final head, but for the signature, and its body.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) method: String,
    /// The target as it goes out.
    pub(super) target: String,
    /// Request line and fields; what the signature adds is still missing.
    pub(super) head: Vec<u8>,
    pub(super) body: RequestBody,
    /// The hash of the body; `None` if it is not signed.
    pub(super) hash: Option<PayloadHash>,
    pub(super) is_websocket: bool,
    /// What the request shows: a slot of the keyring.
    pub(super) slot: usize,
    pub(super) reply: Reply,
}

impl Prepared {
    /// How it may use a connection. A long body would hold others up, and costs less by itself. One that is
    /// streamed cannot be sent again, which a gateway may want at any time of what shares a connection.
    pub(super) fn usage(&self) -> Usage {
        let is_short = matches!(self.body.framing(), Framing::Length(length) if length <= SHORT);
        let is_held = !matches!(self.body, RequestBody::Streamed(_));
        if is_short && is_held && !self.is_websocket && can_be_shared(&self.target) {
            Usage::Shared
        } else {
            Usage::Alone
        }
    }
}

/// Prepares a request.
///
/// # Errors
///
/// What a caller can do wrong with a body, and [`Error::Overloaded`] when it cannot be held.
pub(super) async fn prepare(
    settings: &Settings,
    admitted: Admitted<'_>,
) -> Result<Prepared, Error> {
    let Admitted {
        head,
        body,
        target,
        is_websocket,
        via,
        hops,
        reply,
    } = admitted;
    let (body, hash) = if body.declared() == Some(0) {
        (RequestBody::Empty, Some(PayloadHash::EMPTY))
    } else if !via.is_signed && body.declared().is_some_and(|length| length <= SHORT) {
        let held = hold(settings, body, via.limit, &reply.flight, |_| {});
        (held.await?, None)
    } else if !via.is_signed || is_unsigned(&settings.signing.unsigned, &head.fields) {
        stream(settings, body, via.limit).await?
    } else {
        let mut hasher = PayloadHasher::default();
        let body = hold(settings, body, via.limit, &reply.flight, |piece| {
            hasher.update(piece);
        })
        .await?;
        (body, Some(hasher.finish()))
    };
    let route = &settings.routes[reply.route];
    let mut outgoing = outgoing_head(&head, &target, route);
    push_field(&mut outgoing, HOP_HEADER, &hops);
    if is_websocket {
        push_field(&mut outgoing, "connection", b"Upgrade");
        push_field(&mut outgoing, "upgrade", b"websocket");
    }
    frame(head.method(), &body, &mut outgoing);
    Ok(Prepared {
        method: head.method().to_owned(),
        target,
        head: outgoing,
        body,
        hash,
        is_websocket,
        slot: via.slot,
        reply,
    })
}

/// Request line and fields, without framing and signature.
fn outgoing_head(head: &RequestHead, target: &str, route: &Route) -> Vec<u8> {
    let mut outgoing = Vec::with_capacity(1024 + target.len());
    for part in [head.method(), " ", target, " HTTP/1.1\r\n"] {
        outgoing.extend_from_slice(part.as_bytes());
    }
    push_field(&mut outgoing, "host", route.upstream.authority.as_bytes());
    head::pass_unowned(&head.fields, &mut outgoing);
    push_field(&mut outgoing, "x-stage", route.stage.as_bytes());
    outgoing
}

/// Says how the body is framed.
fn frame(method: &str, body: &RequestBody, head: &mut Vec<u8>) {
    let expects_body = [Method::POST, Method::PUT, Method::PATCH]
        .iter()
        .any(|known| known.as_str() == method);
    match body.framing() {
        // Without it, gateways answer 411 to a method that is defined with a body.
        Framing::Length(0) if !expects_body => {}
        Framing::Length(length) => {
            push_field(head, "content-length", length.to_string().as_bytes());
        }
        Framing::Chunked | Framing::UntilClose => {
            push_field(head, "transfer-encoding", b"chunked");
        }
    }
}

/// Whether the body goes out as `UNSIGNED-PAYLOAD`, if there is one.
fn is_unsigned(ranges: &[MediaRange], fields: &Fields) -> bool {
    let asked = fields.first(CONTENT_HASH_HEADER) == Some(UNSIGNED_PAYLOAD.as_bytes());
    // Of two content types nobody knows which one counts; a hash is right in either case.
    let only = fields.only("content-type").unwrap_or_default();
    let essence = str::from_utf8(only).unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    asked || ranges.iter().any(|range| is_in(range, essence))
}

fn is_in(range: &MediaRange, essence: &str) -> bool {
    match range {
        MediaRange::Any => true,
        MediaRange::Type(name) => essence
            .split_once('/')
            .is_some_and(|(own, sub)| own.eq_ignore_ascii_case(name) && !sub.is_empty()),
        MediaRange::Exact(name) => essence.eq_ignore_ascii_case(name),
    }
}

/// Sets a body up to be passed on while it arrives.
async fn stream(
    settings: &Settings,
    mut body: Incoming,
    limit: u64,
) -> Result<(RequestBody, Option<PayloadHash>), Error> {
    let mut first = None;
    if body.declared().is_none() {
        // An empty body must not be sent as UNSIGNED-PAYLOAD, and only its first piece tells.
        first = next_piece(settings, &mut body).await?;
        if first.is_none() {
            return Ok((RequestBody::Empty, Some(PayloadHash::EMPTY)));
        }
    }
    let streamed = Streamed {
        first,
        rest: body,
        left: limit,
        limit,
        idle: IdleTimer::new(settings.timeouts.body_idle),
    };
    Ok((RequestBody::Streamed(Box::new(streamed)), None))
}

/// Takes in a body, and shows each piece to `see` meanwhile.
async fn hold(
    settings: &Settings,
    mut body: Incoming,
    limit: u64,
    flight: &Flight,
    mut see: impl FnMut(&[u8]),
) -> Result<RequestBody, Error> {
    let declared = body.declared().unwrap_or(0);
    let room = flight.queued(pin!(settings.budget.take(declared))).await;
    let mut room = room.map_err(|_| Error::Overloaded)?;
    let mut pieces = Pieces::new(&settings.blocks);
    // A long one is read to where it stays; of what is in the buffers already, a copy is made.
    while declared > BLOCK as u64 && !body.is_done() {
        if body.is_plain() {
            let read = read_into(settings, &mut body, &mut pieces).await?;
            pieces.filled(read, &mut see);
        } else if let Some(piece) = next_piece(settings, &mut body).await? {
            see(&piece);
            pieces.push(piece).map_err(Error::OutOfMemory)?;
        }
    }
    while let Some(piece) = next_piece(settings, &mut body).await? {
        let length = pieces.length() + piece.len() as u64;
        if length > limit {
            return Err(Error::BodyTooLarge { limit });
        }
        let grown = flight.queued(pin!(room.grow_to(length))).await;
        grown.map_err(|_| Error::Overloaded)?;
        see(&piece);
        pieces.push(piece).map_err(Error::OutOfMemory)?;
    }
    Ok(pieces.finish(room))
}

/// Reads more of a body to where it stays; how much.
async fn read_into(
    settings: &Settings,
    body: &mut Incoming,
    pieces: &mut Pieces,
) -> Result<usize, Error> {
    let room = pieces.room().map_err(Error::OutOfMemory)?;
    let read = timeout(
        settings.timeouts.body_idle,
        poll_fn(|cx| body.poll_into(room, cx)),
    );
    let read = read.await.map_err(|_| Error::BodyTimeout)?;
    read.map_err(Error::from)
}

/// The next piece of a body; `None` at the end.
async fn next_piece(settings: &Settings, body: &mut Incoming) -> Result<Option<Bytes>, Error> {
    let piece = timeout(
        settings.timeouts.body_idle,
        poll_fn(|cx| body.poll_piece(cx)),
    );
    let piece = piece.await.map_err(|_| Error::BodyTimeout)?;
    piece.transpose().map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(headers: &[(&'static str, &'static str)]) -> bool {
        let mut head = "GET / HTTP/1.1\r\n".to_owned();
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let head = RequestHead::parse(&(head + "\r\n").into()).unwrap();
        let ranges = [
            MediaRange::Type("multipart".to_owned()),
            MediaRange::Exact("video/mp4".to_owned()),
        ];
        is_unsigned(&ranges, &head.fields)
    }

    #[test]
    fn the_media_type_decides_whatever_its_case_and_parameters() {
        for value in [
            "multipart/form-data",
            "Multipart/Form-Data; boundary=x",
            "multipart/mixed;x",
            "VIDEO/mp4",
        ] {
            assert!(unsigned(&[("content-type", value)]), "{value}");
        }
        for value in [
            "text/plain; x=multipart/form-data",
            "application/json",
            "multipart",
            "multipart/",
            "video/mp4v",
            "",
        ] {
            assert!(!unsigned(&[("content-type", value)]), "{value}");
        }
    }

    #[test]
    fn a_caller_may_ask_for_it() {
        assert!(unsigned(&[("x-sdk-content-sha256", "UNSIGNED-PAYLOAD")]));
        assert!(!unsigned(&[("x-sdk-content-sha256", "e3b0")]));
    }

    #[test]
    fn of_two_content_types_neither_counts() {
        assert!(!unsigned(&[
            ("content-type", "multipart/form-data"),
            ("content-type", "multipart/form-data")
        ]));
    }
}
