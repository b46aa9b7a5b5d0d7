//! Each mistake with the path or the query is named.

use super::mistakes::explanation;

#[test]
fn mistakes_with_the_path_are_named() {
    for (target, from, to, expected) in [
        ("/v1/a", "/v1/a/\n", "/v1/a\n", "without the closing slash"),
        ("/v1/a/", "/v1/a/\n", "/v1/a\n", "without the closing slash"),
        ("/a:b", "/a%3Ab/\n", "/a:b/\n", "signed as it is sent"),
        (
            "/a:b",
            "/a%3Ab/\n",
            "/a:b\n",
            "and without the closing slash",
        ),
        ("/a%20b", "/a%20b/\n", "/a b/\n", "was not encoded"),
        ("/a%20b", "/a%20b/\n", "/a%2520b/\n", "encoded twice"),
        (
            "/a%2fb%20",
            "/a/b%20/\n",
            "/a%2Fb%20/\n",
            "an encoded slash",
        ),
        (
            "/a//b/./c/../d",
            "/a//b/./c/../d/\n",
            "/a/b/d/\n",
            "empty and dot segments",
        ),
        ("/%28%3A", "/%28%3A/\n", "/(%3A/\n", "encodeURIComponent"),
        (
            "/%C3%A9",
            "/%C3%A9/\n",
            "/%c3%a9/\n",
            "escapes in small letters",
        ),
    ] {
        let said = explanation(target, "", from, to);
        assert!(
            said.contains("path") && said.contains(expected),
            "{target}: {said}"
        );
    }
}

/// Queries as they are sent, as they should be signed, as they are signed, and what is said of that.
fn named<const N: usize>(cases: [(&str, &str, &str, &str); N]) {
    for (query, from, to, expected) in cases {
        let said = explanation(
            &format!("/?{query}"),
            "",
            &format!("\n{from}\n"),
            &format!("\n{to}\n"),
        );
        assert!(said.contains(expected), "{query}: {said}");
    }
}

#[test]
fn mistakes_with_the_order_of_the_query_are_named() {
    named([
        ("b=1&a=%2B", "a=%2B&b=1", "b=1&a=%2B", "was not sorted"),
        (
            "a0=1&a%3A=2&b=1&b=%3A",
            "a0=1&a%3A=2&b=1&b=%3A",
            "a%3A=2&a0=1&b=%3A&b=1",
            "by its encoded names and values",
        ),
        (
            "a0=1&a%3A=2&b=2&b=1",
            "a0=1&a%3A=2&b=1&b=2",
            "a%3A=2&a0=1&b=2&b=1",
            "by its encoded names, and values",
        ),
        (
            "b=2&b=1&a=0",
            "a=0&b=1&b=2",
            "a=0&b=2&b=1",
            "values of one name were not sorted",
        ),
        (
            "a=1&a-=2&b=0&b=%2B",
            "a=1&a-=2&b=%2B&b=0",
            "a-=2&a=1&b=%2B&b=0",
            "by whole pairs",
        ),
        ("a=1&B=2", "B=2&a=1", "a=1&B=2", "was not sorted"),
        (
            "B=2&a=1&C=3",
            "B=2&C=3&a=1",
            "a=1&B=2&C=3",
            "without regard to capital letters",
        ),
    ]);
}

#[test]
fn mistakes_with_the_characters_of_the_query_are_named() {
    named([
        ("q=a+b", "q=a%2Bb", "q=a%20b", "was signed as a space"),
        ("q=a%20b", "q=a%20b", "q=a%2Bb", "was signed as %2B"),
        ("q=a%20b", "q=a%20b", "q=a+b", "was signed as \"+\""),
        ("q=:&a=/", "a=%2F&q=%3A", "q=:&a=/", "signed as it is sent"),
        (
            "q=:&a=/",
            "a=%2F&q=%3A",
            "a=/&q=:",
            "sorted, but not encoded",
        ),
        ("q=%20", "q=%20", "q=%2520", "encoded twice"),
        ("q=%28%3A", "q=%28%3A", "q=(%3A", "encodeURIComponent"),
        (
            "q=%C3%A9",
            "q=%C3%A9",
            "q=%c3%a9",
            "escapes in small letters",
        ),
    ]);
}

#[test]
fn mistakes_with_the_pairs_of_the_query_are_named() {
    named([
        ("q=1", "q=1", "", "was not signed"),
        ("a=1;b&c=2", "a=1%3Bb&c=2", "c=2", "was left out"),
        (
            "c=2&a=1;b=2",
            "a=1%3Bb%3D2&c=2",
            "a=1&b=2&c=2",
            "as the end of a pair",
        ),
        ("b&a=%3A", "a=%3A&b=", "a=%3A&b", "without \"=\""),
        ("=v&a=1", "=v&a=1", "a=1", "without a name"),
        (
            "a=2&a=1&b=0",
            "a=1&a=2&b=0",
            "a=2&b=0",
            "only its first value",
        ),
        (
            "a=2&a=1&b=0",
            "a=1&a=2&b=0",
            "a=1&b=0",
            "only its last value",
        ),
    ]);
}
