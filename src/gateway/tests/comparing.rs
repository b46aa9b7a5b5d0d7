//! Our canonical request against the gateway's.

use super::*;

fn pair(position: usize, name: Option<&str>, change: Change) -> Difference {
    let name = name.map(str::to_owned);
    Difference::QueryPair {
        position,
        name,
        change,
    }
}

fn header(name: Option<&str>, change: Change) -> Difference {
    let name = name.map(str::to_owned);
    Difference::Header { name, change }
}

#[test]
fn the_first_part_that_differs_is_named() {
    let ours = canonical();
    let host = "host:id.apig.cn-north-4.huaweicloudapis.com\n";
    for (from, to, expected) in [
        ("GET", "POST", Difference::Method),
        ("/v1/infers/5a/", "/v1/infers/5b/", Difference::Path),
        ("/v1/infers/5a/", "/infers/5a/", Difference::Path),
        ("b=2", "b=3", pair(3, Some("b"), Change::Altered)),
        ("a=0", "a=9", pair(1, Some("a"), Change::Altered)),
        ("=x\n", "=y\n", pair(4, None, Change::Altered)),
        ("&b=2", "", pair(3, Some("b"), Change::Missing)),
        ("a=0&", "", pair(1, Some("a"), Change::Missing)),
        ("&k%C3%A9=x", "", pair(4, None, Change::Missing)),
        (
            "a=0&a=1&b=2&k%C3%A9=x",
            "",
            pair(1, Some("a"), Change::Missing),
        ),
        ("&b=2", "&aa=7&b=2", pair(3, Some("aa"), Change::Added)),
        ("a=0", "a=&a=0", pair(1, Some("a"), Change::Added)),
        ("=x\n", "=x&z=1\n", pair(5, Some("z"), Change::Added)),
        ("a=1&b=2", "b=2&a=1", pair(2, Some("a"), Change::Moved)),
        (
            "x-stage:RELEASE",
            "x-stage:TEST",
            header(Some("x-stage"), Change::Altered),
        ),
        (host, "host:other\n", header(Some("host"), Change::Altered)),
        (host, "", header(Some("host"), Change::Missing)),
        (
            "x-stage:RELEASE\n",
            "x-stage:RELEASE\nx-via:1\n",
            header(None, Change::Added),
        ),
        (";x-stage", "", Difference::SignedHeaders),
        ("e3b0", "44136f", Difference::Payload),
    ] {
        let altered = ours.replacen(from, to, 1);
        assert_ne!(altered, ours, "{from}");
        assert_eq!(
            compare(&ours, &echoed(&altered)),
            expected,
            "{from} -> {to}"
        );
    }
}

#[test]
fn an_echo_may_be_equal_cut_off_or_unreadable() {
    let ours = canonical();
    assert!(ours.starts_with("GET\n/v1/infers/5a/\na=0&a=1&b=2&k%C3%A9=x\nhost:"));
    let whole = echoed(&ours);
    for equal in [&whole, &ours, &format!("{whole}, please check")] {
        assert_eq!(compare(&ours, equal), Difference::None);
    }
    for end in "GET|/".len()..whole.len() {
        assert_eq!(compare(&ours, &whole[..end]), Difference::CutOff, "{end}");
    }
    let dotted = format!("{}...", &whole[..50]);
    assert_eq!(compare(&ours, &dotted), Difference::CutOff);
    // A change before the cut is still found.
    let altered = whole.replacen("b=2", "b=3", 1);
    let expected = pair(3, Some("b"), Change::Altered);
    assert_eq!(compare(&ours, &altered[..30]), expected);
    for other in ["", "GET", "get|/|", "GET|v1", "a text", "|||||", "{}"] {
        assert_eq!(compare(&ours, other), Difference::Unreadable, "{other}");
        assert_eq!(compare(other, &whole), Difference::Unreadable, "{other}");
    }
}

#[test]
fn names_that_may_hold_a_secret_are_not_named() {
    let ours = "GET\n/\nk%20=1\nhost:h\nx-a:one|two:three\n\nhost;x-a\n0";
    let long = format!("k%20=1&{}=1", "a".repeat(41));
    for (from, to, expected) in [
        ("k%20=1", "k%20=2", pair(1, None, Change::Altered)),
        ("two:three", "two:four", header(None, Change::Altered)),
        ("x-a:one", "x-a:two", header(Some("x-a"), Change::Altered)),
        ("k%20=1", &long, pair(2, None, Change::Added)),
    ] {
        let theirs = echoed(&ours.replacen(from, to, 1));
        assert_eq!(compare(ours, &theirs), expected, "{theirs}");
    }
}
