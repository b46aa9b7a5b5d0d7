//! The rules of the guard, as tables. `tests/proxy/faults/{guard,browsers}.rs` try every
//! combination of host, origin and site over a socket.

use ListenerKind::{Replay, Tcp, Tls, Unix};
use http::Request;

use super::*;
use crate::config::CallerToken;

/// Listener or purpose, method and header lines, then the codes by default and with `access.browser`, or one
/// for both. A row without a host calls `localhost:8080`.
const REQUESTS: &str = "
    tcp GET                                                                    => ok
    tls GET  host: localhost:443; origin: https://localhost                    => ok
    tls GET  host: localhost; origin: http://localhost:8080                    => origin_not_allowed
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
    tcp GET  origin: LISTED; origin: http://evil.example                       => origin_not_allowed
    tcp GET  origin: http://localhost:8080; origin: null                       => origin_not_allowed
    tcp GET  sec-fetch-site: none; sec-fetch-mode: navigate                    => origin_not_allowed ok
    tcp GET  sec-fetch-site: none; sec-fetch-mode: navigate; sec-fetch-mode: x => origin_not_allowed
    tcp POST sec-fetch-mode: websocket; origin: http://localhost:8080          => origin_not_allowed ok
    tcp GET  sec-fetch-site: cross-site; sec-fetch-site: none                  => origin_not_allowed
    tcp GET  sec-fetch-site: same-origin; sec-fetch-site: same-origin          => origin_not_allowed ok
    tcp GET  sec-purpose: prefetch; sec-fetch-site: none                       => origin_not_allowed
    tcp GET  purpose: Prefetch; sec-fetch-site: same-origin                    => origin_not_allowed
    tcp GET  purpose: billing; x-purpose: ; x-moz: 1                           => ok
    tcp POST user-agent: Mozilla/5.0 (Windows NT) WindowsPowerShell/5.1        => ok
    tcp GET  host: proxy.internal; user-agent: mozilla/5.0                     => origin_not_allowed
    tcp GET  host: proxy.internal:8080; user-agent: curl/8 Mozilla/5.0         => ok
    tcp GET  host: proxy.internal; origin: http://proxy.internal               => ok
    tls GET  host: proxy.internal; user-agent: Mozilla/5.0                     => ok
    tcp GET  host: a.localhost; user-agent: Mozilla/5.0                        => ok
    unix GET host: apig; user-agent: Mozilla/5.0                               => origin_not_allowed
    unix GET host: apig; sec-fetch-site: none                                  => origin_not_allowed ok
    unix GET host: a; host: a                                                  => bad_host
    unix GET host: a b                                                         => bad_host
    read GET                                                                   => ok
    change POST origin: http://localhost:8080                                  => ok
    change POST origin: http://localhost:8080; sec-fetch-site: same-site       => origin_not_allowed
    read GET sec-fetch-site: none                                              => ok
    change POST sec-fetch-site: none                                           => origin_not_allowed
    read GET sec-fetch-site: none; sec-purpose: prefetch                       => origin_not_allowed
    read GET sec-fetch-site: same-origin                                       => origin_not_allowed
    change POST sec-fetch-site: same-origin                                    => origin_not_allowed
    page GET sec-fetch-site: none; sec-fetch-mode: navigate                    => ok
    page GET sec-fetch-site: none; sec-fetch-mode: no-cors                     => origin_not_allowed
    api GET sec-fetch-site: none; sec-fetch-mode: navigate                     => origin_not_allowed
    page GET sec-fetch-site: same-origin; sec-fetch-mode: no-cors              => ok
    page GET sec-fetch-site: cross-site; sec-fetch-mode: navigate              => origin_not_allowed
    api GET sec-fetch-site: same-origin                                        => ok
    api GET origin: LISTED                                                     => origin_not_allowed
";

