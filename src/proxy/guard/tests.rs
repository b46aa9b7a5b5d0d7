//! The rules of the guard, as tables. `tests/proxy/faults/{guard,browsers}.rs` try every
//! combination of host, origin and site over a socket.

use ListenerKind::{Replay, Tcp, Tls, Unix};
use http::{Request, Version};

use super::*;

/// Listener, method and header lines, then the codes by default and with `access.browser`, or one
/// for both. A row without a host calls `localhost:8080`.
const REQUESTS: &str = "
    tcp GET                                                                    => ok
    tls GET  host: localhost:443; origin: https://localhost                    => ok
    tls GET  host: localhost; origin: http://localhost:8080                    => origin_not_allowed
    tcp GET  origin: http://localhost:8080                                     => ok
    tcp GET  origin: HTTP://LocalHost:8080                                     => ok
    tcp GET  host: [::1]:8080; origin: http://[::1]:8080                       => ok
    tcp GET  host: localhost:80; origin: http://localhost                      => ok
    tcp GET  host: localhost; origin: http://localhost:80                      => ok
    tcp GET  origin: http://localhost:8080/                                    => origin_not_allowed
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
    tcp GET  sec-fetch-site: none; sec-fetch-mode: navigate                    => origin_not_allowed ok
    tcp GET  sec-fetch-site: none; sec-fetch-mode: navigate; sec-fetch-mode: x => origin_not_allowed
    tcp POST sec-fetch-mode: websocket; origin: http://localhost:8080          => origin_not_allowed ok
    tcp POST sec-fetch-dest: empty; origin: http://localhost:8080              => origin_not_allowed ok
    tcp GET  sec-fetch-site: cross-site; sec-fetch-site: none                  => origin_not_allowed
    tcp GET  sec-fetch-site: same-origin; sec-fetch-site: same-origin          => origin_not_allowed ok
    tcp GET  sec-purpose: prefetch; sec-fetch-site: none                       => origin_not_allowed
    tcp GET  purpose: Prefetch; sec-fetch-site: same-origin                    => origin_not_allowed
    tcp GET  purpose: billing; x-purpose: ; x-moz: 1                           => ok
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

/// Purpose and lines of requests to `localhost:8081`, and their codes. A page of LISTED may call the
/// proxy, but not the inspector.
const PURPOSES: &str = "
    read   ;                                                        => ok
    change ;                                                        => ok
    api    ;                                                        => ok
    change origin: http://localhost:8081                            => ok
    change origin: http://localhost:8081; sec-fetch-site: same-site => origin_not_allowed
    read   origin: http://evil.example                              => origin_not_allowed
    read   sec-fetch-site: none                                     => ok
    change sec-fetch-site: none                                     => origin_not_allowed
    page   sec-fetch-site: none; sec-fetch-mode: navigate           => ok
    page   sec-fetch-site: none; sec-fetch-mode: no-cors            => origin_not_allowed
    api    sec-fetch-site: none; sec-fetch-mode: navigate           => origin_not_allowed
    read   sec-fetch-site: none; sec-purpose: prefetch              => origin_not_allowed
    page   sec-fetch-site: same-origin; sec-purpose: prefetch       => origin_not_allowed
    read   sec-fetch-site: same-origin                              => origin_not_allowed
    change sec-fetch-site: same-origin                              => origin_not_allowed
    api    sec-fetch-site: same-origin                              => ok
    page   sec-fetch-site: same-origin; sec-fetch-mode: no-cors     => ok
    page   sec-fetch-site: cross-site; sec-fetch-mode: navigate     => origin_not_allowed
    api    sec-fetch-site: same-site                                => origin_not_allowed
    api    origin: null                                             => origin_not_allowed
    api    origin: LISTED                                           => origin_not_allowed
    page   origin: LISTED; sec-fetch-site: same-site                => origin_not_allowed
    page   origin: http://localhost:8080                            => origin_not_allowed
";

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

/// The code of the answer to a request.
fn code(
    guard: &Guard,
    purpose: Purpose,
    listener: ListenerKind,
    head: &request::Parts,
) -> &'static str {
    let checked = guard.check(purpose, listener, head);
    checked.map_or_else(|error| error.answer().code, |_| "ok")
}

/// The code of the answer to a GET that is to be forwarded.
fn forward(guard: &Guard, listener: ListenerKind, lines: &str) -> &'static str {
    code(guard, Purpose::Forward, listener, &head("GET", "/", lines))
}

