//! Addresses at the upstream in responses. A `Location` there becomes the local address of the same
//! thing, or the caller would follow a redirect past the proxy, unsigned. A cookie of the gateway's
//! host or path becomes one of the proxy's, or no browser would keep it or send it back.

use http::HeaderValue;
use http::uri::Authority;

use super::Settings;
use crate::config::{Route, Scheme, UpstreamUrl};
use crate::signature::is_dot_segment;

/// How the caller of a request reaches routes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Local<'a> {
    /// The `Host` that the caller used.
    pub(super) host: &'a str,
    /// The caller speaks TLS.
    pub(super) is_tls: bool,
    /// The beginning of all paths that the caller uses, which identifies it; empty for none.
    pub(super) capability: &'a str,
    /// The listener or the `Host` leads to this route only, without its prefix.
    pub(super) is_selected: bool,
}

impl Local<'_> {
    /// The prefix of a route, without the capability.
    fn prefix<'a>(&self, route: &'a Route) -> &'a str {
        if self.is_selected { "" } else { &route.prefix }
    }

    /// What the caller writes for a path below a route.
    fn path(&self, route: &Route, rest: &str) -> String {
        let prefix = [self.capability, self.prefix(route)].concat();
        let needs_slash = prefix.is_empty() && !rest.starts_with('/');
        [&*prefix, if needs_slash { "/" } else { "" }, rest].concat()
    }
}

/// The local address of `location`; `None` if no route leads there. It is on the route of the
/// request or on another one that serves the path.
pub(super) fn local(
    location: &[u8],
    settings: &Settings,
    route: usize,
    caller: &Local<'_>,
) -> Option<String> {
    let location = str::from_utf8(location).ok()?;
    let own = &settings.routes[route].upstream;
    // "//host/path" names a host without a scheme.
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let candidate = |(at, other): (usize, &Route)| {
        let upstream = &other.upstream;
        let is_same = (&upstream.host, upstream.port) == (&own.host, own.port);
        let path = match is_path {
            true => Some(location).filter(|_| is_same),
            false => path_at_upstream(location, upstream),
        };
        let rest = rest_below(path?, base_path(other))?;
        let is_served = match caller.is_selected {
            true => at == route,
            false => serves(settings, at, rest),
        };
        is_served.then(|| {
            (
                base_path(other).len(),
                at == route,
                caller.path(other, rest),
            )
        })
    };
    let candidates = settings.routes.iter().enumerate().filter_map(candidate);
    let (_, _, path) = candidates.max()?;
    if is_path && !names_host(&path) {
        return Some(path);
    }
    match (caller.host, caller.is_tls) {
        // Over a unix socket the `Host` may be empty. Then one that names a host stays.
        ("", _) => Some(path).filter(|path| !names_host(path)),
        (host, true) => Some(["https://", host, &path].concat()),
        (host, false) => Some(["http://", host, &path].concat()),
    }
}

/// True if a path below a route has this route.
fn serves(settings: &Settings, route: usize, rest: &str) -> bool {
    let path = Local::default().path(&settings.routes[route], rest);
    let end = path.find(['?', '#']).unwrap_or(path.len());
    settings.route_matcher.find(&path[..end]) == Some(route)
}

/// A cookie without the `Domain` of the gateway, and with the local `Path`; `None` if it has
/// neither.
pub(super) fn local_cookie(
    cookie: &HeaderValue,
    route: &Route,
    caller: &Local<'_>,
) -> Option<HeaderValue> {
    let mut parts = cookie.as_bytes().split(|byte| *byte == b';');
    let (mut local, mut is_changed) = (parts.next()?.to_vec(), false);
    for part in parts {
        let text = str::from_utf8(part).unwrap_or_default();
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        if is("domain") && is_domain_of(value.trim(), &route.upstream.host) {
            is_changed = true;
            continue;
        }
        let path = is("path").then(|| cookie_path(value.trim(), route, caller));
        let path = path.flatten().map(|path| format!(" Path={path}"));
        is_changed |= path.is_some();
        local.push(b';');
        local.extend(path.as_ref().map_or(part, |path| path.as_bytes()));
    }
    is_changed.then(|| HeaderValue::try_from(local).ok())?
}

