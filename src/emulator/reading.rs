//! Reads a request within the gateway's limits of size.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};

use super::refusal::Refused;
use crate::signature::{PayloadHash, PayloadHasher};

/// Longest target (APIG, notes and constraints).
const TARGET: usize = 32 * 1024;
/// Longest header.
const HEADER: usize = 32 * 1024;
/// All headers together.
const HEADERS: usize = 128 * 1024;
/// How much more of a body that is too long is read before it is refused, so that the caller gets the answer.
const DRAINED: u64 = 36 * 1024 * 1024;

/// A body that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBody {
    pub(super) length: u64,
    pub(super) hash: PayloadHash,
}

pub(super) fn check_head(target: &str, headers: &HeaderMap) -> Result<(), Refused> {
    if target.len() > TARGET {
        return Err(Refused::new(414, "APIG.0201", "Request URI too large."));
    }
    let sizes: Vec<usize> = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .collect();
    if sizes.iter().any(|size| *size > HEADER) || sizes.iter().sum::<usize>() > HEADERS {
        return Err(Refused::new(494, "APIG.0201", "Request headers too large."));
    }
    Ok(())
}

pub(super) fn check_stage(headers: &HeaderMap) -> Result<(), Refused> {
    let stages: Vec<_> = headers
        .get_all("x-stage")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if stages == [b"RELEASE"] {
        return Ok(());
    }
    Err(Refused::new(
        404,
        "APIG.0101",
        "The API does not exist or has not been published in the environment",
    ))
}

/// Takes `:authority` of HTTP/2 for `Host`, which the signature covers.
pub(super) fn set_host(parts: &mut request::Parts) -> Result<(), Refused> {
    let Some(authority) = parts.uri.authority() else {
        return Ok(());
    };
    let is_same = |host: &HeaderValue| host == authority.as_str();
    if !parts.headers.get_all(HOST).iter().all(is_same) {
        return Err(unreadable());
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| unreadable())?;
    parts.headers.insert(HOST, host);
    Ok(())
}

/// A request that cannot be read.
fn unreadable() -> Refused {
    Refused::new(400, "APIG.0201", "API request error.")
}

/// Reads a body of at most so many bytes: its hash and length are kept, and each frame goes to `keep`.
pub(super) async fn read(
    mut body: Incoming,
    limit: u64,
    mut keep: impl FnMut(Frame<Bytes>),
) -> Result<ReadBody, Refused> {
    let drained = limit.saturating_add(DRAINED);
    if body
        .size_hint()
        .exact()
        .is_some_and(|length| length > drained)
    {
        return Err(Refused::too_large());
    }
    let mut hasher = PayloadHasher::default();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| unreadable())?;
        if let Some(piece) = frame.data_ref() {
            length += piece.len() as u64;
            hasher.update(piece);
        }
        if length > drained {
            break;
        }
        if length <= limit {
            keep(frame);
        }
    }
    if length > limit {
        Err(Refused::too_large())
    } else {
        Ok(ReadBody {
            length,
            hash: hasher.finish(),
        })
    }
}
