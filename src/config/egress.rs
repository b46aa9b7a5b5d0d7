//! The proxy of a corporate network, from the variables that other programs obey: `HTTPS_PROXY`,
//! `ALL_PROXY` and `NO_PROXY`, in capitals or not.
//!
//! Which hosts need no proxy is decided by `hyper-util`, by the rules of curl. It does not get to read
//! the environment itself, and its verdict is taken once for each route.
//!
//! # What can go wrong
//!
//! Its address may hold a password, so it is shown nowhere, not even in a message about it.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::environment::Environment;
use super::problem::{Place, Problem};
use super::{Config, Endpoints, Scheme, UpstreamUrl};

/// Variables that name a proxy, the first one that is set counts.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Variables that list hosts which are reached without it.
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

const EXPECTED: &str = "expected http://host:port of a proxy that takes CONNECT, with user and password before an @ if it needs them; \
    unset the variable, or list the gateway in NO_PROXY, to connect directly";

/// A proxy that is passed with `CONNECT`.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy {
    /// Its host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Value of `Proxy-Authorization`, if it wants one.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressProxy").finish_non_exhaustive()
    }
}

/// Sets the proxy of each route, and of those who give keys.
pub(super) fn apply(config: &mut Config, environment: &Environment, problems: &mut Vec<Problem>) {
    let way = match Way::of(environment) {
        Ok(Some(way)) => way,
        Ok(None) => return,
        Err(name) => {
            problems.push(Problem {
                place: Place::Variable(name.to_owned()),
                key: String::new(),
                message: EXPECTED.to_owned(),
            });
            return;
        }
    };
    for route in &mut config.routes {
        route.egress = way.to(&route.upstream);
    }
    for set in &mut config.credentials {
        let Endpoints { metadata, sts, iam } = &mut set.endpoints;
        let endpoints = [Some(metadata), sts.as_mut(), iam.as_mut()];
        for endpoint in endpoints.into_iter().flatten() {
            endpoint.egress = way.to(&endpoint.url);
        }
    }
}

impl Environment {
    /// The proxy of the network on the way to a URL. One whose variable cannot be read is none: that is
    /// reported with the configuration.
    #[must_use]
    pub fn egress_to(&self, url: &UpstreamUrl) -> Option<EgressProxy> {
        Way::of(self).ok()??.to(url)
    }
}

/// The way out of the network.
struct Way {
    matcher: Matcher,
    proxy: EgressProxy,
}

impl Way {
    /// The way that the environment names; the name of the variable if it cannot be read.
    fn of(environment: &Environment) -> Result<Option<Self>, &'static str> {
        let Some((name, value)) = first(environment, &PROXY) else {
            return Ok(None);
        };
        let except = first(environment, &EXCEPT).map_or("", |(_, value)| value);
        let matcher = Matcher::builder().https(value).no(except).build();
        let anywhere = Matcher::builder().https(value).build();
        // A value that cannot be read would be passed over in silence, and the network's rules with it.
        let proxy = proxy(&anywhere, &Uri::from_static("https://gateway.example")).ok_or(name)?;
        Ok(Some(Self { matcher, proxy }))
    }

    /// The proxy that has to be passed on the way to a URL.
    fn to(&self, url: &UpstreamUrl) -> Option<EgressProxy> {
        let authority = url.authority.to_str().unwrap_or_default();
        let uri: Uri = format!("https://{authority}").parse().ok()?;
        let is_matched = leaves(url) && self.matcher.intercept(&uri).is_some();
        is_matched.then(|| self.proxy.clone())
    }
}

fn first<'a>(
    environment: &'a Environment,
    names: &[&'static str],
) -> Option<(&'static str, &'a str)> {
    names
        .iter()
        .find_map(|name| Some((*name, environment.text(name)?)))
}

/// Whether a URL leaves this machine. No proxy reaches its loopback addresses.
fn leaves(url: &UpstreamUrl) -> bool {
    let host = url.host.as_str();
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.scheme == Scheme::Https && host != "localhost" && !is_loopback
}

