//! Loop detection: a request that comes back to this proxy, or passes too many of them, is refused.
//!
//! Each proxy adds itself to the header `apig-proxy-hop: <count>;<id>,<id>…`. The id is drawn when the
//! process starts, so two proxies with the same configuration differ. The header is not signed, and its
//! name is not one of the gateway's: names in `x-apig-` are reserved there.
//!
//! # What can go wrong
//!
//! A server that drops the header hides a loop through it. Such a loop ends when the connections of a
//! pool are used up, or at a time limit.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderValue};

use crate::error::Error;

/// The header that proxies add themselves to.
pub(super) const HOP_HEADER: &str = "apig-proxy-hop";

/// A request that has passed so many proxies is not passed on.
const MAX_HOPS: u8 = 3;

/// The most ids that are read.
const MAX_IDS: usize = 4;

/// The length of an id: 64 bits in hexadecimal digits.
const ID_LENGTH: usize = 16;

/// What begins the header of a request that no proxy has passed yet.
const FIRST: &str = "1;";

/// The identity of a running proxy. It stays the same over reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProxyId {
    /// The whole value of the header at the first hop, which most requests leave with.
    first_hop: HeaderValue,
}

impl ProxyId {
    /// Draws an id.
    pub(super) fn random() -> Self {
        // The keys of the hasher come from the operating system.
        Self::new(RandomState::new().hash_one(()))
    }

    fn new(id: u64) -> Self {
        let value = format!("{FIRST}{id:016x}");
        Self {
            first_hop: HeaderValue::try_from(value).expect("digits are a header value"),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.first_hop.as_bytes()[FIRST.len()..]
    }
}

/// The value of the header for the next hop of a received request.
///
/// # Errors
///
/// [`Error::Loop`] if this proxy or three proxies have passed the request on already, and
/// [`Error::BadRequest`] if that cannot be told from the header.
pub(super) fn next_hop(own: &ProxyId, received: &HeaderMap) -> Result<HeaderValue, Error> {
    const MALFORMED: Error =
        Error::BadRequest("the header apig-proxy-hop is malformed; send the request without it");
    let mut received = received.get_all(HOP_HEADER).iter();
    let Some(value) = received.next() else {
        return Ok(own.first_hop.clone());
    };
    if received.next().is_some() {
        return Err(MALFORMED);
    }
    let (count, ids) = parse(value.as_bytes()).ok_or(MALFORMED)?;
    let is_own = |id: &&[u8]| id.eq_ignore_ascii_case(own.as_bytes());
    if count >= MAX_HOPS || ids.iter().any(is_own) {
        return Err(Error::Loop);
    }
    // Only a forged header has more ids than hops. The newest are kept, so that the next proxy can
    // read it.
    let kept = &ids[ids.len().saturating_sub(MAX_IDS - 1)..];
    let mut value = format!("{};", count + 1).into_bytes();
    for id in kept {
        value.extend_from_slice(id);
        value.push(b',');
    }
    value.extend_from_slice(own.as_bytes());
    Ok(HeaderValue::try_from(value).expect("digits are a header value"))
}

/// The count and the ids of a header.
fn parse(value: &[u8]) -> Option<(u8, Vec<&[u8]>)> {
    let at = value.iter().position(|byte| *byte == b';')?;
    let (count, ids) = (&value[..at], &value[at + 1..]);
    let is_count = matches!(count.len(), 1 | 2) && count.iter().all(u8::is_ascii_digit);
    if !is_count || ids.len() > MAX_IDS * (ID_LENGTH + 1) {
        return None;
    }
    let count = count
        .iter()
        .fold(0, |count, digit| count * 10 + (digit - b'0'));
    let ids: Vec<&[u8]> = ids.split(|byte| *byte == b',').collect();
    let is_id = |id: &&[u8]| id.len() == ID_LENGTH && id.iter().all(u8::is_ascii_hexdigit);
    (ids.len() <= MAX_IDS && ids.iter().all(is_id)).then_some((count, ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u64 = 0xabc;

    fn next(received: &[&str]) -> Result<String, &'static str> {
        let own = ProxyId::new(OWN);
        let mut headers = HeaderMap::new();
        for value in received {
            headers.append(HOP_HEADER, HeaderValue::from_str(value).unwrap());
        }
        match next_hop(&own, &headers) {
            Ok(value) => Ok(value.to_str().unwrap().to_owned()),
            Err(error) => Err(error.answer().code),
        }
    }

    #[test]
    fn each_hop_counts_and_adds_its_own_id() {
        let (own, other) = ("0000000000000abc", "0123456789abcdef");
        assert_eq!(next(&[]).unwrap(), format!("1;{own}"));
        assert_eq!(
            next(&[&format!("1;{other}")]).unwrap(),
            format!("2;{other},{own}")
        );
        let four = ["1111111111111111", other, other, other].join(",");
        assert_eq!(
            next(&[&format!("02;{four}")]).unwrap(),
            format!("3;{other},{other},{other},{own}")
        );
    }

    #[test]
    fn the_own_id_and_a_third_hop_are_loops() {
        for value in [
            "1;0000000000000abc",
            "1;0000000000000ABC",
            "2;0123456789abcdef,0000000000000abc",
            "3;0123456789abcdef",
            "99;0123456789abcdef",
        ] {
            assert_eq!(next(&[value]), Err("loop"), "{value}");
        }
    }

    #[test]
    fn two_proxies_have_different_ids() {
        assert_ne!(ProxyId::random(), ProxyId::random());
    }
}
