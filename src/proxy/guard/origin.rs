//! `Origin`: which page sent a request.

use super::ListenerKind;

/// Where the page that sent a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageOrigin<'g> {
    /// No `Origin` was sent.
    Absent,
    /// From an origin of `access.origins`, as the configuration spells it.
    Listed(&'g str),
    /// From the proxy itself.
    Own,
}

/// Whether an origin is that of the proxy: scheme and authority of the `Host` by which it was called. That
/// must be an allowed one, or a page with a rebound name would pass, since it sends its own name as both.
pub(super) fn is_own(origin: &[u8], listener: ListenerKind, host: &str) -> bool {
    let (scheme, default_port) = if listener.is_tls() {
        ("https://", ":443")
    } else {
        ("http://", ":80")
    };
    let Some((start, authority)) = origin.split_at_checked(scheme.len()) else {
        return false;
    };
    // Browsers leave the default port out of both; other clients may not.
    let without_port = |authority: &[u8]| -> usize {
        let port = authority.strip_suffix(default_port.as_bytes());
        port.map_or(authority.len(), <[u8]>::len)
    };
    let host = &host.as_bytes()[..without_port(host.as_bytes())];
    let authority = &authority[..without_port(authority)];
    start.eq_ignore_ascii_case(scheme.as_bytes())
        && !host.is_empty()
        && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_own_if_scheme_name_and_port_are_those_of_the_host() {
        use ListenerKind::{Tcp, Tls, Unix};
        for (origin, listener, host, expected) in [
            ("http://localhost:8080", Tcp, "localhost:8080", true),
            ("HTTP://LocalHost:8080", Tcp, "localhost:8080", true),
            ("http://[::1]:8080", Tcp, "[::1]:8080", true),
            ("http://localhost", Tcp, "localhost:80", true),
            ("http://localhost:80", Tcp, "localhost", true),
            ("https://localhost", Tls, "localhost:443", true),
            ("http://apig", Unix, "apig", true),
            ("http://localhost:8081", Tcp, "localhost:8080", false),
            ("http://localhost", Tcp, "localhost:8080", false),
            ("http://localhost:8080", Tcp, "localhost", false),
            ("http://127.0.0.1:8080", Tcp, "localhost:8080", false),
            ("https://localhost:8080", Tcp, "localhost:8080", false),
            ("http://localhost:8080", Tls, "localhost:8080", false),
            ("http://localhost:443", Tls, "localhost", false),
            ("http://localhost:8080/", Tcp, "localhost:8080", false),
            ("localhost:8080", Tcp, "localhost:8080", false),
            ("http://", Unix, "", false),
            ("http://:80", Unix, "", false),
            ("null", Tcp, "null", false),
            ("", Tcp, "localhost", false),
        ] {
            assert_eq!(
                is_own(origin.as_bytes(), listener, host),
                expected,
                "{origin} {listener:?} {host}"
            );
        }
    }
}