/// Hosts by listener, and the code of a request to them. The last ones are for reads of an admin
/// listener that is bound to any address.
const HOSTS: &str = r#"
    tcp localhost LOCALHOST:8080 localhost. localhost: 127.0.0.1:1 [::1] [::1]:8080 => ok
    tcp 127.0.0.5 proxy.internal:80                                               => ok
    tcp evil.example localhost.evil.example 0.0.0.0:8080 [::] localhost..         => host_not_allowed
    tcp 127.0.0.1.evil.example 127.0.0.2                                          => host_not_allowed
    tcp ::1 localhost:x localhost:+80 localhost:99999 user@localhost localhost/   => bad_host
    tcp [::1 [::1]x [x]                                                           => bad_host
    unix apig evil.example:8080 %2Frun%2Fproxy.sock unix: 0.0.0.0                 => ok
    unix a/b user@a a?b a#b a\b a"b é                                             => bad_host
    read 10.0.0.7:8081 10.0.0.7 [fd00::7]:8081 [::ffff:10.0.0.7]                  => ok
    read evil.example 10.0.0.7.evil.example 0.0.0.0:8081 [::] [::ffff:0.0.0.0]    => host_not_allowed
    read 0 167772167 0x0a.0.0.7 10.0.7                                            => host_not_allowed
"#;

fn guard(browser: bool, bound: &str) -> Guard {
    let access = Access {
        hosts: vec!["proxy.internal".to_owned(), "a.localhost".to_owned()],
        origins: vec!["http://localhost:3000".to_owned()],
        browser,
        ..Access::default()
    };
    Guard::new(&access, &[bound.parse().unwrap()])
}

/// The head of a request with these lines, which are separated by `; `.
fn head(method: &str, lines: &str) -> request::Parts {
    let mut request = Request::builder().method(method).uri("/");
    for line in lines.split("; ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim().replace("LISTED", "http://localhost:3000");
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The code of the answer to a request. `what` is its listener, if it is to be forwarded, or purpose.
fn code(guard: &Guard, what: &str, head: &request::Parts) -> &'static str {
    let (purpose, listener) = match what {
        "tcp" => (Purpose::Forward, Tcp),
        "tls" => (Purpose::Forward, Tls),
        "unix" => (Purpose::Forward, Unix),
        "replay" => (Purpose::Forward, Replay),
        "preflight" => (Purpose::Preflight, Tcp),
        "replayed preflight" => (Purpose::Preflight, Replay),
        "read" => (Purpose::AdminRead, Tcp),
        "change" => (Purpose::AdminAction, Tcp),
        "page" => (Purpose::InspectorPage, Tcp),
        "api" => (Purpose::InspectorApi, Tcp),
        other => unreachable!("{other}"),
    };
    let checked = guard.check(purpose, listener, head);
    checked.map_or_else(|error| error.answer().code, |_| "ok")
}

#[test]
fn requests_are_served_or_refused_as_the_table_says() {
    for row in REQUESTS.trim().lines() {
        let (request, codes) = row.split_once("=>").unwrap();
        let mut words = request.trim().splitn(3, ' ');
        let (what, method) = (words.next().unwrap(), words.next().unwrap());
        let mut lines = words.next().unwrap_or_default().trim().to_owned();
        if !lines.starts_with("host") {
            lines = format!("host: localhost:8080; {lines}");
        }
        let head = head(method, &lines);
        let codes: Vec<&str> = codes.split_whitespace().collect();
        for (browser, expected) in [(false, codes[0]), (true, codes[codes.len() - 1])] {
            let found = code(&guard(browser, "127.0.0.5:8080"), what, &head);
            assert_eq!(found, expected, "{row}, browser {browser}");
        }
    }
}

#[test]
fn only_names_of_the_proxy_are_allowed() {
    for row in HOSTS.trim().lines() {
        let (hosts, expected) = row.split_once("=>").unwrap();
        let (what, hosts) = hosts.trim().split_once(' ').unwrap();
        let bound = if what == "read" {
            "[::]:1"
        } else {
            "127.0.0.5:1"
        };
        for host in hosts.split_whitespace() {
            let found = code(
                &guard(false, bound),
                what,
                &head("GET", &format!("host: {host}")),
            );
            assert_eq!(found, expected.trim(), "{what} {host}");
        }
    }
    let (any, by_address) = (guard(false, "0.0.0.0:1"), head("GET", "host: 10.0.0.7"));
    for what in ["tcp", "change"] {
        assert_eq!(code(&any, what, &by_address), "host_not_allowed");
    }
    assert_eq!(code(&any, "read", &by_address), "ok");
    for what in ["tcp", "unix"] {
        assert_eq!(code(&any, what, &head("GET", "")), "bad_host");
    }
}

#[test]
fn a_listed_page_needs_the_token_and_a_page_of_no_other_origin_gets_by_with_it() {
    const TOKEN: &str = "x-apig-proxy-token: 0123456789abcdef";
    let mut guard = guard(false, "127.0.0.1:1");
    guard.access.token = Some(CallerToken::new(b"0123456789abcdef"));
    for (what, lines, expected) in [
        (
            "tcp",
            &*format!("sec-fetch-site: cross-site; {TOKEN}"),
            "ok",
        ),
        (
            "tcp",
            &format!("sec-fetch-site: cross-site; {TOKEN}; {TOKEN}"),
            "origin_not_allowed",
        ),
        ("tcp", &format!("origin: LISTED; {TOKEN}"), "ok"),
        ("tcp", "origin: LISTED", "token_required"),
        ("preflight", "origin: LISTED", "ok"),
        // Without such a page it is forwarded.
        ("preflight", "origin: http://localhost", "token_required"),
        (
            "tcp",
            &format!("origin: null; {TOKEN}"),
            "origin_not_allowed",
        ),
        // Whoever replays a request has shown another token, but a page stays a page.
        ("replay", "", "ok"),
        ("replayed preflight", "origin: http://localhost", "ok"),
        ("replay", "sec-fetch-site: none", "origin_not_allowed"),
    ] {
        let head = head("GET", &format!("host: localhost; {lines}"));
        assert_eq!(code(&guard, what, &head), expected, "{lines}");
    }
}
