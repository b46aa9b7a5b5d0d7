//! `Location` in responses: an address at the upstream becomes the local address of the same thing.
//! Otherwise the caller would follow a redirect past the proxy, unsigned.

use http::uri::Authority;

use crate::config::{Route, Scheme, UpstreamUrl};

/// The local address of `location`; `None` if it does not point at the upstream of `route`. The
/// caller used the `Host` `host`, over TLS if `is_tls`.
pub(super) fn local(location: &[u8], route: &Route, host: &str, is_tls: bool) -> Option<String> {
    let location = str::from_utf8(location).ok()?;
    // "//host/path" names a host without a scheme.
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let path = if is_path {
        location
    } else {
        path_at_upstream(location, &route.upstream)?
    };
    let rest = path.strip_prefix(route.upstream.base_path.as_str())?;
    if !rest.is_empty() && !rest.starts_with(['/', '?', '#']) {
        return None;
    }
    let prefix = route.prefix.as_str();
    let slash = if prefix.is_empty() && !rest.starts_with('/') {
        "/"
    } else {
        ""
    };
    // Over a unix socket the `Host` may be empty.
    let (scheme, host) = match is_tls {
        _ if is_path || host.is_empty() => ("", ""),
        true => ("https://", host),
        false => ("http://", host),
    };
    Some([scheme, host, prefix, slash, rest].concat())
}

/// Path, query and fragment of a URL at the upstream.
fn path_at_upstream<'a>(url: &'a str, upstream: &UpstreamUrl) -> Option<&'a str> {
    let (own_scheme, default_port) = match upstream.scheme {
        Scheme::Http => ("http:", 80),
        Scheme::Https => ("https:", 443),
    };
    let (scheme, rest) = url.split_once("//")?;
    if !scheme.is_empty() && !scheme.eq_ignore_ascii_case(own_scheme) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host().trim_matches(['[', ']']);
    let is_upstream = host.eq_ignore_ascii_case(&upstream.host)
        && authority.port_u16().unwrap_or(default_port) == upstream.port
        && !authority.as_str().contains('@');
    is_upstream.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::with_upstream;

    #[test]
    fn what_is_at_the_upstream_becomes_local_and_the_rest_stays() {
        let local_url = Some("http://localhost:8080/flowers/a?b#c");
        for (location, prefix, base_path, expected) in [
            (
                "https://gw.example/v1/x/a?b#c",
                "/flowers",
                "/v1/x",
                local_url,
            ),
            (
                "HTTPS://GW.example:443/v1/x/a?b#c",
                "/flowers",
                "/v1/x",
                local_url,
            ),
            ("//gw.example/v1/x/a?b#c", "/flowers", "/v1/x", local_url),
            ("https://gw.example", "", "", Some("http://localhost:8080/")),
            (
                "https://gw.example?a",
                "",
                "",
                Some("http://localhost:8080/?a"),
            ),
            ("/v1/x/a", "/flowers", "/v1/x", Some("/flowers/a")),
            ("/a", "", "", Some("/a")),
            ("https://other.example/v1/x/a", "/flowers", "/v1/x", None),
            ("http://gw.example/v1/x", "/flowers", "/v1/x", None),
            ("https://gw.example:8443/v1/x", "/flowers", "/v1/x", None),
            ("https://u@gw.example/v1/x", "/flowers", "/v1/x", None),
            ("https://gw.example.evil/v1/x", "/flowers", "/v1/x", None),
            ("/v1/xy", "/flowers", "/v1/x", None),
            ("https://gw.example/v2", "/flowers", "/v1/x", None),
            ("a/b", "/flowers", "/v1/x", None),
            ("", "/flowers", "/v1/x", None),
            ("mailto:a@b", "/flowers", "/v1/x", None),
        ] {
            let config = with_upstream(&format!("https://gw.example{base_path}"));
            let mut route = config.unwrap().routes.remove(0);
            route.prefix = prefix.to_owned();
            let found = local(location.as_bytes(), &route, "localhost:8080", false);
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }
}
