//! The rules of the guard, as tables. `tests/proxy/faults/{guard,browsers}.rs` try every
//! combination of host, origin and site over a socket.

use ListenerKind::{Replay, Tcp, Tls, Unix};
use http::{Request, Version};

use super::*;

/// Listener, method and header lines, then the codes by default and with `access.browser`, or one
/// for both. A row without a host calls `localhost:8080`.
const REQUESTS: &str = "
    tcp GET                                                                    => ok
    tcp GET  host: localhost; host: localhost                                  => bad_host
    tcp GET  host: local host                                                  => bad_host
    tcp GET  host:                                                             => host_not_allowed
    tls GET  host: localhost:443; origin: https://localhost                    => ok
    tls GET  host: localhost; origin: http://localhost:8080                    => origin_not_allowed
    tcp GET  origin: http://localhost:8080                                     => ok
    tcp GET  origin: HTTP://LocalHost:8080                                     => ok
    tcp GET  host: [::1]:8080; origin: http://[::1]:8080                       => ok
    tcp GET  host: localhost:80; origin: http://localhost                      => ok
    tcp GET  host: localhost; origin: http://localhost:80                      => ok
    tcp GET  origin: http://localhost:8080/                                    => origin_not_allowed
    tcp GET  origin: null                                                      => origin_not_allowed
    unix GET host: apig; origin: http://apig                                   => ok
    unix GET host: ; origin: http://:80                                        => origin_not_allowed
    replay GET host: evil.example                                              => ok
    replay GET host: a.example; origin: https://a.example                      => ok
    replay GET host: a.example; origin: http://a.example                       => ok
    replay GET host: a.example; origin: http://b.example                       => origin_not_allowed
    replay GET host: a.example; sec-fetch-site: cross-site                     => origin_not_allowed
    replay GET host: a.example; user-agent: Mozilla/5.0                        => ok
    tcp GET  origin: LISTED; sec-fetch-site: cross-site; sec-purpose: prefetch => ok
    tcp GET  origin: LISTED; origin: http://localhost:8080                     => ok
    tcp GET  origin: LISTED; origin: http://localhost:8080; sec-fetch-site: x  => origin_not_allowed
    tcp GET  origin: http://localhost:8080; origin: LISTED; sec-fetch-site: x  => origin_not_allowed
    tcp GET  origin: LISTED; origin: http://evil.example                       => origin_not_allowed
    tcp GET  origin: http://localhost:8080; origin: null                       => origin_not_allowed
    tcp GET  sec-fetch-site: none                                              => origin_not_allowed ok
    tcp GET  sec-fetch-site: none; sec-fetch-mode: navigate                    => origin_not_allowed ok
    tcp POST sec-fetch-site: none; sec-fetch-mode: navigate                    => origin_not_allowed
    tcp GET  sec-fetch-site: none; sec-fetch-mode: no-cors                     => origin_not_allowed
    tcp GET  sec-fetch-site: none; sec-fetch-mode: navigate; sec-fetch-mode: x => origin_not_allowed
    tcp GET  sec-fetch-site: same-origin                                       => origin_not_allowed ok
    tcp POST sec-fetch-site: same-origin; origin: http://localhost:8080        => origin_not_allowed ok
    tcp POST sec-fetch-mode: websocket; origin: http://localhost:8080          => origin_not_allowed ok
    tcp POST sec-fetch-dest: empty; origin: http://localhost:8080              => origin_not_allowed ok
    tcp POST sec-fetch-site: cross-site; origin: http://localhost:8080         => origin_not_allowed
    tcp POST sec-fetch-site: same-origin; origin: null                         => origin_not_allowed
    tcp GET  sec-fetch-site: cross-site; sec-fetch-mode: navigate              => origin_not_allowed
    tcp GET  sec-fetch-site: none; sec-fetch-site: cross-site                  => origin_not_allowed
    tcp GET  sec-fetch-site: cross-site; sec-fetch-site: none                  => origin_not_allowed
    tcp GET  sec-fetch-site: same-origin; sec-fetch-site: same-origin          => origin_not_allowed ok
    tcp GET  sec-purpose: prefetch;prerender                                   => origin_not_allowed
    tcp GET  sec-purpose: prefetch; sec-fetch-site: none                       => origin_not_allowed
    tcp GET  purpose: Prefetch; sec-fetch-site: same-origin                    => origin_not_allowed
    tcp GET  x-purpose: preview                                                => origin_not_allowed
    tcp GET  x-moz: prefetch                                                   => origin_not_allowed
    tcp GET  purpose: billing; x-purpose: ; x-moz: 1                           => ok
    tcp POST sec-fetch-mode: cors; user-agent: node                            => ok
    tcp POST user-agent: Mozilla/5.0 (Windows NT) WindowsPowerShell/5.1        => ok
    tcp GET  host: proxy.internal; user-agent: mozilla/5.0                     => origin_not_allowed
    tcp GET  host: PROXY.INTERNAL.; user-agent: Mozilla/5.0                    => origin_not_allowed
    tcp GET  host: proxy.internal:8080; user-agent: curl/8 Mozilla/5.0         => ok
    tcp GET  host: proxy.internal; origin: http://proxy.internal               => ok
    tls GET  host: proxy.internal; user-agent: Mozilla/5.0                     => ok
    tcp GET  host: a.localhost; user-agent: Mozilla/5.0                        => ok
    tcp GET  host: [::1]; user-agent: Mozilla/5.0                              => ok
    unix GET host: apig; user-agent: Mozilla/5.0                               => origin_not_allowed
    unix GET host: apig; origin: null                                          => origin_not_allowed
    unix GET host: apig; sec-fetch-site: none                                  => origin_not_allowed ok
    unix GET host: apig; sec-purpose: prefetch                                 => origin_not_allowed
    unix GET host: a; host: a                                                  => bad_host
    unix GET host: a b                                                         => bad_host
