//! Who may use the port. Whoever reaches it can have requests signed, so it is checked before anything else.
//!
//! Programs on this machine reach the port by a loopback name. A web page in somebody's browser may
//! reach it too: by a name of its own that was made to point here (DNS rebinding), or across origins.
//! The first is told by `Host`, the second by `Sec-Fetch-Site` and `Origin`.
//!
//! That `Origin` equals `Host` proves nothing: a rebound page sends both with its own name.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Access, CallerToken};
use crate::error::Error;
use crate::http1::Fields;

/// Decides who may use the port.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Names by which the proxy may be called: lower case, no port, IPv6 addresses in brackets.
    hosts: Vec<String>,
    origins: Vec<String>,
    token: Option<CallerToken>,
}

/// The header in which callers send their token.
const TOKEN: &str = "x-apig-proxy-token";

impl Guard {
    /// A guard for these bound addresses.
    #[must_use]
    pub fn new(access: &Access, bound: &[SocketAddr]) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"]
            .map(str::to_owned)
            .to_vec();
        // "Any address" is nobody's name: browsers take it for this machine.
        let named = bound
            .iter()
            .filter(|address| !address.ip().is_unspecified());
        hosts.extend(named.map(|address| match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }));
        hosts.extend(access.hosts.iter().cloned());
        hosts.sort_unstable();
        hosts.dedup();
        Self {
            hosts,
            origins: access.origins.clone(),
            token: access.token.clone(),
        }
    }

    /// Lets a request through, or says why not. `authority` is that of an absolute target.
    ///
    /// # Errors
    ///
    /// As [`Self::check_page`], and [`Error::TokenRequired`].
    pub fn check<'r>(
        &'r self,
        authority: Option<&str>,
        fields: &'r Fields,
    ) -> Result<Visitor<'r>, Error> {
        let visitor = self.check_page(authority, fields)?;
        if let Some(token) = &self.token
            && !fields.only(TOKEN).is_some_and(|sent| token.is(sent))
        {
            return Err(Error::TokenRequired);
        }
        Ok(visitor)
    }

    /// Checks all but the token, which a browser that asks whether it may send a request cannot have.
    ///
    /// # Errors
    ///
    /// [`Error::BadHost`], [`Error::HostNotAllowed`] or [`Error::OriginNotAllowed`], and
    /// [`Error::BadRequest`] for an absolute target whose authority is not the `Host`.
    pub fn check_page<'r>(
        &'r self,
        authority: Option<&str>,
        fields: &'r Fields,
    ) -> Result<Visitor<'r>, Error> {
        let host = fields.only("host").ok_or(Error::BadHost)?;
        let host = str::from_utf8(host).map_err(|_| Error::BadHost)?;
        let name = host_name(host).ok_or(Error::BadHost)?;
        if !self
            .hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
        {
            return Err(Error::HostNotAllowed {
                host: host.as_bytes().into(),
            });
        }
        if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
            return Err(Error::BadRequest(
                "the target names another host than the Host header",
            ));
        }
        let origin = self.listed_origin(fields)?;
        Ok(Visitor { host, origin })
    }

    /// The origin of the web page that calls, which must be a listed one; `None` if no page does.
    fn listed_origin(&self, fields: &Fields) -> Result<Option<&str>, Error> {
        let mut listed = None;
        for origin in fields.all("origin") {
            let same = |allowed: &&String| allowed.as_bytes().eq_ignore_ascii_case(origin);
            let found = self.origins.iter().find(same);
            let found = found.ok_or_else(|| Error::OriginNotAllowed {
                origin: origin.into(),
            });
            listed = Some(found?.as_str());
        }
        let is_foreign = |site: &&[u8]| !matches!(*site, b"same-origin" | b"none");
        match fields.all("sec-fetch-site").find(is_foreign) {
            Some(site) if listed.is_none() => Err(Error::OriginNotAllowed {
                origin: site.into(),
            }),
            _ => Ok(listed),
        }
    }
}

/// Who was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor<'r> {
    /// The `Host` by which the proxy was called.
    pub host: &'r str,
    /// The origin of the web page that calls, as the configuration spells it.
    pub origin: Option<&'r str>,
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
    use crate::http1::RequestHead;

    fn guard() -> Guard {
        let access = Access {
            hosts: vec!["proxy.internal".to_owned()],
            origins: vec!["http://localhost:3000".to_owned()],
            token: None,
        };
        Guard::new(&access, &["127.0.0.5:8080".parse().unwrap()])
    }

    fn code(headers: &[(&'static str, &'static str)]) -> &'static str {
        code_of(None, headers)
    }

    fn code_of(authority: Option<&str>, headers: &[(&'static str, &'static str)]) -> &'static str {
        let mut head = "GET / HTTP/1.1\r\n".to_owned();
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let head = RequestHead::parse(&(head + "\r\n").into()).unwrap();
        guard()
            .check(authority, &head.fields)
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
    fn a_guard_of_any_address_takes_none_for_its_name() {
        let bound = ["0.0.0.0:8080", "[::]:8080"].map(|address| address.parse().unwrap());
        let guard = Guard::new(&Access::default(), &bound);
        for (host, is_let_through) in [
            ("localhost", true),
            ("0.0.0.0", false),
            ("[::]:8080", false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let head = RequestHead::parse(&head.into()).unwrap();
            assert_eq!(
                guard.check(None, &head.fields).is_ok(),
                is_let_through,
                "{host}"
            );
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
        assert_eq!(code_of(Some("localhost"), &[("host", "localhost")]), "");
        assert_eq!(
            code_of(Some("evil.example"), &[("host", "localhost")]),
            "bad_request"
        );
        assert_eq!(
            code_of(Some("evil.example"), &[("host", "evil.example")]),
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
