//! Second step: the head is rewritten, and the body is hashed, or set up to be streamed.
//!
//! Hashing happens while the body arrives, over the pieces it comes in, which are kept as they are. A
//! body is sent only when it is complete, so a caller that goes away has sent nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::admit::Admitted;
use super::body::{Held, Progress, RequestBody, Streamed};
use super::idle::IdleTimer;
use super::{Settings, head};
use crate::config::MediaRange;
use crate::error::Error;
use crate::signature::{CONTENT_HASH_HEADER, PayloadHash, PayloadHasher, UNSIGNED_PAYLOAD};

const X_STAGE: HeaderName = HeaderName::from_static("x-stage");

/// A request with its final head, but for the signature, and its body.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) request: Request<RequestBody>,
    /// The hash of the body; `None` if it is not signed.
    pub(super) hash: Option<PayloadHash>,
    pub(super) reply: Reply,
}

/// What is needed to relay the answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// Index of the route.
    pub(super) route: usize,
    /// The `Host` by which the caller called.
    pub(super) host: HeaderValue,
}

/// Prepares a request.
///
/// # Errors
///
/// What a caller can do wrong with a body, and [`Error::Overloaded`] when it cannot be held.
pub(super) async fn prepare(settings: &Settings, admitted: Admitted) -> Result<Prepared, Error> {
    let Admitted {
        parts,
        body,
        route,
        host,
        target,
    } = admitted;
    let is_unsigned = is_unsigned(&settings.signing.unsigned, &parts.headers);
    let (body, hash) = if body.is_end_stream() {
        (RequestBody::Empty, Some(PayloadHash::EMPTY))
    } else if is_unsigned {
        stream(settings, body).await?
    } else {
        hold(settings, body).await?
    };
    let upstream = &settings.routes[route];
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 6);
    headers.insert(HOST, upstream.upstream.authority.clone());
    head::pass_through(parts.headers, &mut headers, |name| !head::is_owned(name));
    headers.insert(X_STAGE, upstream.stage.clone());
    frame(&parts.method, &body, &mut headers);
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(Prepared {
        request,
        hash,
        reply: Reply { route, host },
    })
}

/// Says how the body is framed, where the HTTP client would say nothing or something else.
fn frame(method: &Method, body: &RequestBody, headers: &mut HeaderMap) {
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    match body {
        // Without it, gateways answer 411 to a method that is defined with a body.
        RequestBody::Empty if expects_body => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        // Without it, hyper leaves out the body of a GET whose length is not known.
        RequestBody::Streamed(streamed) if streamed.rest.size_hint().exact().is_none() => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        RequestBody::Empty | RequestBody::Held(_) | RequestBody::Streamed(_) => {}
    }
}

/// Whether the body goes out as `UNSIGNED-PAYLOAD`, if there is one.
fn is_unsigned(ranges: &[MediaRange], headers: &HeaderMap) -> bool {
    let asked = headers
        .get(CONTENT_HASH_HEADER)
        .is_some_and(|value| value == UNSIGNED_PAYLOAD);
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    // Of two content types nobody knows which one counts; a hash is right in either case.
    let only = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default(),
        _ => "",
    };
    let essence = only.split(';').next().unwrap_or_default().trim();
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
) -> Result<(RequestBody, Option<PayloadHash>), Error> {
    let mut first = None;
    if body.size_hint().exact().is_none() {
        // An empty body must not be sent as UNSIGNED-PAYLOAD, and only its first piece tells.
        first = next_piece(settings, &mut body).await?;
        if first.is_none() {
            return Ok((RequestBody::Empty, Some(PayloadHash::EMPTY)));
        }
    }
    let limit = settings.limits.body;
    let idle = IdleTimer::new(settings.timeouts.body_idle);
    let streamed = Streamed {
        first,
        rest: body,
        left: limit,
        limit,
        idle,
        progress: Progress::new(),
    };
    Ok((RequestBody::Streamed(Box::new(streamed)), None))
}

/// Takes in a body and hashes it meanwhile.
async fn hold(
    settings: &Settings,
    mut body: Incoming,
) -> Result<(RequestBody, Option<PayloadHash>), Error> {
    let limit = settings.limits.body;
    let declared = body.size_hint().exact();
    let mut room = settings
        .budget
        .take(declared.unwrap_or(0))
        .ok_or(Error::Overloaded)?;
    let mut pieces = VecDeque::new();
    let mut hasher = PayloadHasher::default();
    let mut length = 0_u64;
    while let Some(piece) = next_piece(settings, &mut body).await? {
        length += piece.len() as u64;
        if length > limit {
            return Err(Error::BodyTooLarge { limit });
        }
        if !room.grow_to(length) {
            return Err(Error::Overloaded);
        }
        hasher.update(&piece);
        pieces.push_back(piece);
    }
    if pieces.is_empty() {
        return Ok((RequestBody::Empty, Some(PayloadHash::EMPTY)));
    }
    let held = Held {
        pieces,
        _room: room,
        progress: Progress::new(),
    };
    Ok((RequestBody::Held(held), Some(hasher.finish())))
}

/// The next piece of a body that is not empty; `None` at the end.
async fn next_piece(settings: &Settings, body: &mut Incoming) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = timeout(settings.timeouts.body_idle, body.frame())
            .await
            .map_err(|_| Error::BodyTimeout)?;
        match frame.transpose().map_err(Error::BodyIncomplete)? {
            None => return Ok(None),
            // Trailers are not passed on: no signature covers them.
            Some(frame) => match frame.into_data() {
                Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
                _ => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let ranges = [
            MediaRange::Type("multipart".to_owned()),
            MediaRange::Exact("video/mp4".to_owned()),
        ];
        is_unsigned(&ranges, &map)
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