/// The rows of a table: the first word, what is between, and the expected codes.
fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    table.trim().lines().map(|row| {
        let (left, codes) = row.trim().split_once("=>").unwrap();
        let (first, rest) = left.split_once(' ').unwrap();
        (first, rest.trim(), codes.trim())
    })
}

fn kind(name: &str) -> ListenerKind {
    let mut kinds = [Tcp, Tls, Replay, Unix].into_iter();
    kinds.find(|kind| kind.name() == name).unwrap()
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
            let head = head(method, "/", &lines);
            let code = code(&guard(browser), Purpose::Forward, kind(listener), &head);
            assert_eq!(
                code, expected,
                "{listener} {method} {lines}, browser {browser}"
            );
        }
    }
}

#[test]
fn the_admin_listener_and_the_inspector_have_rules_of_their_own() {
    for (purpose, lines, expected) in rows(PURPOSES) {
        let (method, purpose) = match purpose {
            "read" => ("GET", Purpose::AdminRead),
            "change" => ("POST", Purpose::AdminAction),
            "page" => ("GET", Purpose::InspectorPage),
            _ => ("GET", Purpose::InspectorApi),
        };
        let lines = format!("host: localhost:8081; {}", lines.trim_matches(';'));
        for browser in [false, true] {
            let head = head(method, "/", &lines);
            let code = code(&guard(browser), purpose, Tcp, &head);
            assert_eq!(code, expected, "{purpose:?} {lines}");
        }
    }
}

#[test]
fn only_names_of_the_proxy_are_allowed() {
    for (listener, hosts, expected) in rows(HOSTS) {
        for host in hosts.split_whitespace() {
            let code = forward(&guard(false), kind(listener), &format!("host: {host}"));
            assert_eq!(code, expected, "{listener} {host}");
        }
    }
    for listener in [Tcp, Unix] {
        assert_eq!(forward(&guard(false), listener, ""), "bad_host");
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
        let code = code(&guard(false), Purpose::Forward, Tcp, &head);
        assert_eq!(code, expected, "{authority} {lines}");
    }
}

#[test]
fn the_right_token_admits_a_browser_and_a_listed_page_needs_it() {
    let mut guard = guard(false);
    guard.token = Some(CallerToken::new(b"0123456789abcdef"));
    for (lines, expected) in [
        (TOKEN_LINE, "ok"),
        (&format!("{TOKEN_LINE}; {TOKEN_LINE}"), "origin_not_allowed"),
        (&format!("origin: LISTED; {TOKEN_LINE}"), "ok"),
        ("origin: LISTED", "token_required"),
        // The token does not make a foreign page a listed one.
        (&format!("origin: null; {TOKEN_LINE}"), "origin_not_allowed"),
    ] {
        let lines = format!("host: proxy.internal; sec-fetch-site: cross-site; {lines}");
        assert_eq!(forward(&guard, Tcp, &lines), expected, "{lines}");
    }
    // Whoever replays a request has shown another token, but a page stays a page.
    for (lines, expected) in [("", "ok"), ("sec-fetch-site: none", "origin_not_allowed")] {
        let lines = format!("host: localhost; {lines}");
        assert_eq!(forward(&guard, Replay, &lines), expected, "{lines}");
    }
    let preflight = head("OPTIONS", "/", "host: localhost; origin: LISTED");
    assert_eq!(code(&guard, Purpose::Preflight, Tcp, &preflight), "ok");
    // If no token is configured, none is right.
    let lines = format!("host: localhost; sec-fetch-site: none; {TOKEN_LINE}");
    assert_eq!(
        forward(&self::guard(false), Tcp, &lines),
        "origin_not_allowed"
    );
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
fn loopback_names_are_those_that_no_other_machine_is_called_by() {
    let loopback = "localhost:8081 LOCALHOST. 127.0.0.9 [::1]:1";
    let other = "10.0.0.7 0.0.0.0 proxy.internal localhost.evil.example";
    for (hosts, expected) in [(loopback, true), (other, false)] {
        for host in hosts.split_whitespace() {
            let head = head("GET", "/", &format!("host: {host}"));
            assert_eq!(names_loopback(Tcp, &head), expected, "{host}");
            assert!(names_loopback(Unix, &head));
        }
    }
}
