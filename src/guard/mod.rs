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
    /// Whether it was bound to any address.
    is_any_address: bool,
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
            is_any_address: bound.iter().any(|address| address.ip().is_unspecified()),
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
        self.check_named(authority, fields, |_| false)
    }

    /// As [`Self::check_page`], for what shows nothing but how the proxy is: if it was bound to any address,
    /// it may be called by any.
    ///
    /// The kubelet and Prometheus call a pod by its address, which nobody knows when the configuration is
    /// written. A page of another origin cannot be among them: its browser sends the name that the page
    /// was loaded by, and a name that was made to point here is a name all the same.
    ///
    /// # Errors
    ///
    /// As [`Self::check_page`].
    pub fn check_probe<'r>(
        &'r self,
        authority: Option<&str>,
        fields: &'r Fields,
    ) -> Result<Visitor<'r>, Error> {
        self.check_named(authority, fields, |name| {
            self.is_any_address && is_address(name)
        })
    }

    /// Checks all but the token; the name may be one of the proxy's or one that `is_more`.
    fn check_named<'r>(
        &'r self,
        authority: Option<&str>,
        fields: &'r Fields,
        is_more: impl Fn(&str) -> bool,
    ) -> Result<Visitor<'r>, Error> {
        let host = fields.only("host").ok_or(Error::BadHost)?;
        let host = str::from_utf8(host).map_err(|_| Error::BadHost)?;
        let name = host_name(host).ok_or(Error::BadHost)?;
        let is_named = |allowed: &String| allowed.eq_ignore_ascii_case(name);
        if !self.hosts.iter().any(is_named) && !is_more(name) {
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

/// Whether a name is an address of one machine. "Any address" is none: browsers take it for this machine.
fn is_address(name: &str) -> bool {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner.parse().map(IpAddr::V6),
        None => name.parse().map(IpAddr::V4),
    };
    address.is_ok_and(|address| !address.to_canonical().is_unspecified())
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
mod tests;
