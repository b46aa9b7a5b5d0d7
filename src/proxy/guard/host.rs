//! `Host`: the name by which a caller reached the proxy.

use std::net::IpAddr;

use http::header::HOST;
use http::uri::Authority;
use http::{Version, request};

use super::ListenerKind;
use crate::error::Error;
use crate::proxy::headers;

/// The only `Host` of a request, and the name in it. Over HTTP/2, `:authority` is the `Host`. A
/// target that has another authority is refused.
pub(super) fn of_request(
    head: &request::Parts,
    listener: ListenerKind,
) -> Result<(&str, &str), Error> {
    let authority = head.uri.authority().map(Authority::as_str);
    let is_http2 = head.version == Version::HTTP_2;
    let host = match authority {
        Some(authority) if is_http2 && !head.headers.contains_key(HOST) => authority,
        _ => {
            let host = headers::only(&head.headers, &HOST).ok_or(Error::BadHost)?;
            str::from_utf8(host.as_bytes()).map_err(|_| Error::BadHost)?
        }
    };
    let name = match listener {
        ListenerKind::Unix | ListenerKind::Replay => any_name(host),
        ListenerKind::Tcp | ListenerKind::Tls => name(host),
    };
    let name = name.ok_or(Error::BadHost)?;
    // The routing step refuses targets in authority-form, whatever they name.
    let is_absolute = head.uri.scheme().is_some() || is_http2;
    if is_absolute && authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
        let error = "the target names another host than the Host header";
        return Err(Error::BadRequest(error));
    }
    Ok((host, name))
}

/// The name in the `Host` of a request over a unix socket. Clients send nothing, a made-up name or
/// the percent-encoded path of the socket.
fn any_name(host: &str) -> Option<&str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte);
    let name = name(host).unwrap_or(host);
    host.bytes().all(is_part).then_some(name)
}

/// The name in a `Host`, without port and trailing dot; `None` if it is malformed.
fn name(host: &str) -> Option<&str> {
    let is_bracketed = host.starts_with('[');
    let end = match is_bracketed {
        true => host.find(']')? + 1,
        false => host.find(':').unwrap_or(host.len()),
    };
    let (name, rest) = host.split_at(end);
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_well_formed = match is_bracketed {
        true => address(name).is_some(),
        false => name.bytes().all(is_part),
    };
    let has_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    (is_well_formed && has_port).then(|| name.strip_suffix('.').unwrap_or(name))
}

/// True if a name is an address of one machine. "Any address" is not: browsers take it for this
/// machine.
pub(super) fn is_address(name: &str) -> bool {
    address(name).is_some_and(|address| !address.to_canonical().is_unspecified())
}

/// True for `localhost` and loopback addresses.
pub(super) fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || address(name).is_some_and(|ip| ip.is_loopback())
}

fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
}
