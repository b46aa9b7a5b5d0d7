//! `Origin` and `Referer` of pages that were loaded through the proxy. They name the proxy, while
//! `Host` names the gateway, so services that compare the two would refuse the page: both become the
//! upstream's. `origin = "keep"` of a route switches that off.

use http::header::{ORIGIN, REFERER};
use http::{HeaderMap, HeaderValue};

use super::guard::{ListenerKind, is_own_origin};
use super::location::base_path;
use crate::config::Route;

/// Replaces the proxy's own origin by that of the upstream. The caller used the `Host` `host`, and
/// `prefix` before the paths of the route.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    route: &Route,
    listener: ListenerKind,
    host: &str,
    prefix: &str,
) {
    if let Some(origin) = headers.get_mut(ORIGIN)
        && is_own_origin(origin.as_bytes(), listener, host)
    {
        replace(origin, route.upstream.origin().into_bytes());
    }
    if let Some(referer) = headers.get_mut(REFERER)
        && let Some(path) = own_path(referer.as_bytes(), listener, host)
    {
        let rest = path.strip_prefix(prefix.as_bytes());
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        // The page may belong to another route, whose paths mean nothing to this upstream.
        let (base_path, rest) = rest.map_or(("", &b"/"[..]), |rest| (base_path(route), rest));
        let origin = route.upstream.origin();
        let url = [origin.as_bytes(), base_path.as_bytes(), rest].concat();
        replace(referer, url);
    }
}

/// What follows the proxy's own origin in a URL.
fn own_path<'a>(url: &'a [u8], listener: ListenerKind, host: &str) -> Option<&'a [u8]> {
    let authority = memchr::memmem::find(url, b"://")? + 3;
    let mut bytes = url.iter().skip(authority);
    let length = bytes.position(|byte| b"/?#".contains(byte));
    let (origin, path) = url.split_at(length.map_or(url.len(), |length| authority + length));
    is_own_origin(origin, listener, host).then_some(path)
}

fn replace(value: &mut HeaderValue, with: Vec<u8>) {
    if let Ok(with) = HeaderValue::try_from(with) {
        *value = with;
    }
}