/// True if browsers send a cookie of this domain to the host.
fn is_domain_of(domain: &str, host: &str) -> bool {
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    let rest = host.strip_suffix(&*domain);
    !domain.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The local form of a cookie's path; `None` if it is for more than the paths of one route.
fn cookie_path(path: &str, route: &Route, caller: &Local<'_>) -> Option<String> {
    let base_path = base_path(route);
    if base_path == caller.prefix(route) && caller.capability.is_empty() {
        return None;
    }
    match rest_below(path, base_path) {
        // For the whole host, which is what begins with the capability.
        _ if path == "/" => {
            (!caller.capability.is_empty()).then(|| [caller.capability, "/"].concat())
        }
        Some(rest) => Some(caller.path(route, rest)),
        // A parent of the route's paths.
        None if rest_below(base_path, path.trim_end_matches('/')).is_some() => {
            Some(caller.path(route, ""))
        }
        None => None,
    }
}

/// The path of the upstream without a slash at its end.
fn base_path(route: &Route) -> &str {
    route.upstream.base_path.trim_end_matches('/')
}

/// What follows `base` in a path that is below it. With dot segments it may lead out again.
fn rest_below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(base)?;
    let is_below = rest.is_empty() || rest.starts_with(['/', '?', '#']);
    (is_below && !has_dot_segment(rest)).then_some(rest)
}

/// True if the path has a segment that is `.` or `..`, also one that is encoded.
fn has_dot_segment(path: &str) -> bool {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    // Browsers leave out tabs before they look for segments.
    let path = path[..end].replace(char::is_control, "");
    path.split('/').any(is_dot_segment)
}

/// True if browsers read a host behind the first slash of a path. They take `\` for `/`, and leave
/// out tabs.
fn names_host(path: &str) -> bool {
    let second = path.chars().nth(1);
    second.is_some_and(|second| matches!(second, '/' | '\\') || second.is_control())
}

