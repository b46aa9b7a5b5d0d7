//! The proxy of a corporate network, from the usual variables: `HTTPS_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`, in capitals or not.
//!
//! `hyper-util` decides by the rules of curl which hosts need no proxy, once for each route. It
//! does not read the environment itself. The address of the proxy may hold a password, so it is
//! never shown, not even in an error about it.

use std::fmt;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::address::is_loopback;
use super::environment::Environment;
use super::problem::{Place, Problem};
use super::upstream_url::endpoint;
use super::{Config, Scheme, UpstreamUrl};

/// Variables that name a proxy; the first one that is set counts.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Variables that list hosts which are reached without it.
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy to connect through, with `CONNECT`.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Value of `Proxy-Authorization`, if the proxy requires it.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressProxy").finish_non_exhaustive()
    }
}

/// Sets the proxy of each route and of each endpoint for credentials.
pub(super) fn apply(config: &mut Config, environment: &Environment) -> Result<(), Problem> {
    let Some(network) = Network::new(environment)? else {
        return Ok(());
    };
    for route in &mut config.routes {
        route.upstream.egress = network.proxy_to(&route.upstream);
    }
    for set in &mut config.credentials {
        let optional = [&mut set.sts, &mut set.iam].into_iter().flatten();
        for endpoint in optional.chain([&mut set.metadata]) {
            endpoint.egress = network.proxy_to(endpoint);
        }
    }
    Ok(())
}

impl Environment {
    /// Parses the URL of a service for credentials: `https`, or `http` to an address of this machine
    /// or link. A variable for a proxy that cannot be parsed counts as none: it is reported with the
    /// configuration.
    pub(crate) fn endpoint(&self, text: &str) -> Result<UpstreamUrl, &'static str> {
        let mut url = endpoint(text)?;
        let network = Network::new(self).ok().flatten();
        url.egress = network.and_then(|network| network.proxy_to(&url));
        Ok(url)
    }
}

struct Network<'a> {
    proxy: &'a str,
    /// The value of `NO_PROXY`.
    except: &'a str,
}

impl<'a> Network<'a> {
    fn new(environment: &'a Environment) -> Result<Option<Self>, Problem> {
        let first = |names: &[&'static str]| {
            let mut names = names.iter();
            names.find_map(|name| Some((*name, environment.text(name)?)))
        };
        let Some((name, proxy)) = first(&PROXY) else {
            return Ok(None);
        };
        let place = Place::Variable(name.to_owned());
        check(proxy).map_err(|expected| Problem::new(place, "", expected))?;
        let except = first(&EXCEPT).map_or("", |(_, value)| value);
        Ok(Some(Self { proxy, except }))
    }

    /// The proxy on the way to a URL. No proxy reaches the loopback addresses of this machine.
    fn proxy_to(&self, url: &UpstreamUrl) -> Option<EgressProxy> {
        let (host, port) = url.destination();
        if url.scheme == Scheme::Http || is_loopback(host) {
            return None;
        }
        let except = self.except.split(',');
        let except = except.filter_map(|entry| excepted_host(entry, port));
        proxy(self.proxy, &except.collect::<Vec<_>>().join(","), host)
    }
}

/// The proxy on the way to a host; `None` if it is an excepted one, or if `value` is not the address
/// of a proxy that takes `CONNECT`.
fn proxy(value: &str, except: &str, host: &str) -> Option<EgressProxy> {
    let uri: Uri = match host.contains(':') {
        true => format!("https://[{host}]").parse().ok()?,
        false => format!("https://{host}").parse().ok()?,
    };
    let found = Matcher::builder().https(value).no(except).build();
    let found = found.intercept(&uri)?;
    let is_http = found.uri().scheme_str() == Some("http");
    let address = found.uri().authority().filter(|_| is_http)?;
    let port = match &address.as_str()[address.host().len()..] {
        "" => 80,
        _ => address.port_u16().filter(|port| *port > 0)?,
    };
    Some(EgressProxy {
        host: address.host().trim_matches(['[', ']']).to_owned(),
        port,
        authorization: found.basic_auth().cloned(),
    })
}

/// The host of an entry of `NO_PROXY` as hyper-util takes it; `None` if the entry is for another
/// port.
fn excepted_host(entry: &str, port: u16) -> Option<&str> {
    let entry = entry.trim();
    let entry = match entry.strip_prefix('*') {
        Some(rest) if rest.starts_with('.') => rest,
        _ => entry,
    };
    match entry.rsplit_once(':') {
        // An IPv6 address without brackets has several colons.
        Some((host, number)) if !host.contains(':') || host.ends_with(']') => {
            (number.parse() == Ok(port)).then(|| host.trim_matches(['[', ']']))
        }
        _ => Some(entry.trim_matches(['[', ']'])),
    }
}

