//! The URLs of upstreams, and of services for credentials.

use std::net::IpAddr;

use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use super::EgressProxy;
use super::address::is_loopback;
use crate::signature::{Target, normalize_path};

pub(super) const PLAIN: &str = "plain http is for loopback addresses only, since signed requests could be read and replayed\n\
    hint: use `https://`";

/// The URL of an upstream, or of a service for credentials, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Plain HTTP for loopback addresses only.
    pub scheme: Scheme,
    /// Host name or address that a certificate can be for, lower case; an IPv6 address without
    /// brackets.
    pub host: String,
    /// Port, or the default of the scheme.
    pub port: u16,
    /// The `Host` header as sent and signed: without the default port.
    pub authority: HeaderValue,
    /// Replaces the prefix of the route: empty, or starts with `/` and does not end with it.
    pub base_path: String,
    /// The path is spelt with a `/` at its end, and so are requests for the upstream itself.
    pub ends_with_slash: bool,
    /// Host and port to connect to, if they are others than those that are signed.
    pub connect_to: Option<(String, u16)>,
    /// The proxy of the network to connect through; `None` to connect directly.
    pub egress: Option<EgressProxy>,
}

impl UpstreamUrl {
    /// Host and port to connect to.
    pub fn destination(&self) -> (&str, u16) {
        let other = self.connect_to.as_ref();
        other.map_or((&self.host, self.port), |(host, port)| (host, *port))
    }

    /// Scheme and authority, as browsers write an origin.
    pub fn origin(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }
}

/// The scheme of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP, to a loopback address.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Parses the URL of an upstream. Plain HTTP is accepted for loopback addresses only.
pub(super) fn upstream(text: &str) -> Result<UpstreamUrl, &'static str> {
    const EXPECTED: &str = "expected a URL like \"https://<id>.apig.cn-north-4.huaweicloudapis.com\", without user, query and fragment";
    let url = url(text).ok_or_else(|| url_problem(text).unwrap_or(EXPECTED))?;
    let is_safe = url.scheme == Scheme::Https || is_loopback(&url.host);
    is_safe.then_some(url).ok_or(PLAIN)
}

/// Parses the URL of a service for credentials. Plain HTTP is accepted for link-local and loopback
/// addresses, whose traffic does not leave the link.
pub(super) fn endpoint(text: &str) -> Result<UpstreamUrl, &'static str> {
    const PLAIN: &str = "plain http is for addresses of this machine and its link (127.0.0.1, 169.254.169.254) only\n\
        hint: use `https://`";
    const EXPECTED: &str = "expected a URL like \"https://iam.myhuaweicloud.com\"";
    let url = url(text).ok_or_else(|| url_problem(text).unwrap_or(EXPECTED))?;
    let is_safe = url.scheme == Scheme::Https || is_loopback(&url.host) || is_link_local(&url.host);
    is_safe.then_some(url).ok_or(PLAIN)
}

/// What is wrong with a text that is not a URL, if it is a usual mistake.
fn url_problem(text: &str) -> Option<&'static str> {
    match text {
        _ if text.contains(['<', '>']) => Some(
            "the URL has a placeholder\nhint: write a value in place of `<...>`; the console shows the address of the gateway",
        ),
        _ if text.trim() != text => Some("a blank stands before or after the URL\nhint: remove it"),
        _ if !text.contains("://") => Some("the URL has no scheme\nhint: begin it with `https://`"),
        _ => None,
    }
}

fn url(text: &str) -> Option<UpstreamUrl> {
    let is_plain = !text.contains(['#', '?', '@']);
    let uri: Uri = text.parse().ok().filter(|_| is_plain)?;
    let (scheme, default_port) = match uri.scheme_str()? {
        "https" => (Scheme::Https, 443),
        "http" => (Scheme::Http, 80),
        _ => return None,
    };
    let authority = uri.authority()?;
    let bracketed = authority.host().to_ascii_lowercase();
    let host = bracketed.trim_matches(['[', ']']).to_owned();
    let path = normalize_path(uri.path());
    let base_path = path.trim_end_matches('/').to_owned();
    let is_path = base_path.is_empty() || Target::parse(&base_path).is_ok();
    // The certificate of the gateway has to be for it.
    let is_host = ServerName::try_from(host.as_str()).is_ok();
    // What follows the host is a port or nothing; "host:" is neither.
    let port = match &authority.as_str()[authority.host().len()..] {
        "" => default_port,
        _ => authority.port_u16().filter(|port| *port > 0)?,
    };
    let authority = match port {
        port if port == default_port => bracketed,
        port => format!("{bracketed}:{port}"),
    };
    (is_path && is_host).then_some(UpstreamUrl {
        scheme,
        host,
        port,
        authority: HeaderValue::try_from(authority).ok()?,
        ends_with_slash: !base_path.is_empty() && path.ends_with('/'),
        base_path,
        connect_to: None,
        egress: None,
    })
}

fn is_link_local(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_unique_local(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_upstreams_are_parsed() {
        for (text, host, port, authority) in [
            ("https://GW.Example:443/", "gw.example", 443, "gw.example"),
            ("https://[::1]:8443", "::1", 8443, "[::1]:8443"),
            ("http://127.0.0.1:80/", "127.0.0.1", 80, "127.0.0.1"),
        ] {
            let url = upstream(text).unwrap();
            assert_eq!((&*url.host, url.port), (host, port));
            assert_eq!(url.authority, authority);
        }
        let path = |text| upstream(text).map(|url| (url.base_path, url.ends_with_slash));
        assert_eq!(path("https://a/v1/x/"), Ok(("/v1/x".to_owned(), true)));
        for (text, problem) in [
            ("https://<id>.apig.example", "placeholder"),
            (" https://gw.example", "a blank"),
            ("gw.example", "no scheme"),
            ("https://u:p@gw.example", "without user"),
        ] {
            let found = upstream(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
        let wrong = "|gw.example|ftp://gw.example|https://|https:///x|https://u:p@gw.example|https://gw.example/?a|\
                     https://gw.example/#a|https://gw.example:|https://gw.example:0|https://gw.example:99999|\
                     https://gw.example/a/../b|https://gw.example/%zz|http://gw.example|http://localhost.evil.example|https://gw..example|https://-|https://gw example";
        for text in wrong.split('|') {
            assert!(upstream(text).is_err(), "{text}");
        }
    }
}
