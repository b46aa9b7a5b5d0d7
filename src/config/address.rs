//! Addresses: what to listen on, where an upstream is, and which hosts and origins may call.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::uri::Authority;
use http::{HeaderValue, Uri};

use super::{Listen, Scheme, UpstreamUrl};
use crate::signature::Target;

pub(super) const EXPECTED_LISTEN: &str = "expected an address with a port, like \"127.0.0.1:8080\", or a unix socket, like \"unix:/run/apig-proxy/proxy.sock\"";

const EXPECTED_PATH: &str = "expected an absolute path of at most 100 bytes after \"unix:\", like \"unix:/run/apig-proxy/proxy.sock\"";

/// Longest path of a unix socket, in bytes. The system takes 107.
const LONGEST_PATH: usize = 100;

pub(super) const EXPECTED_UPSTREAM: &str = "expected a URL like \"https://<id>.apig.cn-north-4.huaweicloudapis.com\", without user, query and fragment";

/// Reads an address to listen on.
pub(super) fn listen(text: &str) -> Result<Listen, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        let is_path = path.starts_with('/') && path.len() <= LONGEST_PATH && !path.ends_with('/');
        let path = is_path.then(|| Listen::Unix(path.into()));
        return path.ok_or(EXPECTED_PATH);
    }
    match text.strip_prefix("https://") {
        Some(text) => tcp(text).map(Listen::Tls),
        None => tcp(text.strip_prefix("http://").unwrap_or(text)).map(Listen::Tcp),
    }
}

fn tcp(text: &str) -> Result<SocketAddr, &'static str> {
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| EXPECTED_LISTEN)?;
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| EXPECTED_LISTEN)
}

/// Reads the URL of an upstream.
pub(super) fn upstream(text: &str) -> Result<UpstreamUrl, &'static str> {
    const PLAIN: &str = "plain http is for loopback addresses only, since signed requests could be read and replayed; use https://";
    let url = url(text)?;
    if url.scheme == Scheme::Http && !is_loopback(&url.host) {
        return Err(PLAIN);
    }
    Ok(url)
}

/// Reads the URL of a service that gives keys. Those of this machine's own link speak plain HTTP: nobody
/// else can read it.
pub(super) fn endpoint(text: &str) -> Result<UpstreamUrl, &'static str> {
    const PLAIN: &str = "plain http is for addresses of this machine and its link (127.0.0.1, 169.254.169.254) only; use https://";
    let url = url(text).map_err(|_| "expected a URL like \"https://iam.myhuaweicloud.com\"")?;
    if url.scheme == Scheme::Http && !is_loopback(&url.host) && !is_link_local(&url.host) {
        return Err(PLAIN);
    }
    Ok(url)
}

fn url(text: &str) -> Result<UpstreamUrl, &'static str> {
    if text.contains(['#', '?', '@']) {
        return Err(EXPECTED_UPSTREAM);
    }
    let uri: Uri = text.parse().map_err(|_| EXPECTED_UPSTREAM)?;
    let (scheme, default_port) = match uri.scheme_str() {
        Some("https") => (Scheme::Https, 443),
        Some("http") => (Scheme::Http, 80),
        _ => return Err(EXPECTED_UPSTREAM),
    };
    let authority = uri.authority().ok_or(EXPECTED_UPSTREAM)?;
    let bracketed = authority.host().to_ascii_lowercase();
    let host = bracketed.trim_matches(['[', ']']).to_owned();
    let port = port(authority, default_port)?;
    if host.is_empty() {
        return Err(EXPECTED_UPSTREAM);
    }
    let base_path = base_path(uri.path())?;
    let authority = if port == default_port {
        bracketed
    } else {
        format!("{bracketed}:{port}")
    };
    let authority = HeaderValue::try_from(authority).map_err(|_| EXPECTED_UPSTREAM)?;
    Ok(UpstreamUrl {
        scheme,
        host,
        port,
        authority,
        base_path,
    })
}

/// The port of an authority. What follows the host is a port or nothing; "host:" is neither.
fn port(authority: &Authority, default: u16) -> Result<u16, &'static str> {
    match authority.as_str()[authority.host().len()..].strip_prefix(':') {
        None => Ok(default),
        Some(_) => authority
            .port_u16()
            .filter(|port| *port > 0)
            .ok_or(EXPECTED_UPSTREAM),
    }
}

fn base_path(path: &str) -> Result<String, &'static str> {
    let path = path.trim_end_matches('/');
    if !path.is_empty() {
        Target::parse(path).map_err(|_| EXPECTED_UPSTREAM)?;
    }
    Ok(path.to_owned())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_link_local(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_unique_local(),
    })
}

/// Reads a name that callers may use in `Host`.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected host names without scheme and port, like \"proxy.internal\"";
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_ipv6 = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_ipv6 = is_ipv6.and_then(|ip| ip.parse::<std::net::Ipv6Addr>().ok());
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_anywhere = is_ipv6.is_some_and(|ip| ip.is_unspecified()) || name == "0.0.0.0";
    if is_anywhere {
        return Err(
            "an address that stands for any address cannot be allowed: browsers resolve it to this machine",
        );
    }
    if is_name || is_ipv6.is_some() {
        Ok(name)
    } else {
        Err(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_taken_apart() {
        let url = upstream("https://GW.Example:443/v1/infers/x/").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.base_path.as_str()),
            ("gw.example", 443, "/v1/infers/x")
        );
        assert_eq!(url.authority, "gw.example");
        let url = upstream("https://[::1]:8443").unwrap();
        assert_eq!(
            (
                url.host.as_str(),
                url.authority.to_str().unwrap(),
                url.base_path.as_str()
            ),
            ("::1", "[::1]:8443", "")
        );
        assert_eq!(
            upstream("http://127.0.0.1:80/").unwrap().authority,
            "127.0.0.1"
        );
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "",
            "gw.example",
            "ftp://gw.example",
            "https://",
            "https:///x",
            "https://u:p@gw.example",
            "https://gw.example/?a",
            "https://gw.example/#a",
            "https://gw.example:",
            "https://gw.example:0",
            "https://gw.example:99999",
            "https://gw.example/a/../b",
            "https://gw.example/%zz",
            "http://gw.example",
            "http://localhost.evil.example",
            "https://gw example",
        ] {
            assert!(upstream(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_to_listen_on_need_a_port() {
        assert_eq!(
            listen("localhost:1"),
            Ok(Listen::Tcp("127.0.0.1:1".parse().unwrap()))
        );
        assert_eq!(
            listen("[::1]:0"),
            Ok(Listen::Tcp("[::1]:0".parse().unwrap()))
        );
        assert_eq!(
            listen("unix:/run/x.sock"),
            Ok(Listen::Unix("/run/x.sock".into()))
        );
        assert_eq!(
            listen("https://0.0.0.0:8443"),
            Ok(Listen::Tls("0.0.0.0:8443".parse().unwrap()))
        );
        assert_eq!(
            listen("http://127.0.0.1:8080"),
            Ok(Listen::Tcp("127.0.0.1:8080".parse().unwrap()))
        );
        for text in [
            "",
            "8080",
            ":8080",
            "127.0.0.1",
            "localhost",
            "localhost:x",
            "ftp://127.0.0.1:8080",
            "https://127.0.0.1",
            "unix:relative",
            "unix:/run/",
            "unix:",
        ] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_kept_in_one_spelling() {
        assert_eq!(host("Proxy.Internal.").unwrap(), "proxy.internal");
        assert_eq!(host("[::2]").unwrap(), "[::2]");
        for text in ["", "*", "a:80", "http://a", "0.0.0.0", "[::]", "a b"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