/// Checks the address of a proxy: hyper-util ignores one that it cannot parse, and so would bypass it.
fn check(value: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected http://host:port of a proxy that takes CONNECT, with user and password before an @ if it needs them\n\
        hint: unset the variable, or list the gateway in NO_PROXY, to connect directly";
    const ENCODE: &str = "the user or the password has a character that has to be percent-encoded\n\
        hint: write `@` as `%40`, `#` as `%23`, `/` as `%2F` and `?` as `%3F`";
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let (user, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    // hyper-util would take a part of them for the host.
    if user.contains(['@', '#', '/', '?']) {
        return Err(ENCODE);
    }
    let has_path = address.trim_end_matches('/').contains(['/', '?', '#']);
    let anywhere = proxy(value, "", "gateway.example").filter(|_| !has_path);
    anywhere.map(drop).ok_or(EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_upstream;

    const GATEWAY: &str = "https://id.apig.cn-north-4.huaweicloudapis.com";

    fn applied(upstream: &str, pairs: &[(&str, &str)]) -> Result<Option<EgressProxy>, String> {
        let mut config = with_upstream(upstream).unwrap();
        let environment = Environment::from_pairs(pairs.iter().copied());
        let applied = apply(&mut config, &environment).map_err(|problem| problem.to_string());
        applied.map(|()| config.routes.remove(0).upstream.egress)
    }

    #[test]
    fn the_usual_variables_name_a_proxy() {
        for name in PROXY {
            let proxy = applied(GATEWAY, &[(name, "http://proxy.corp:3128")]);
            let proxy = proxy.unwrap().unwrap();
            assert_eq!((&*proxy.host, proxy.port), ("proxy.corp", 3128));
        }
        let bare = applied(GATEWAY, &[("HTTPS_PROXY", "[::1]:3128")]).unwrap();
        assert_eq!(bare.map(|proxy| proxy.host), Some("::1".to_owned()));
    }

    #[test]
    fn excepted_hosts_and_this_machine_are_reached_directly() {
        let proxy = ("HTTPS_PROXY", "http://proxy.corp:3128");
        let excepted = "* huaweicloudapis.com .huaweicloudapis.com *.huaweicloudapis.com \
            huaweicloudapis.com:443 a,id.apig.cn-north-4.huaweicloudapis.com";
        for except in excepted.split(' ') {
            let found = applied(GATEWAY, &[proxy, ("no_proxy", except)]);
            assert_eq!(found, Ok(None), "{except}");
        }
        for (upstream, except, is_proxied) in [
            (GATEWAY, "example.com", true),
            (GATEWAY, "huaweicloudapis.com:8443", true),
            ("https://10.1.2.3:8443", "10.0.0.0/8", false),
            ("https://10.1.2.3:8443", "11.0.0.0/8, 10.1.2.3:8443", false),
            ("https://10.1.2.3:8443", "10.1.2.3:443", true),
            ("https://[fd00::1]", "fd00::/8", false),
            ("https://[fd00::1]", "[fd00::1]:443", false),
            ("https://localhost:8443", "", false),
            ("http://127.0.0.1:80", "", false),
        ] {
            let found = applied(upstream, &[proxy, ("NO_PROXY", except)]).unwrap();
            assert_eq!(found.is_some(), is_proxied, "{upstream} {except}");
        }
    }

    #[test]
    fn the_address_of_the_proxy_is_never_shown() {
        let pairs = [("HTTPS_PROXY", "http://user:MARKER%40@proxy.corp:3128")];
        let proxy = applied(GATEWAY, &pairs).unwrap().unwrap();
        // "user:MARKER@"
        assert_eq!(
            proxy.authorization.as_ref().unwrap(),
            "Basic dXNlcjpNQVJLRVJA"
        );
        assert!(!format!("{proxy:?}").contains("MARKER"));
        assert!(!format!("{:?}", proxy.authorization).contains("dXNlcjpN"));
        let other = "socks5://u:MARKER@p:1 https://u:MARKER@p:1 ftp://MARKER http://u:MARKER@ http://u:MARKER@p:x http://p:1/MARKER";
        let raw =
            "http://u:MARK#MARKER@p:1 u:MARK/MARKER@p:1 http://u?MARKER@p http://u:MARK@MARKER@p:1";
        for (values, expected) in [
            (other, "expected http://"),
            (raw, "the user or the password has"),
        ] {
            for value in values.split(' ') {
                let problem = applied(GATEWAY, &[("HTTPS_PROXY", value)]).unwrap_err();
                let begin = format!("HTTPS_PROXY: {expected}");
                assert!(problem.starts_with(&begin), "{problem}");
                assert!(!problem.contains("MARKER"), "{problem}");
            }
        }
    }
}
