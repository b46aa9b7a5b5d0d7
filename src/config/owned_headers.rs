//! The names of headers that only the proxy sets or consumes, and the headers that a route sets, which
//! cannot be any of those.

use http::{HeaderName, HeaderValue};

use super::layers::Setting;
use super::value::{Parsed, list};

/// Headers that are hop-by-hop even if `Connection` does not name them.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Request headers that the proxy sets itself, or that only a proxy may set.
const OWNED: [&str; 17] = [
    "apig-proxy-hop",
    "apikey",
    "authorization",
    "content-length",
    // The proxy itself sends `100 Continue`.
    "expect",
    "forwarded",
    "host",
    "x-apig-appcode",
    "x-auth-token",
    "x-hw-appkey",
    "x-hw-id",
    "x-project-id",
    "x-sdk-content-sha256",
    "x-sdk-content-sm3",
    "x-sdk-date",
    "x-security-token",
    "x-stage",
];

/// Prefixes of further names that the proxy owns.
const OWNED_PREFIXES: [&str; 2] = ["x-forwarded-", OWN_PREFIX];

/// Prefix of the names that only the proxy sets, in both directions.
pub(crate) const OWN_PREFIX: &str = "x-apig-proxy-";

/// True if a request header of this name is set by the proxy only.
pub(crate) fn is_owned(name: &str) -> bool {
    is_one_of(&OWNED, name.as_bytes()) || OWNED_PREFIXES.iter().any(|own| has_prefix(name, own))
}

/// True if a header is hop-by-hop, whatever `Connection` names.
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    is_one_of(&HOP_BY_HOP, name)
}

pub(crate) fn is_one_of(known: &[&str], name: &[u8]) -> bool {
    let mut known = known.iter();
    known.any(|known| name.len() == known.len() && folded(name).eq(known.bytes()))
}

pub(crate) fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.as_bytes().get(..prefix.len());
    start.is_some_and(|start| is_one_of(&[prefix], start))
}

/// A name in lower case, with `-` for `_`.
pub(crate) fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(|byte| match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    })
}

/// A list of `name: value`.
pub(super) fn header_list(setting: &Setting) -> Parsed<Vec<(HeaderName, HeaderValue)>> {
    list(|line| {
        let pair = line.split_once(':');
        let (name, value) = pair.ok_or("expected headers as `name: value`")?;
        let value = HeaderValue::from_str(value.trim()).ok();
        let value = value.filter(|value| value.to_str().is_ok());
        Ok((
            header_name(name.trim())?,
            value.ok_or("expected a value of visible ASCII characters")?,
        ))
    })(setting)
}

/// The name of a header that a route may set.
pub(super) fn header_name(name: &str) -> Result<HeaderName, &'static str> {
    const OWN: &str = "the proxy sets or consumes this header itself\nhint: use another name";
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.ok().filter(|name| !name.as_str().contains('_'));
    let parsed = parsed.ok_or("expected the name of a header, without `_`")?;
    if is_owned(parsed.as_str()) || is_hop_by_hop(parsed.as_str().as_bytes()) {
        return Err(OWN);
    }
    Ok(parsed)
}
