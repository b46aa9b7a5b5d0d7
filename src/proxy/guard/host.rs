//! `Host`: by which name the proxy is called.

use std::net::{IpAddr, Ipv6Addr};

use http::header::HOST;
use http::uri::Authority;
use http::{Version, request};

use super::ListenerKind;
use crate::config;
use crate::error::Error;
use crate::proxy::headers;

/// The only `Host`, and the name in it. Over HTTP/2, `:authority` is the `Host`.
///
/// # Errors
///
/// [`Error::BadHost`] if there is not exactly one, or it is malformed, and [`Error::BadRequest`] if the target
/// has another authority.
pub(super) fn of_request(
    head: &request::Parts,
    listener: ListenerKind,
) -> Result<(&str, &str), Error> {
    let authority = head.uri.authority().map(Authority::as_str);
    let has_header = head.headers.contains_key(HOST);
    let host = match authority {
        Some(authority) if head.version == Version::HTTP_2 && !has_header => authority,
        _ => {
            let host = headers::only(&head.headers, &HOST).ok_or(Error::BadHost)?;
            str::from_utf8(host.as_bytes()).map_err(|_| Error::BadHost)?
        }
    };
    let name = match listener {
        ListenerKind::Unix => any_name(host),
        ListenerKind::Tcp | ListenerKind::Tls => name(host),
    };
    let name = name.ok_or(Error::BadHost)?;
    // A target that is nothing but an authority is refused later, whatever it names.
    let is_absolute = head.uri.scheme().is_some() || head.version == Version::HTTP_2;
    let is_other = |authority: &str| !authority.eq_ignore_ascii_case(host);
    if is_absolute && authority.is_some_and(is_other) {
        return Err(Error::BadRequest(
            "the target names another host than the Host header",
        ));
    }
    Ok((host, name))
}

/// The name in the `Host` of a request over a unix socket. Clients send what they have: nothing, a made-up name
/// or the percent-encoded path of the socket.
fn any_name(host: &str) -> Option<&str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte);
    let name = name(host).unwrap_or(host);
    host.bytes().all(is_part).then_some(name)
}

/// The name in a `Host`, without port and trailing dot; `None` if it is malformed.
fn name(host: &str) -> Option<&str> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')? + 1;
        let (name, rest) = host.split_at(end);
        let inner = &name[1..end - 1];
        inner.parse::<Ipv6Addr>().ok()?;
        (
            name,
            if rest.is_empty() {
                None
            } else {
                Some(rest.strip_prefix(':')?)
            },
        )
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    if !port.is_none_or(is_port) {
        return None;
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !name.starts_with('[') && !name.bytes().all(is_name) {
        return None;
    }
    Some(name.strip_suffix('.').unwrap_or(name))
}

/// Whether a name is an address of one machine. "Any address" is none: browsers take it for this machine.
pub(super) fn is_address(name: &str) -> bool {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner.parse().map(IpAddr::V6),
        None => name.parse().map(IpAddr::V4),
    };
    address.is_ok_and(|address| !address.to_canonical().is_unspecified())
}

/// Whether browsers send fetch metadata over plain HTTP to this name.
pub(super) fn is_trustworthy(name: &str) -> bool {
    config::is_trustworthy_name(name)
}
