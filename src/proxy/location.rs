//! `Location` in answers: an address at the upstream becomes the one by which the caller reaches the
//! same thing here, or it would follow a redirect past the proxy, unsigned.

use crate::config::{Route, Scheme, UpstreamUrl};

/// The local address of `location`; `None` if it does not point at the upstream of `route`.
///
/// `host` is the `Host` by which the caller called, and `is_secure` whether it did so over TLS.
pub(super) fn local(location: &[u8], route: &Route, host: &str, is_secure: bool) -> Option<String> {
    let text = str::from_utf8(location).ok()?;
    // "//host/path" names a host without a scheme: it is not a path.
    let is_path = text.starts_with('/') && !text.starts_with("//");
    let rest = if is_path {
        text
    } else {
        below_upstream(text, &route.upstream)?
    };
    let path = local_path(rest, route)?;
    // Over a unix socket the caller may have called by no name.
    let origin = if is_path || host.is_empty() {
        String::new()
    } else {
        let scheme = if is_secure { "https" } else { "http" };
        format!("{scheme}://{host}")
    };
    Some(format!("{origin}{path}"))
}

/// Path, query and fragment of an absolute URL, if it is at the upstream.
fn below_upstream<'a>(url: &'a str, upstream: &UpstreamUrl) -> Option<&'a str> {
    let (scheme, rest) = match url.split_once("//") {
        Some(("", rest)) => (None, rest),
        Some((scheme, rest)) => (Some(scheme), rest),
        None => return None,
    };
    let own_scheme = match upstream.scheme {
        Scheme::Http => "http:",
        Scheme::Https => "https:",
    };
    if !scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case(own_scheme)) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority: http::uri::Authority = authority.parse().ok()?;
    let has_user = authority.as_str().contains('@');
    let default_port = if upstream.scheme == Scheme::Http {
        80
    } else {
        443
    };
    let same_host = authority
        .host()
        .trim_matches(['[', ']'])
        .eq_ignore_ascii_case(&upstream.host);
    let same_port = authority.port_u16().unwrap_or(default_port) == upstream.port;
    (!has_user && same_host && same_port).then_some(path)
}

/// The local path of a path at the upstream; `None` if it is outside of what the route reaches.
fn local_path(path: &str, route: &Route) -> Option<String> {
    let rest = path.strip_prefix(route.upstream.base_path.as_str())?;
    if !rest.is_empty() && !rest.starts_with(['/', '?', '#']) {
        return None;
    }
    let local = format!("{}{rest}", route.prefix);
    Some(if local.starts_with('/') {
        local
    } else {
        format!("/{local}")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::{Auth, LargeBody};

    fn rewritten(location: &str, prefix: &str, base_path: &str) -> Option<String> {
        let upstream = UpstreamUrl {
            scheme: Scheme::Https,
            host: "gw.example".to_owned(),
            port: 443,
            authority: HeaderValue::from_static("gw.example"),
            base_path: base_path.to_owned(),
        };
        let route = Route {
            prefix: prefix.to_owned(),
            upstream,
            stage: HeaderValue::from_static("RELEASE"),
            methods: None,
            paths: None,
            egress: None,
            auth: Auth::default(),
            large_body: LargeBody::Reject,
        };
        local(location.as_bytes(), &route, "localhost:8080", false)
    }

    #[test]
    fn an_address_at_the_upstream_becomes_the_local_one() {
        for location in [
            "https://gw.example/v1/x/a?b#c",
            "HTTPS://GW.example:443/v1/x/a?b#c",
            "//gw.example/v1/x/a?b#c",
        ] {
            assert_eq!(
                rewritten(location, "/flowers", "/v1/x").as_deref(),
                Some("http://localhost:8080/flowers/a?b#c"),
                "{location}"
            );
        }
        assert_eq!(
            rewritten("https://gw.example", "", "").as_deref(),
            Some("http://localhost:8080/")
        );
        assert_eq!(
            rewritten("https://gw.example?a", "", "").as_deref(),
            Some("http://localhost:8080/?a")
        );
    }

    #[test]
    fn a_path_stays_a_path() {
        assert_eq!(
            rewritten("/v1/x/a", "/flowers", "/v1/x").as_deref(),
            Some("/flowers/a")
        );
        assert_eq!(rewritten("/a", "", "").as_deref(), Some("/a"));
    }

    #[test]
    fn what_is_elsewhere_stays_as_it_is() {
        for location in [
            "https://other.example/v1/x/a",
            "http://gw.example/v1/x",
            "https://gw.example:8443/v1/x",
            "https://u@gw.example/v1/x",
            "https://gw.example.evil/v1/x",
            "/v1/xy",
            "https://gw.example/v2",
            "a/b",
            "",
            "mailto:a@b",
        ] {
            assert_eq!(rewritten(location, "/flowers", "/v1/x"), None, "{location}");
        }
    }
}
