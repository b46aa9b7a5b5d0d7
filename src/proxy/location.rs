//! Addresses of the upstream in responses. A `Location` that leads there becomes the local address of
//! the same resource, or the caller would follow the redirect past the proxy, unsigned. A cookie for
//! the gateway's host or path becomes one for the proxy's, or no browser would keep it or send it
//! back.

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
    let own = &settings.route(route).upstream;
    // "//host/path" names a host without a scheme.
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let candidate = |(at, other): (usize, &Route)| {
        let upstream = &other.upstream;
        let is_same = (&upstream.host, upstream.port) == (&own.host, own.port);
        let path = match is_path {
            true => Some(location).filter(|_| is_same),
            false => path_at_upstream(location, upstream),
        };
        let base = base_path(other);
        let rest = rest_below(path?, base)?;
        let is_served = match caller.is_selected {
            true => at == route,
            false => serves(settings, at, rest),
        };
        is_served.then(|| (base.len(), at == route, caller.path(other, rest)))
    };
    let candidates = settings.config.routes.iter().enumerate();
    let (_, _, path) = candidates.filter_map(candidate).max()?;
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
    let path = Local::default().path(settings.route(route), rest);
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
    if path == "/" {
        // For the whole host: everything that begins with the capability.
        let prefix = Some(caller.capability).filter(|prefix| !prefix.is_empty());
        return prefix.map(|prefix| [prefix, "/"].concat());
    }
    // A cookie for a parent path is for all paths of the route.
    let is_parent = || rest_below(base_path, path.trim_end_matches('/')).is_some();
    let rest = rest_below(path, base_path).or_else(|| is_parent().then_some(""));
    rest.map(|rest| caller.path(route, rest))
}

/// The path of the upstream without a slash at its end.
pub(super) fn base_path(route: &Route) -> &str {
    route.upstream.base_path.trim_end_matches('/')
}

/// What follows `base` in a path that is below it. With dot segments, also encoded ones, it may lead
/// out again.
fn rest_below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(base)?;
    let is_below = rest.is_empty() || rest.starts_with(['/', '?', '#']);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    // Browsers remove tabs before they look for segments.
    let read = rest[..end].replace(char::is_control, "");
    (is_below && !read.split('/').any(is_dot_segment)).then_some(rest)
}

/// True if browsers read a host after the first slash of a path. They read `\` as `/`, and remove
/// tabs.
fn names_host(path: &str) -> bool {
    let second = path.chars().nth(1);
    second.is_some_and(|second| matches!(second, '/' | '\\') || second.is_control())
}

/// Path, query and fragment of a URL at the upstream. Behind a TLS endpoint a backend may take
/// itself for plain HTTP, so the other scheme names the same server, with or without its port.
fn path_at_upstream<'a>(url: &'a str, upstream: &UpstreamUrl) -> Option<&'a str> {
    let (scheme, rest) = url.split_once("//")?;
    let is_http = upstream.scheme == Scheme::Http;
    let (default_port, is_own_scheme) = match scheme.to_ascii_lowercase().as_str() {
        "http:" => (80, is_http),
        "https:" => (443, !is_http),
        "" => (if is_http { 80 } else { 443 }, true),
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

    /// The number of the configuration below, a `Host`, and locations with their local forms.
    const LOCATIONS: &str = r"
        0 l https://gw.example/v1/x/a?b#c => http://l/flowers/a?b#c
        0 l HTTPS://GW.example:443/v1/x/a => http://l/flowers/a
        0 l //gw.example/v1/x/a           => http://l/flowers/a
        0 l http://gw.example/v1/x/a      => http://l/flowers/a
        0 l http://gw.example:443/v1/x/a  => http://l/flowers/a
        0 l /v1/x/a                       => /flowers/a
        0 l https://other.example/v1/x/a  => none
        0 l https://gw.example:80/v1/x    => none
        0 l http://gw.example:8080/v1/x   => none
        0 l https://u@gw.example/v1/x     => none
        0 l https://gw.example.evil/v1/x  => none
        0 l ftp://gw.example/v1/x         => none
        0 l /v1/xy                        => none
        0 l a/b                           => none
        1 l /v1/y/a                       => /birds/a
        1 l https://gw.example/v1/y       => http://l/birds
        1 l https://gw.example/v1/z       => http://l/v1/z
        1 l https://gw.example/birds/a    => none
        2 l https://gw.example?a          => http://l/?a
        2 l /a                            => /a
        3 l /v1/x?b=/../c                 => /?b=/../c
        3 l /v1/x//evil.com/a             => http://l//evil.com/a
        3 l /v1/x/\evil.com               => http://l/\evil.com
        3 l /v1/x/TAB/evil.com            => http://l/TAB/evil.com
        3 l https://gw.example/v1/x//e    => http://l//e
        0 l /v1/x//evil.com/a             => /flowers//evil.com/a
        3 - https://gw.example/v1/x/a     => /a
        3 - /v1/x//evil.com/a             => none
        3 - https://gw.example/v1/x//evil => none
        0 l /v1/x/..?a                    => none
        0 l /v1/x/a/./b                   => none
        0 l /v1/x/..\y                    => none
        0 l /v1/x/.TAB./y                 => none
        0 l /v1/x/%2E%2e/y                => none
        0 l https://gw.example/v1/x/../y  => none
    ";

    #[test]
    fn what_a_route_serves_becomes_local_and_the_rest_stays() {
        let configurations: [&[(&str, &str)]; 4] = [
            &[("/flowers", "/v1/x")],
            &[("/birds", "/v1/y"), ("/flowers", "/v1/x"), ("", "")],
            &[("", "")],
            &[("", "/v1/x")],
        ];
        let settings = configurations.map(|routes| settings_of(&config(routes)));
        for row in LOCATIONS.trim().lines() {
            let words: Vec<&str> = row.split_whitespace().collect();
            let [number, host, location, "=>", expected] = words[..] else {
                panic!("{row}")
            };
            let settings = &settings[number.parse::<usize>().unwrap()];
            let caller = Local {
                host: host.trim_matches('-'),
                ..Local::default()
            };
            let location = location.replace("TAB", "\t");
            let own = settings.config.routes.len() / 2;
            let found = local(location.as_bytes(), settings, own, &caller);
            let found = found.unwrap_or_else(|| "none".to_owned());
            assert_eq!(found, expected.replace("TAB", "\t"), "{row}");
        }
    }

    #[test]
    fn cookies_of_the_gateway_become_cookies_of_the_route() {
        for (cookie, prefix, base_path, expected) in [
            ("a=1; Domain=gw.example; b", "/f", "/v1/x", "a=1; b"),
            ("a=1;domain=.EXAMPLE", "", "", "a=1"),
            ("a=1; Domain=w.example; Path=/v1/x", "", "", "none"),
            ("a=1; path=/v1/x/b; c", "/f", "/v1/x", "a=1; Path=/f/b; c"),
            ("a=1; Path=/v1/", "/f", "/v1/x", "a=1; Path=/f"),
            ("a=1; Path=/v1/xy", "/f", "/v1/x", "none"),
        ] {
            let config = config(&[(prefix, base_path)]);
            let value = HeaderValue::from_static(cookie);
            let local = local_cookie(&value, &config.routes[0], &Local::default());
            let local = local.unwrap_or(HeaderValue::from_static("none"));
            assert_eq!(local, expected, "{cookie}");
        }
    }
}
