//! Requests of browsers: what is served by default, with `access.browser`, and at the admin listener.

use ListenerKind::{Tcp, Tls, Unix};

use super::{code_by, head};
use crate::config::{Access, CallerToken};
use crate::proxy::guard::{Guard, ListenerKind};

const REFUSED: &str = "origin_not_allowed";
const TOKEN: (&str, &str) = ("x-apig-proxy-token", "0123456789abcdef");
const NAVIGATES: (&str, &str) = ("sec-fetch-mode", "navigate");
const FIREFOX: (&str, &str) = (
    "user-agent",
    "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
);

fn guard(browser: bool) -> Guard {
    guard_with(|access| access.browser = browser)
}

fn guard_with(change: impl FnOnce(&mut Access)) -> Guard {
    let mut access = Access {
        hosts: vec!["proxy.internal".to_owned(), "a.localhost".to_owned()],
        origins: vec!["http://localhost:3000".to_owned()],
        ..Access::default()
    };
    change(&mut access);
    Guard::new(&access, &["127.0.0.5:8080".parse().unwrap()])
}

/// The code of a request by this name, or nothing if it is let through.
fn code(guard: &Guard, host: &str, method: &str, headers: &[(&str, &str)]) -> &'static str {
    let headers = [&[("host", host)], headers].concat();
    code_by(guard, Tcp, None, method, &headers)
}

/// A code for each of: by default, and with `access.browser`.
fn codes(method: &str, headers: &[(&str, &str)]) -> [&'static str; 2] {
    [false, true].map(|browser| code(&guard(browser), "localhost:8080", method, headers))
}

#[test]
fn requests_with_fetch_metadata_are_refused_by_default() {
    for site in ["none", "same-origin", "same-site", "cross-site", "x", ""] {
        let site = ("sec-fetch-site", site);
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            for more in [&[][..], &[NAVIGATES], &[FIREFOX]] {
                let headers = [&[site], more].concat();
                assert_eq!(codes(method, &headers)[0], REFUSED, "{method} {headers:?}");
            }
        }
    }
}

#[test]
fn with_access_browser_navigations_and_own_pages_are_served() {
    let site = |site: &'static str| ("sec-fetch-site", site);
    for (method, headers, expected) in [
        ("GET", &[site("none")][..], ""),
        ("HEAD", &[site("none")], ""),
        ("GET", &[site("none"), NAVIGATES], ""),
        ("POST", &[site("none"), NAVIGATES], REFUSED),
        ("DELETE", &[site("none")], REFUSED),
        (
            "GET",
            &[site("none"), ("sec-fetch-mode", "no-cors")],
            REFUSED,
        ),
        (
            "GET",
            &[site("none"), NAVIGATES, ("sec-fetch-mode", "cors")],
            REFUSED,
        ),
        ("GET", &[site("same-origin")], ""),
        (
            "POST",
            &[site("same-origin"), ("sec-fetch-mode", "cors")],
            "",
        ),
        ("DELETE", &[site("same-origin")], ""),
        ("GET", &[site("same-site")], REFUSED),
        ("GET", &[site("cross-site"), NAVIGATES], REFUSED),
        ("GET", &[site("None")], REFUSED),
        ("GET", &[site("")], REFUSED),
        ("GET", &[site("none"), site("cross-site")], REFUSED),
        ("GET", &[site("cross-site"), site("none")], REFUSED),
        ("GET", &[site("none"), site("same-origin")], REFUSED),
        ("GET", &[site("same-origin"), site("same-origin")], ""),
    ] {
        assert_eq!(
            codes(method, headers),
            [REFUSED, expected],
            "{method} {headers:?}"
        );
    }
}