";

/// Hosts by listener, and the code of a request to them.
const HOSTS: &str = r#"
    tcp localhost LOCALHOST:8080 localhost. localhost: 127.0.0.1:1 [::1] [::1]:8080 => ok
    tcp 127.0.0.5 proxy.internal:80                                               => ok
    tcp evil.example localhost.evil.example 0.0.0.0:8080 [::] localhost..         => host_not_allowed
    tcp 127.0.0.1.evil.example 127.0.0.2                                          => host_not_allowed
    tcp ::1 localhost:x localhost:+80 localhost:99999 user@localhost localhost/   => bad_host
    tcp [::1 [::1]x [x]                                                           => bad_host
    unix apig evil.example:8080 %2Frun%2Fproxy.sock unix: 0.0.0.0                 => ok
    unix a/b user@a a?b a#b a\b a"b é                                             => bad_host
"#;

const TOKEN_LINE: &str = "x-apig-proxy-token: 0123456789abcdef";

fn guard(browser: bool) -> Guard {
    let access = Access {
        hosts: vec!["proxy.internal".to_owned(), "a.localhost".to_owned()],
        origins: vec!["http://localhost:3000".to_owned()],
        browser,
        ..Access::default()
    };
    Guard::new(&access, &["127.0.0.5:8080".parse().unwrap()])
}

/// The head of a request with these lines, which are separated by `; `.
fn head(method: &str, target: &str, lines: &str) -> request::Parts {
    let mut request = Request::builder().method(method).uri(target);
    for line in lines.split("; ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim().replace("LISTED", "http://localhost:3000");
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

fn code(checked: Result<Admitted<'_>, Error>) -> &'static str {
    checked.map_or_else(|error| error.answer().code, |_| "ok")
}

/// The rows of a table: listener, what is between, and the expected codes.
fn rows(table: &'static str) -> impl Iterator<Item = (ListenerKind, &'static str, &'static str)> {
    table
        .lines()
        .filter(|row| !row.trim().is_empty())
        .map(|row| {
            let (left, codes) = row.trim().split_once("=>").unwrap();
            let (listener, rest) = left.split_once(' ').unwrap();
            let kind = match listener {
                "tcp" => Tcp,
                "tls" => Tls,
                "replay" => Replay,
                _ => Unix,
            };
            (kind, rest.trim(), codes.trim())
        })
}

#[test]
fn requests_are_served_or_refused_as_the_table_says() {
    for (listener, request, codes) in rows(REQUESTS) {
        let (method, lines) = request.split_once(' ').unwrap_or((request, ""));
        let (by_default, with_browser) = codes.split_once(' ').unwrap_or((codes, codes));
        let mut lines = lines.trim().to_owned();
        if !lines.starts_with("host") {
            lines = format!("host: localhost:8080; {lines}");
        }
        for (browser, expected) in [(false, by_default), (true, with_browser)] {
            let (guard, head) = (guard(browser), head(method, "/", &lines));
            let code = code(guard.check(Purpose::Forward, listener, &head));
            assert_eq!(
                code, expected,
                "{listener:?} {method} {lines}, browser {browser}"
            );
        }
    }
}

#[test]
fn only_names_of_the_proxy_are_allowed() {
    for (listener, hosts, expected) in rows(HOSTS) {
        for host in hosts.split_whitespace() {
            let (guard, head) = (guard(false), head("GET", "/", &format!("host: {host}")));
            let code = code(guard.check(Purpose::Forward, listener, &head));
            assert_eq!(code, expected, "{listener:?} {host}");
        }
    }
    for listener in [Tcp, Unix] {
        let (guard, head) = (guard(false), head("GET", "/", ""));
        assert_eq!(
            code(guard.check(Purpose::Forward, listener, &head)),
            "bad_host"
        );
    }
}

#[test]
fn over_http2_the_authority_of_the_target_is_the_host() {
    for (authority, lines, expected) in [
        ("localhost:8080", "", "ok"),
        ("evil.example", "", "host_not_allowed"),
        ("localhost", "host: localhost", "ok"),
        ("localhost", "host: 127.0.0.1", "bad_request"),
        ("localhost", "host: localhost; host: localhost", "bad_host"),
    ] {
        let mut head = head("GET", &format!("http://{authority}/"), lines);
        head.version = Version::HTTP_2;
        let code = code(guard(false).check(Purpose::Forward, Tcp, &head)).to_owned();
        assert_eq!(code, expected, "{authority} {lines}");
    }
}

#[test]
fn the_right_token_admits_a_browser_and_a_listed_page_needs_it() {
    let mut guard = guard(false);
    guard.token = Some(CallerToken::new(b"0123456789abcdef"));
    let wrong = TOKEN_LINE.replace("def", "deF");
    let firefox = "user-agent: Mozilla/5.0";
    for mark in [
        "sec-fetch-site: cross-site",
        "sec-purpose: prefetch",
        firefox,
    ] {
        for (more, expected) in [
            (TOKEN_LINE, "ok"),
            (&wrong, "origin_not_allowed"),
            (&format!("{TOKEN_LINE}; {TOKEN_LINE}"), "origin_not_allowed"),
            (&format!("origin: LISTED; {TOKEN_LINE}"), "ok"),
            ("origin: LISTED", "token_required"),
            // The token does not make a foreign page a listed one.
            (&format!("origin: null; {TOKEN_LINE}"), "origin_not_allowed"),
        ] {
            let head = head("GET", "/", &format!("host: proxy.internal; {mark}; {more}"));
            let code = code(guard.check(Purpose::Forward, Tcp, &head));
            assert_eq!(code, expected, "{mark} {more}");
        }
    }
    // Whoever replays a request has shown another token, but a page stays a page.
    for (lines, expected) in [("", "ok"), ("sec-fetch-site: none", "origin_not_allowed")] {
        let head = head("GET", "/", &format!("host: localhost; {lines}"));
        let code = code(guard.check(Purpose::Forward, Replay, &head));
        assert_eq!(code, expected, "{lines}");
    }
    let preflight = head("OPTIONS", "/", "host: localhost; origin: LISTED");
    assert!(guard.check(Purpose::Preflight, Tcp, &preflight).is_ok());
    // If no token is configured, none is right.
    let head = head(
        "GET",
        "/",
        &format!("host: localhost; sec-fetch-site: none; {TOKEN_LINE}"),
    );
    let code = code(self::guard(false).check(Purpose::Forward, Tcp, &head)).to_owned();
    assert_eq!(code, "origin_not_allowed");
}

#[test]
fn the_admin_listener_is_read_by_navigations_and_changed_by_no_browser() {
    let own = "origin: http://localhost:8081";
    let prefetch = "sec-fetch-site: none; sec-purpose: prefetch";
    for (lines, may_read, may_change) in [
        ("", true, true),
        (own, true, true),
        ("sec-fetch-site: none", true, false),
        (
            "sec-fetch-site: none; sec-fetch-mode: navigate",
            true,
            false,
        ),
        (prefetch, false, false),
        ("sec-fetch-site: same-origin", false, false),
        (&format!("sec-fetch-site: same-origin; {own}"), false, false),
        ("sec-fetch-site: cross-site", false, false),
        ("origin: http://evil.example", false, false),
    ] {
        let lines = format!("host: localhost:8081; {lines}");
        for guard in [guard(false), guard(true)] {
            let (read, change) = (head("GET", "/", &lines), head("POST", "/", &lines));
            let reads = guard.check(Purpose::AdminRead, Tcp, &read).is_ok();
            assert_eq!(reads, may_read, "{lines}");
            let changes = guard.check(Purpose::AdminAction, Tcp, &change).is_ok();
            assert_eq!(changes, may_change, "{lines}");
        }
    }
}

#[test]
fn a_listener_of_any_address_can_be_read_by_any_address_but_by_no_other_name() {
    let may_read = |bound: &str, host: &str| {
        let guard = Guard::new(&Access::default(), &[bound.parse().unwrap()]);
        let head = head("GET", "/", &format!("host: {host}"));
        for purpose in [Purpose::Forward, Purpose::AdminAction] {
            assert!(guard.check(purpose, Tcp, &head).is_err(), "{host}");
        }
        guard.check(Purpose::AdminRead, Tcp, &head).is_ok()
    };
    let allowed = "10.0.0.7:8081 10.0.0.7 [fd00::7]:8081 [::ffff:10.0.0.7]";
    let other = "evil.example 10.0.0.7.evil.example 0.0.0.0:8081 [::]:8081 [::ffff:0.0.0.0] 0 167772167 \
                 0x0a.0.0.7 10.0.7";
    for bound in ["0.0.0.0:8081", "[::]:8081"] {
        for (hosts, expected) in [(allowed, true), (other, false)] {
            for host in hosts.split_whitespace() {
                assert_eq!(may_read(bound, host), expected, "{bound} {host}");
            }
        }
    }
    assert!(!may_read("10.0.0.5:8081", "10.0.0.7"));
}

#[test]
fn the_inspector_is_opened_by_navigations_and_read_by_its_own_page_and_programs() {
    let own = "origin: http://localhost:8081; sec-fetch-site: same-origin; sec-fetch-mode: cors";
    for (lines, opens, reads) in [
        ("", true, true),
        (own, true, true),
        (
            "sec-fetch-site: same-origin; sec-fetch-mode: no-cors",
            true,
            true,
        ),
        (
            "sec-fetch-site: none; sec-fetch-mode: navigate",
            true,
            false,
        ),
        (
            "sec-fetch-site: none; sec-fetch-mode: no-cors",
            false,
            false,
        ),
        (
            "sec-fetch-site: cross-site; sec-fetch-mode: navigate",
            false,
            false,
        ),
        ("sec-fetch-site: same-site", false, false),
        (
            "sec-fetch-site: same-origin; sec-purpose: prefetch",
            false,
            false,
        ),
        ("origin: http://localhost:8080", false, false),
        ("origin: null", false, false),
        // A page that may call the proxy.
        ("origin: LISTED", false, false),
        ("origin: LISTED; sec-fetch-site: same-site", false, false),
    ] {
        for (purpose, expected) in [
            (Purpose::InspectorPage, opens),
            (Purpose::InspectorApi, reads),
        ] {
            for browser in [false, true] {
                let head = head("GET", "/", &format!("host: localhost:8081; {lines}"));
                let is_let_in = guard(browser).check(purpose, Tcp, &head).is_ok();
                assert_eq!(is_let_in, expected, "{purpose:?} {lines}");
            }
        }
    }
}

#[test]
fn loopback_names_are_those_that_no_other_machine_is_called_by() {
    for (listener, host, expected) in [
        (Tcp, "localhost:8081", true),
        (Tcp, "LOCALHOST.", true),
        (Tcp, "127.0.0.9", true),
        (Tcp, "[::1]:1", true),
        (Tcp, "10.0.0.7", false),
        (Tcp, "0.0.0.0", false),
        (Tcp, "proxy.internal", false),
        (Tcp, "localhost.evil.example", false),
        (Unix, "apig", true),
    ] {
        let head = head("GET", "/", &format!("host: {host}"));
        assert_eq!(names_loopback(listener, &head), expected, "{host}");
    }
}

#[test]
fn every_refusal_of_a_browser_names_the_key_that_decides() {
    for (browser, host, name, value) in [
        (false, "localhost", "sec-fetch-site", "none"),
        (true, "localhost", "sec-fetch-site", "cross-site"),
        (true, "localhost", "sec-purpose", "prefetch"),
        (false, "localhost", "origin", "null"),
        (false, "proxy.internal", "user-agent", "Mozilla/5.0"),
    ] {
        let head = head("GET", "/", &format!("host: {host}; {name}: {value}"));
        let error = guard(browser)
            .check(Purpose::Forward, Tcp, &head)
            .unwrap_err();
        assert!(error.to_string().contains("access.browser"), "{error}");
        assert!(error.cause().contains(value), "{}", error.cause());
    }
}