fn proxy(matcher: &Matcher, uri: &Uri) -> Option<EgressProxy> {
    let intercept = matcher.intercept(uri)?;
    let address = intercept.uri();
    if address.scheme_str() != Some("http") {
        return None;
    }
    let mut authorization = intercept.basic_auth().cloned();
    if let Some(value) = &mut authorization {
        value.set_sensitive(true);
    }
    Some(EgressProxy {
        host: address.host()?.trim_matches(['[', ']']).to_owned(),
        port: address.port_u16().unwrap_or(80),
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_upstream;

    fn applied(upstream: &str, pairs: &[(&str, &str)]) -> Result<Option<EgressProxy>, String> {
        let mut config = with_upstream(upstream).unwrap();
        let mut problems = Vec::new();
        let environment = Environment::from_pairs(pairs.iter().copied());
        apply(&mut config, &environment, &mut problems);
        match problems.first() {
            Some(problem) => Err(problem.to_string()),
            None => Ok(config.routes.remove(0).egress),
        }
    }

    const GATEWAY: &str = "https://id.apig.cn-north-4.huaweicloudapis.com";

    #[test]
    fn the_variables_that_other_programs_obey_are_obeyed() {
        assert_eq!(applied(GATEWAY, &[]), Ok(None));
        for name in PROXY {
            let proxy = applied(GATEWAY, &[(name, "http://proxy.corp:3128")]);
            let proxy = proxy.unwrap().unwrap();
            assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.corp", 3128));
            assert_eq!(proxy.authorization, None);
        }
        let bare = applied(GATEWAY, &[("HTTPS_PROXY", "[::1]:3128")]).unwrap();
        assert_eq!(bare.map(|proxy| proxy.host), Some("::1".to_owned()));
        // The other one is for plain HTTP, which does not leave this machine.
        assert_eq!(applied(GATEWAY, &[("HTTP_PROXY", "http://p:1")]), Ok(None));
    }

    #[test]
    fn hosts_that_are_excepted_and_this_machine_are_reached_directly() {
        let proxy = ("HTTPS_PROXY", "http://proxy.corp:3128");
        for except in [
            "*",
            "huaweicloudapis.com",
            ".huaweicloudapis.com",
            "a,id.apig.cn-north-4.huaweicloudapis.com",
        ] {
            assert_eq!(
                applied(GATEWAY, &[proxy, ("NO_PROXY", except)]),
                Ok(None),
                "{except}"
            );
            assert_eq!(
                applied(GATEWAY, &[proxy, ("no_proxy", except)]),
                Ok(None),
                "{except}"
            );
        }
        assert!(
            applied(GATEWAY, &[proxy, ("NO_PROXY", "example.com")])
                .unwrap()
                .is_some()
        );
        for here in [
            "https://localhost:8443",
            "https://127.0.0.1",
            "https://[::1]",
            "http://127.0.0.1:80",
        ] {
            assert_eq!(applied(here, &[proxy]), Ok(None), "{here}");
        }
    }

    #[test]
    fn a_password_is_sent_to_the_proxy_and_shown_nowhere() {
        let pairs = [("HTTPS_PROXY", "http://user:MARKER%40@proxy.corp:3128")];
        let proxy = applied(GATEWAY, &pairs).unwrap().unwrap();
        // "user:MARKER@"
        assert_eq!(
            proxy.authorization.as_ref().unwrap(),
            "Basic dXNlcjpNQVJLRVJA"
        );
        assert!(!format!("{proxy:?}").contains("MARKER"));
        assert!(!format!("{:?}", proxy.authorization).contains("dXNlcjpN"));
    }

    #[test]
    fn other_kinds_of_proxy_are_refused_without_showing_them() {
        for value in [
            "socks5://u:MARKER@p:1",
            "https://u:MARKER@p:1",
            "ftp://MARKER",
            "http://u:MARKER@",
        ] {
            let problem = applied(GATEWAY, &[("HTTPS_PROXY", value)]).unwrap_err();
            assert!(
                problem.starts_with("HTTPS_PROXY: expected http://"),
                "{problem}"
            );
            assert!(!problem.contains("MARKER"), "{problem}");
        }
    }
}
