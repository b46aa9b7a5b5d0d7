//! Which targets go out, and as which bytes.

use crate::support::{Proxy, Upstream};

#[test]
fn paths_arrive_byte_for_byte() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let paths = [
        "/",
        "/a/",
        "/a//b/",
        "/a%2Fb",
        "/a%2fb",
        "/~user",
        "/a:b",
        "/it's",
        "/(z)!*",
        "/%e4%b8%ad",
        "/a+b;c=1,d",
        "/a%20b",
        "/a%00b",
        "/%7Euser",
        "/v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53/v1/chat/completions",
        "/a%25b?",
        "/a?",
    ];
    for (at, path) in paths.into_iter().enumerate() {
        let answer = proxy.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = upstream.requests().swap_remove(at);
        assert_eq!(seen.target(), path);
        seen.verified();
    }
}

#[test]
fn only_plus_and_semicolon_of_a_query_are_normalized() {
    let upstream = Upstream::start();
    let proxy = Proxy::before(&upstream);
    let cases = [
        ("b=2&a=1&a=0", "b=2&a=1&a=0"),
        ("q=x+y;z&c=%2b", "q=x%20y%3Bz&c=%2b"),
        (
            "a[]=1&a[0]=2&t=08:00:00Z&u=/x?y",
            "a[]=1&a[0]=2&t=08:00:00Z&u=/x?y",
        ),
        ("a&b=&&c", "a&b=&&c"),
        (
            "a=caf%C3%A9&%E4%B8%AD=~!*'()",
            "a=caf%C3%A9&%E4%B8%AD=~!*'()",
        ),
    ];
    for (at, (query, expected)) in cases.into_iter().enumerate() {
        let answer = proxy.get(&format!("/p?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let seen = upstream.requests().swap_remove(at);
        assert_eq!(seen.target(), format!("/p?{expected}"));
        seen.verified();
    }
}