/// Path, query and fragment of a URL at the upstream. Behind a TLS endpoint a backend may take
/// itself for plain HTTP, so the other scheme names the same server, with or without its port.
fn path_at_upstream<'a>(url: &'a str, upstream: &UpstreamUrl) -> Option<&'a str> {
    let (scheme, rest) = url.split_once("//")?;
    let own_scheme = match upstream.scheme {
        Scheme::Http => "http:",
        Scheme::Https => "https:",
    };
    let is_own_scheme = scheme.is_empty() || scheme.eq_ignore_ascii_case(own_scheme);
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http:" => 80,
        "https:" => 443,
        "" if upstream.scheme == Scheme::Http => 80,
        "" => 443,
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(default_port);
    let is_upstream = host.eq_ignore_ascii_case(&upstream.host)
        && (port == upstream.port || (!is_own_scheme && port == default_port))
        && !authority.as_str().contains('@');
    is_upstream.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, with_upstream};
    use crate::proxy::property_tests::settings_of;

    /// A configuration of routes, as pairs of prefix and path of the upstream.
    fn config(routes: &[(&str, &str)]) -> Config {
        let mut config = with_upstream("https://gw.example").unwrap();
        let like = config.routes.remove(0);
        for (prefix, base_path) in routes {
            let mut route = like.clone();
            (*prefix).clone_into(&mut route.prefix);
            (*base_path).clone_into(&mut route.upstream.base_path);
            config.routes.push(route);
        }
        config
    }

    #[test]
    fn what_a_route_serves_becomes_local_and_the_rest_stays() {
        const FLOWERS: &[(&str, &str)] = &[("/flowers", "/v1/x")];
        const TWO: &[(&str, &str)] = &[("/birds", "/v1/y"), ("/flowers", "/v1/x"), ("", "")];
        const ALL: &[(&str, &str)] = &[("", "")];
        const BASE: &[(&str, &str)] = &[("", "/v1/x")];
        for (location, routes, host, expected) in [
            (
                "https://gw.example/v1/x/a?b#c",
                FLOWERS,
                "l",
                "http://l/flowers/a?b#c",
            ),
            (
                "HTTPS://GW.example:443/v1/x/a",
                FLOWERS,
                "l",
                "http://l/flowers/a",
            ),
            ("//gw.example/v1/x/a", FLOWERS, "l", "http://l/flowers/a"),
            (
                "http://gw.example/v1/x/a",
                FLOWERS,
                "l",
                "http://l/flowers/a",
            ),
            (
                "http://gw.example:80/v1/x/a",
                FLOWERS,
                "l",
                "http://l/flowers/a",
            ),
            (
                "http://gw.example:443/v1/x/a",
                FLOWERS,
                "l",
                "http://l/flowers/a",
            ),
            ("https://gw.example?a", ALL, "l", "http://l/?a"),
            ("/v1/x/a", FLOWERS, "l", "/flowers/a"),
            ("/a", ALL, "l", "/a"),
            ("/v1/y/a", TWO, "l", "/birds/a"),
            ("https://gw.example/v1/y", TWO, "l", "http://l/birds"),
            ("https://gw.example/v1/z", TWO, "l", "http://l/v1/z"),
            // The route for everything else does not take the paths of others.
            ("https://gw.example/birds/a", TWO, "l", ""),
            ("https://other.example/v1/x/a", FLOWERS, "l", ""),
            ("https://gw.example:80/v1/x", FLOWERS, "l", ""),
            ("http://gw.example:8080/v1/x", FLOWERS, "l", ""),
            ("https://u@gw.example/v1/x", FLOWERS, "l", ""),
            ("https://gw.example.evil/v1/x", FLOWERS, "l", ""),
            ("ftp://gw.example/v1/x", FLOWERS, "l", ""),
            ("/v1/xy", FLOWERS, "l", ""),
            ("a/b", FLOWERS, "l", ""),
            ("", FLOWERS, "l", ""),
            // A local address never names another host.
            ("/v1/x/a//b", BASE, "l", "/a//b"),
            ("/v1/x?b=/../c", BASE, "l", "/?b=/../c"),
            ("/v1/x//evil.com/a", BASE, "l", "http://l//evil.com/a"),
            ("/v1/x/\\evil.com", BASE, "l", "http://l/\\evil.com"),
            ("/v1/x/\t/evil.com", BASE, "l", "http://l/\t/evil.com"),
            ("https://gw.example/v1/x//e", BASE, "l", "http://l//e"),
            ("/v1/x//evil.com/a", FLOWERS, "l", "/flowers//evil.com/a"),
            // Over a unix socket without a `Host`.
            ("https://gw.example/v1/x/a", BASE, "", "/a"),
            ("/v1/x//evil.com/a", BASE, "", ""),
            ("https://gw.example/v1/x//evil.com", BASE, "", ""),
            // Dot segments may lead out of the path of the upstream.
            ("/v1/x/..?a", FLOWERS, "l", ""),
            ("/v1/x/a/./b", FLOWERS, "l", ""),
            ("/v1/x/..\\y", FLOWERS, "l", ""),
            ("/v1/x/.\t./y", FLOWERS, "l", ""),
            ("/v1/x/%2E%2e/y", FLOWERS, "l", ""),
            ("https://gw.example/v1/x/../y", FLOWERS, "l", ""),
        ] {
            let settings = settings_of(&config(routes));
            let caller = Local {
                host,
                ..Local::default()
            };
            let found = local(location.as_bytes(), &settings, routes.len() / 2, &caller);
            assert_eq!(found.unwrap_or_default(), expected, "{location:?}");
        }
    }

    #[test]
    fn cookies_of_the_gateway_become_cookies_of_the_route() {
        for (cookie, prefix, base_path, expected) in [
            ("a=1; Path=/; Domain=other.example", "/f", "/v1/x", ""),
            ("domain=gw.example; Secure", "/f", "/v1/x", ""),
            (
                "a=1; Domain=gw.example; Secure",
                "/f",
                "/v1/x",
                "a=1; Secure",
            ),
            ("a=1;domain=.EXAMPLE", "", "", "a=1"),
            ("a=1; Domain=w.example; Path=/v1/x", "", "", ""),
            (
                "a=1; path=/v1/x/b; Secure",
                "/f",
                "/v1/x",
                "a=1; Path=/f/b; Secure",
            ),
            ("a=1; Path=/v1/x", "", "/v1/x", "a=1; Path=/"),
            ("a=1; Path=/v1/", "/f", "/v1/x", "a=1; Path=/f"),
            ("a=1; Path=/v1/xy", "/f", "/v1/x", ""),
            (
                "a=1; Path=/b; Domain=gw.example",
                "/f",
                "",
                "a=1; Path=/f/b",
            ),
        ] {
            let config = config(&[(prefix, base_path)]);
            let value = HeaderValue::from_static(cookie);
            let local = local_cookie(&value, &config.routes[0], &Local::default());
            let local = local.as_ref().map_or("", |value| value.to_str().unwrap());
            assert_eq!(local, expected, "{cookie}");
        }
    }
}
