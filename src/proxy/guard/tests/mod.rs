//! Who is let through, and who is not.

use super::*;
use http::{Request, request};

fn guard() -> Guard {
    let access = Access {
        hosts: vec!["proxy.internal".to_owned()],
        origins: vec!["http://localhost:3000".to_owned()],
        ..Access::default()
    };
    Guard::new(&access, &["127.0.0.5:8080".parse().unwrap()])
}

fn code(headers: &[(&'static str, &'static str)]) -> &'static str {
    code_of(None, headers)
}

fn code_of(authority: Option<&str>, headers: &[(&'static str, &'static str)]) -> &'static str {
    code_by(&guard(), ListenerKind::Tcp, authority, "GET", headers)
}

fn head(method: &str, headers: &[(&str, &str)]) -> request::Parts {
    head_of("/", method, headers)
}

fn head_of(target: &str, method: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn code_by(
    guard: &Guard,
    listener: ListenerKind,
    authority: Option<&str>,
    method: &str,
    headers: &[(&str, &str)],
) -> &'static str {
    let target = authority.map_or_else(
        || "/".to_owned(),
        |authority| format!("http://{authority}/"),
    );
    guard
        .check(listener, &head_of(&target, method, headers))
        .map_or_else(|error| error.answer().code, |_| "")
}

#[test]
fn the_proxy_s_own_names_are_let_through_with_any_port() {
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        "127.0.0.5",
        "proxy.internal:80",
    ] {
        assert_eq!(code(&[("host", host)]), "", "{host}");
    }
}

#[test]
fn a_guard_of_any_address_takes_none_for_its_name() {
    let bound = ["0.0.0.0:8080", "[::]:8080"].map(|address| address.parse().unwrap());
    let guard = Guard::new(&Access::default(), &bound);
    for (host, is_let_through) in [
        ("localhost", true),
        ("0.0.0.0", false),
        ("[::]:8080", false),
    ] {
        let code = code_by(&guard, ListenerKind::Tcp, None, "GET", &[("host", host)]);
        assert_eq!(code.is_empty(), is_let_through, "{host}");
    }
}

#[test]
fn other_names_are_refused() {
    for host in [
        "evil.example",
        "localhost.evil.example",
        "0.0.0.0:8080",
        "[::]",
        "",
        "localhost..",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "::1",
    ] {
        assert!(
            ["host_not_allowed", "bad_host"].contains(&code(&[("host", host)])),
            "{host}"
        );
    }
    assert_eq!(code(&[("host", "evil.example")]), "host_not_allowed");
}

#[test]
fn a_missing_doubled_or_malformed_host_is_refused() {
    assert_eq!(code(&[]), "bad_host");
    assert_eq!(
        code(&[("host", "localhost"), ("host", "localhost")]),
        "bad_host"
    );
    for host in [
        "localhost:x",
        "localhost:99999",
        "user@localhost",
        "localhost/",
        "local host",
        "[::1",
        "[::1]x",
        "[x]",
    ] {
        assert_eq!(code(&[("host", host)]), "bad_host", "{host}");
    }
}

#[test]
fn over_http2_the_authority_is_the_host() {
    let code = |authority: &str, headers: &[(&str, &str)]| {
        let mut head = head_of(&format!("http://{authority}/"), "GET", headers);
        head.version = http::Version::HTTP_2;
        let guard = guard();
        let checked = guard.check(ListenerKind::Tcp, &head);
        checked.map_or_else(|error| error.answer().code, |_| "")
    };
    assert_eq!(code("localhost:8080", &[]), "");
    assert_eq!(code("evil.example", &[]), "host_not_allowed");
    assert_eq!(code("localhost", &[("host", "localhost")]), "");
    assert_eq!(code("localhost", &[("host", "127.0.0.1")]), "bad_request");
    assert_eq!(
        code("evil.example", &[("host", "localhost")]),
        "bad_request"
    );
    assert_eq!(code("localhost", &[("host", "localhost"); 2]), "bad_host");
}

#[test]
fn an_absolute_target_must_name_the_host() {
    assert_eq!(code_of(Some("localhost"), &[("host", "localhost")]), "");
    assert_eq!(
        code_of(Some("evil.example"), &[("host", "localhost")]),
        "bad_request"
    );
    assert_eq!(
        code_of(Some("evil.example"), &[("host", "evil.example")]),
        "host_not_allowed"
    );
}

#[test]
fn foreign_origins_are_refused_and_listed_ones_let_through() {
    for origin in [
        "null",
        "http://evil.example",
        "http://localhost",
        "https://localhost:8080",
        "http://127.0.0.1:8080",
        "http://localhost:8081",
    ] {
        assert_eq!(
            code(&[("host", "localhost:8080"), ("origin", origin)]),
            "origin_not_allowed",
            "{origin}"
        );
    }
    let listed = [
        ("host", "localhost"),
        ("origin", "http://localhost:3000"),
        ("sec-fetch-site", "same-site"),
        ("sec-purpose", "prefetch"),
    ];
    assert_eq!(code(&listed), "");
}

#[test]
fn of_several_origins_the_least_trusted_one_counts() {
    const LISTED: (&str, &str) = ("origin", "http://localhost:3000");
    const OWN: (&str, &str) = ("origin", "http://localhost");
    const FOREIGN: (&str, &str) = ("origin", "http://evil.example");
    const SITE: (&str, &str) = ("sec-fetch-site", "cross-site");
    for (origins, with_site) in [
        (&[LISTED, LISTED][..], ""),
        (&[LISTED, OWN], "origin_not_allowed"),
        (&[OWN, LISTED], "origin_not_allowed"),
    ] {
        let headers = [&[("host", "localhost")], origins].concat();
        assert_eq!(code(&headers), "", "{headers:?}");
        let headers = [&headers[..], &[SITE]].concat();
        assert_eq!(code(&headers), with_site, "{headers:?}");
    }
    for origins in [[LISTED, FOREIGN], [FOREIGN, LISTED], [OWN, FOREIGN]] {
        let headers = [&[("host", "localhost")], &origins[..]].concat();
        assert_eq!(code(&headers), "origin_not_allowed", "{headers:?}");
    }
}

#[test]
fn a_guard_of_any_address_lets_probes_call_by_any_address_but_by_no_other_name() {
    let let_through = |bound: &str, host: &str| {
        let guard = Guard::new(&Access::default(), &[bound.parse().unwrap()]);
        let head = head("GET", &[("host", host)]);
        let probe = guard.check_probe(ListenerKind::Tcp, &head).is_ok();
        let page = guard.check_page(ListenerKind::Tcp, &head);
        assert!(page.is_err(), "{host}");
        assert!(
            guard.check_admin_action(ListenerKind::Tcp, &head).is_err(),
            "{host}"
        );
        probe
    };
    for bound in ["0.0.0.0:8081", "[::]:8081"] {
        for host in [
            "10.0.0.7:8081",
            "10.0.0.7",
            "[fd00::7]:8081",
            "[::ffff:10.0.0.7]",
        ] {
            assert!(let_through(bound, host), "{host}");
        }
        for host in [
            "evil.example",
            "10.0.0.7.evil.example",
            "0.0.0.0:8081",
            "[::]:8081",
            "[::ffff:0.0.0.0]",
            "0",
            "167772167",
            "0x0a.0.0.7",
            "10.0.7",
        ] {
            assert!(!let_through(bound, host), "{host}");
        }
    }
    assert!(!let_through("10.0.0.5:8081", "10.0.0.7"));
}

mod browsers;
