//! The gateway's limits (size of head and body, stage, host), and how it reads what its documentation
//! leaves open.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::observer::ReceivedBody;
use super::refusal::Refused;
use crate::signature::{Algorithm, PayloadHash, PayloadHasher};

/// Longest target (APIG, notes and constraints).
const MAX_TARGET: usize = 32 * 1024;
const MAX_HEADER: usize = 32 * 1024;
const MAX_HEADERS: usize = 128 * 1024;
/// Longest body with a signature, an app code or an API key (ModelArts, access over the public
/// network: 12 MB).
pub(super) const MAX_BODY: u64 = 12 * 1024 * 1024;
/// Longest body with `X-Auth-Token`. "For larger ones, use a token": how large is not said.
pub(super) const MAX_BODY_WITH_TOKEN: u64 = 1024 * 1024 * 1024;
/// How much of a body is read beyond the limit before it is refused, so that the caller reads the
/// response.
const MAX_DRAINED: u64 = 36 * 1024 * 1024;

/// The number of headers, and of query pairs, that a gateway reads if it does not read all.
const FIRST_HUNDRED: usize = 100;

/// The readings of a gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// Several slashes in a row in a path are read as one, also if they are encoded.
    pub merges_slashes: bool,
    /// Headers and query pairs beyond the first hundred are ignored.
    pub first_hundred: bool,
}

impl Readings {
    /// A target as it is verified.
    pub(super) fn target(self, target: &str) -> Cow<'_, str> {
        let (path, query) = target.split_once('?').unzip();
        let mut read = Cow::Borrowed(path.unwrap_or(target));
        if self.merges_slashes {
            let mut merged = read.replace("%2F", "/").replace("%2f", "/");
            while merged.contains("//") {
                merged = merged.replace("//", "/");
            }
            read = merged.into();
        }
        if let Some(query) = query {
            let pairs: Vec<_> = query.split('&').take(self.limit()).collect();
            read.to_mut().push('?');
            read.to_mut().push_str(&pairs.join("&"));
        }
        read
    }

    /// The number of headers, and of query pairs, that are read at most.
    pub(super) fn limit(self) -> usize {
        match self.first_hundred {
            true => FIRST_HUNDRED,
            false => usize::MAX,
        }
    }
}

pub(super) fn check_head(target: &str, headers: &HeaderMap) -> Result<(), Refused> {
    if target.len() > MAX_TARGET {
        return Err(Refused::new(414, "APIG.0201", "Request URI too large."));
    }
    let size = |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let longest = headers.iter().map(size).max().unwrap_or(0);
    if longest > MAX_HEADER || headers.iter().map(size).sum::<usize>() > MAX_HEADERS {
        return Err(Refused::new(494, "APIG.0201", "Request headers too large."));
    }
    Ok(())
}

/// Checks that the API is published in the stage. The APIs of services, which are called for a
/// project, have no stages.
pub(super) fn check_stage(headers: &HeaderMap) -> Result<(), Refused> {
    let message = "The API does not exist or has not been published in the environment";
    let mut stages = headers.get_all("x-stage").iter();
    match (stages.next(), stages.next()) {
        (Some(stage), None) if stage == "RELEASE" => Ok(()),
        (None, None) if headers.contains_key("x-project-id") => Ok(()),
        _ => Err(Refused::new(404, "APIG.0101", message)),
    }
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

fn unreadable() -> Refused {
    Refused::new(400, "APIG.0201", "API request error.")
}

/// Reads a body of at most this many bytes, for its hash.
pub(super) async fn read(
    mut body: Incoming,
    received: &mut ReceivedBody,
    algorithm: Algorithm<'_>,
    limit: u64,
) -> Result<PayloadHash, Refused> {
    let drained = limit.saturating_add(MAX_DRAINED);
    if body.size_hint().lower() > drained {
        return Err(Refused::too_large());
    }
    let mut hasher = PayloadHasher::new(algorithm);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| unreadable())?;
        if let Some(piece) = frame.data_ref() {
            received.add(piece);
            hasher.update(piece);
        }
        if received.length > drained {
            break;
        }
    }
    if received.length > limit {
        return Err(Refused::too_large());
    }
    Ok(hasher.finish())
}