#[test]
fn prefetches_and_prerenders_are_never_served() {
    for purpose in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", ""),
        ("purpose", "prefetch"),
        ("Purpose", "Prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        for site in [None, Some("none"), Some("same-origin"), Some("cross-site")] {
            let site = site.map(|site| ("sec-fetch-site", site));
            let headers: Vec<_> = site.into_iter().chain([purpose]).collect();
            assert_eq!(codes("GET", &headers), [REFUSED; 2], "{headers:?}");
        }
    }
    for other in [("purpose", "billing"), ("x-purpose", ""), ("x-moz", "1")] {
        assert_eq!(codes("GET", &[other]), [""; 2], "{other:?}");
    }
}

#[test]
fn programs_are_served_by_default() {
    for headers in [
        &[("user-agent", "curl/8.14.1")][..],
        &[],
        // Node's fetch.
        &[("sec-fetch-mode", "cors"), ("user-agent", "node")],
        &[(
            "user-agent",
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1",
        )],
        // WebSocket clients of Python and Electron.
        &[("origin", "http://localhost:8080")],
    ] {
        assert_eq!(codes("GET", headers), [""; 2], "{headers:?}");
        assert_eq!(codes("POST", headers), [""; 2], "{headers:?}");
    }
}

#[test]
fn the_proxy_s_own_origin_needs_access_browser_once_there_is_fetch_metadata() {
    let own = ("origin", "http://localhost:8080");
    for metadata in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "websocket"),
        ("sec-fetch-dest", "empty"),
    ] {
        assert_eq!(
            codes("POST", &[own, metadata]),
            [REFUSED, ""],
            "{metadata:?}"
        );
    }
    let cross_site = [own, ("sec-fetch-site", "cross-site")];
    assert_eq!(codes("POST", &cross_site), [REFUSED; 2]);
    let null = [("origin", "null"), ("sec-fetch-site", "same-origin")];
    assert_eq!(codes("POST", &null), [REFUSED; 2]);
}

#[test]
fn a_browser_by_a_name_to_which_it_sends_no_metadata_over_plain_http_is_refused() {
    let own = ("origin", "http://proxy.internal");
    for browser in [false, true] {
        let guard = guard(browser);
        let by = |listener, host, headers: &[(&str, &str)]| {
            let headers = [&[("host", host)], headers].concat();
            code_by(&guard, listener, None, "GET", &headers)
        };
        for host in ["proxy.internal", "proxy.internal:8080", "PROXY.INTERNAL."] {
            assert_eq!(by(Tcp, host, &[FIREFOX]), REFUSED, "{host}");
            assert_eq!(by(Tcp, host, &[("user-agent", "mozilla/5.0")]), REFUSED);
            assert_eq!(by(Tcp, host, &[("user-agent", "curl/8 Mozilla/5.0")]), "");
            assert_eq!(by(Tcp, host, &[]), "", "{host}");
            assert_eq!(by(Tls, host, &[FIREFOX]), "", "{host}");
        }
        for host in [
            "localhost",
            "a.localhost",
            "127.0.0.1:1",
            "127.0.0.5",
            "[::1]",
        ] {
            assert_eq!(by(Tcp, host, &[FIREFOX]), "", "{host}");
        }
        assert_eq!(by(Tcp, "proxy.internal", &[own]), "");
        assert_eq!(by(Tcp, "proxy.internal", &[own, FIREFOX]), REFUSED);
        assert_eq!(by(Unix, "apig", &[FIREFOX]), REFUSED);
    }
}

