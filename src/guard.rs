//! Who may use the port. Whoever reaches it can have requests signed, so it is checked before anything else.
//!
//! Programs on this machine reach the port by a loopback name. A web page in somebody's browser may
//! reach it too: by a name of its own that was made to point here (DNS rebinding), or across origins.
//! The first is told by `Host`, the second by `Sec-Fetch-Site` and `Origin`.
//!
//! That `Origin` equals `Host` proves nothing: a rebound page sends both with its own name.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Uri};

use crate::config::Access;
use crate::error::Error;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Decides who may use the port.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Names by which the proxy may be called: lower case, no port, IPv6 addresses in brackets.
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Guard {
    /// A guard for these bound addresses.
    #[must_use]
    pub fn new(access: &Access, bound: &[SocketAddr]) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"]
            .map(str::to_owned)
            .to_vec();
        hosts.extend(bound.iter().map(|address| match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
        hosts.extend(access.hosts.iter().cloned());
        hosts.sort_unstable();
        hosts.dedup();
        Self {
            hosts,
            origins: access.origins.clone(),
        }
    }

    /// Lets a request through, or says why not. Returns the `Host` by which the proxy was called.
    ///
    /// # Errors
    ///
    /// [`Error::BadHost`], [`Error::HostNotAllowed`] or [`Error::OriginNotAllowed`], and
    /// [`Error::BadRequest`] for an absolute target whose authority is not the `Host`.
    pub fn check<'r>(&self, uri: &Uri, headers: &'r HeaderMap) -> Result<&'r str, Error> {
        let mut values = headers.get_all(HOST).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Error::BadHost);
        };
        let host = value.to_str().map_err(|_| Error::BadHost)?;
        let name = host_name(host).ok_or(Error::BadHost)?;
        if !self
            .hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
        {
            return Err(Error::HostNotAllowed);
        }
        if uri
            .authority()
            .is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host))
        {
            return Err(Error::BadRequest(
                "the target names another host than the Host header",
            ));
        }
        self.check_origin(headers).map(|()| host)
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        let mut listed = false;
        for origin in headers.get_all(ORIGIN) {
            let same =
                |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
            if !self.origins.iter().any(same) {
                return Err(Error::OriginNotAllowed);
            }
            listed = true;
        }
        let own = |site: &http::HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
        if !listed && !headers.get_all(SEC_FETCH_SITE).iter().all(own) {
            return Err(Error::OriginNotAllowed);
        }
        Ok(())
    }
}

/// The name in a `Host`, without port and trailing dot; `None` if it is malformed.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')? + 1;
        let (name, rest) = host.split_at(end);
        let inner = &name[1..end - 1];
        inner.parse::<std::net::Ipv6Addr>().ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let access = Access {
            hosts: vec!["proxy.internal".to_owned()],
            origins: vec!["http://localhost:3000".to_owned()],
        };
        Guard::new(&access, &["127.0.0.5:8080".parse().unwrap()])
    }

    fn code(headers: &[(&'static str, &'static str)]) -> &'static str {
        code_of("/v1", headers)
    }

    fn code_of(uri: &str, headers: &[(&'static str, &'static str)]) -> &'static str {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        guard()
            .check(&uri.parse().unwrap(), &map)
            .map_or_else(|error| error.answer().code, |_| "")
    }

    #[test]
    fn the_proxy_s_own_names_are_let_through_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "127.0.0.5",
            "proxy.internal:80",
        ] {
            assert_eq!(code(&[("host", host)]), "", "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "0.0.0.0:8080",
            "[::]",
            "",
            "localhost..",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "::1",
        ] {
            assert!(
                ["host_not_allowed", "bad_host"].contains(&code(&[("host", host)])),
                "{host}"
            );
        }
        assert_eq!(code(&[("host", "evil.example")]), "host_not_allowed");
    }

    #[test]
    fn a_missing_doubled_or_malformed_host_is_refused() {
        assert_eq!(code(&[]), "bad_host");
        assert_eq!(
            code(&[("host", "localhost"), ("host", "localhost")]),
            "bad_host"
        );
        for host in [
            "localhost:x",
            "localhost:99999",
            "user@localhost",
            "localhost/",
            "local host",
            "[::1",
            "[::1]x",
            "[x]",
        ] {
            assert_eq!(code(&[("host", host)]), "bad_host", "{host}");
        }
    }

    #[test]
    fn an_absolute_target_must_name_the_host() {
        assert_eq!(code_of("http://localhost/v1", &[("host", "localhost")]), "");
        assert_eq!(
            code_of("http://evil.example/v1", &[("host", "localhost")]),
            "bad_request"
        );
        assert_eq!(
            code_of("http://evil.example/v1", &[("host", "evil.example")]),
            "host_not_allowed"
        );
    }

    #[test]
    fn foreign_origins_are_refused_and_listed_ones_let_through() {
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost",
            "https://localhost:3000",
            "http://localhost:8080",
        ] {
            assert_eq!(
                code(&[("host", "localhost:8080"), ("origin", origin)]),
                "origin_not_allowed",
                "{origin}"
            );
        }
        let listed = [
            ("host", "localhost"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "same-site"),
        ];
        assert_eq!(code(&listed), "");
    }

    #[test]
    fn a_cross_site_request_is_refused_even_without_an_origin() {
        for site in ["cross-site", "same-site", "unknown", ""] {
            assert_eq!(
                code(&[("host", "localhost"), ("sec-fetch-site", site)]),
                "origin_not_allowed",
                "{site}"
            );
        }
        for site in ["same-origin", "none"] {
            assert_eq!(
                code(&[("host", "localhost"), ("sec-fetch-site", site)]),
                "",
                "{site}"
            );
        }
    }
}
