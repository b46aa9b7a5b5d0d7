//! Loop detection: refuses a request that comes back to this proxy, or passes too many of them.
//!
//! Each proxy adds itself to the header `apig-proxy-hop: <count>;<id>,<id>…`. The id is drawn when
//! the process starts, so two proxies with the same configuration differ. The header is not signed;
//! names in `x-apig-` are reserved at the gateway.
//!
//! # What can go wrong
//!
//! A server that drops the header hides a loop through it. Such a loop ends when the connections of
//! a pool are used up, or at a time limit.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers;
use crate::error::Error;

/// The name of the header.
pub(super) const HOP_HEADER: HeaderName = HeaderName::from_static("apig-proxy-hop");

/// A request that passed this many proxies is refused. No header has more ids.
const MAX_HOPS: usize = 3;

/// The length of an id: 64 bits in hexadecimal digits.
const ID_LENGTH: usize = 16;

const MALFORMED: Error =
    Error::BadRequest("`apig-proxy-hop` is malformed\nhint: send the request without it");

/// The identity of a running proxy, which survives reloads: the header value of the first hop,
/// which most requests leave with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProxyId(HeaderValue);

impl ProxyId {
    /// Draws an id.
    pub(super) fn random() -> Self {
        // The keys of the hasher come from the operating system.
        let id = RandomState::new().hash_one(());
        Self(header_value(format!("1;{id:016x}")))
    }

    /// The header value for the next hop of a received request. It is a loop if this proxy or
    /// [`MAX_HOPS`] proxies have passed the request on already.
    pub(super) fn next_hop(&self, received: &HeaderMap) -> Result<HeaderValue, Error> {
        if !received.contains_key(HOP_HEADER) {
            return Ok(self.0.clone());
        }
        let value = headers::only(received, &HOP_HEADER);
        let value = value.and_then(|value| value.to_str().ok());
        let (count, mut ids) = value.and_then(parse).ok_or(MALFORMED)?;
        let own = self.0.to_str().map_or("", |first| &first[2..]);
        if count >= MAX_HOPS || ids.iter().any(|id| id.eq_ignore_ascii_case(own)) {
            return Err(Error::Loop);
        }
        ids.push(own);
        Ok(header_value(format!("{};{}", count + 1, ids.join(","))))
    }
}

fn header_value(digits: String) -> HeaderValue {
    HeaderValue::try_from(digits).expect("digits are a header value")
}

/// The count and the ids of a header.
fn parse(value: &str) -> Option<(usize, Vec<&str>)> {
    let (count, ids) = value.split_once(';')?;
    let is_count = matches!(count.len(), 1 | 2) && count.bytes().all(|byte| byte.is_ascii_digit());
    let ids: Vec<&str> = ids.splitn(MAX_HOPS + 1, ',').collect();
    let is_id =
        |id: &&str| id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_well_formed = is_count && ids.len() <= MAX_HOPS && ids.iter().all(is_id);
    is_well_formed.then_some((count.parse().ok()?, ids))
}