#[test]
fn a_listed_origin_or_the_right_token_stands_for_the_marks_of_a_browser() {
    let guard = guard_with(|access| access.token = Some(CallerToken::new(TOKEN.1.as_bytes())));
    let wrong = (TOKEN.0, "0123456789abcdeF");
    let marks = [
        ("sec-fetch-site", "cross-site"),
        ("sec-purpose", "prefetch"),
        FIREFOX,
    ];
    for mark in marks {
        let by = |headers: &[(&str, &str)]| code(&guard, "proxy.internal", "GET", headers);
        assert_eq!(by(&[mark, TOKEN]), "", "{mark:?}");
        assert_eq!(by(&[mark, wrong]), REFUSED, "{mark:?}");
        assert_eq!(by(&[mark, TOKEN, TOKEN]), REFUSED, "{mark:?}");
        let listed = ("origin", "http://localhost:3000");
        assert_eq!(by(&[mark, listed, TOKEN]), "", "{mark:?}");
        assert_eq!(by(&[mark, listed]), "token_required", "{mark:?}");
        // The token does not make a foreign page a listed one.
        let foreign = ("origin", "http://evil.example");
        assert_eq!(by(&[mark, foreign, TOKEN]), REFUSED, "{mark:?}");
    }
    // Without a configured token none is right.
    let headers = [("sec-fetch-site", "none"), TOKEN];
    assert_eq!(codes("GET", &headers)[0], REFUSED);
}

#[test]
fn over_a_unix_socket_any_host_is_allowed_but_no_web_page() {
    let guard = guard(false);
    let by = |headers: &[(&str, &str)]| code_by(&guard, Unix, None, "GET", headers);
    for host in [
        "localhost",
        "apig",
        "backend.sock",
        "evil.example:8080",
        "",
        "%2Frun%2Fapig-proxy%2Fproxy.sock",
        "unix:",
        "0.0.0.0",
    ] {
        assert_eq!(by(&[("host", host)]), "", "{host}");
    }
    for host in [
        "a b", "a/b", "user@a", "a?b", "a#b", "a\\b", "a\"b", "\u{e9}",
    ] {
        assert_eq!(by(&[("host", host)]), "bad_host", "{host}");
    }
    assert_eq!(by(&[]), "bad_host");
    assert_eq!(by(&[("host", "a"), ("host", "a")]), "bad_host");
    for mark in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "none"),
        ("sec-purpose", "prefetch"),
    ] {
        assert_eq!(by(&[("host", "apig"), mark]), REFUSED, "{mark:?}");
    }
}

#[test]
fn the_admin_listener_is_read_by_navigations_and_changed_by_no_browser() {
    let site = |site: &'static str| ("sec-fetch-site", site);
    let own = ("origin", "http://localhost:8081");
    for browser in [false, true] {
        let guard = guard(browser);
        for (headers, may_read, may_change) in [
            (&[][..], true, true),
            (&[own], true, true),
            (&[site("none")], true, false),
            (&[site("none"), NAVIGATES], true, false),
            (&[site("none"), ("sec-purpose", "prefetch")], false, false),
            (&[site("same-origin")], false, false),
            (&[site("same-origin"), own], false, false),
            (&[site("same-site")], false, false),
            (&[site("cross-site"), NAVIGATES], false, false),
            (&[("origin", "http://evil.example")], false, false),
        ] {
            let headers = [&[("host", "localhost:8081")], headers].concat();
            let read = guard.check_probe(Tcp, &head("GET", &headers)).is_ok();
            assert_eq!(read, may_read, "{headers:?}");
            let change = head("POST", &headers);
            let changed = guard.check_admin_action(Tcp, &change).is_ok();
            assert_eq!(changed, may_change, "{headers:?}");
        }
    }
}

#[test]
fn every_refusal_names_the_key_that_decides() {
    let refusals = [
        (false, "localhost", ("sec-fetch-site", "none")),
        (true, "localhost", ("sec-fetch-site", "cross-site")),
        (true, "localhost", ("sec-purpose", "prefetch")),
        (false, "localhost", ("origin", "null")),
        (false, "proxy.internal", FIREFOX),
    ];
    for (browser, host, mark) in refusals {
        let (guard, head) = (guard(browser), head("GET", &[("host", host), mark]));
        let error = guard.check(Tcp, &head).unwrap_err();
        assert!(error.to_string().contains("access.browser"), "{error}");
        assert!(error.cause().contains(mark.1), "{}", error.cause());
        assert!(!error.to_string().contains("evil"), "{error}");
    }
}
