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
fn an_equal_echo_differs_in_nothing() {
    let ours = canonical();
    assert!(ours.starts_with("GET\n/v1/infers/5a/\na=0&a=1&b=2&k%C3%A9=x\nhost:"));
    assert_eq!(compare(&ours, &echoed(&ours)), Difference::None);
    assert_eq!(compare(&ours, &ours), Difference::None);
    assert_eq!(
        compare(&ours, &format!("{}, please check", echoed(&ours))),
        Difference::None
    );
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
fn a_change_before_the_cut_is_still_found() {
    let ours = canonical();
    let altered = echoed(&ours).replacen("b=2", "b=3", 1);
    assert_eq!(
        compare(&ours, &altered[..30]),
        pair(3, Some("b"), Change::Altered)
    );
}

#[test]
fn an_echo_that_is_cut_off_is_equal_as_far_as_it_goes() {
    let ours = canonical();
    let whole = echoed(&ours);
    for end in "GET|/".len()..whole.len() {
        assert_eq!(compare(&ours, &whole[..end]), Difference::CutOff, "{end}");
    }
    assert_eq!(
        compare(&ours, &format!("{}...", &whole[..50])),
        Difference::CutOff
    );
}

#[test]
fn what_cannot_be_taken_apart_is_unreadable() {
    let ours = canonical();
    let whole = echoed(&ours);
    for other in ["", "GET", "get|/|", "GET|v1", "a text", "|||||", "{}"] {
        assert_eq!(compare(&ours, other), Difference::Unreadable, "{other}");
        assert_eq!(compare(other, &whole), Difference::Unreadable, "{other}");
    }
}

#[test]
fn names_that_may_hold_a_secret_are_not_named() {
    let ours = "GET\n/\nk%20=1\nhost:h\nx-a:one|two:three\n\nhost;x-a\n0";
    let long = "a".repeat(41);
    for (theirs, expected) in [
        (
            "GET|/|k%20=2|host:h|x-a:one|two:three||host;x-a|0",
            pair(1, None, Change::Altered),
        ),
        (
            "GET|/|k%20=1|host:h|x-a:one|two:four||host;x-a|0",
            header(None, Change::Altered),
        ),
        (
            "GET|/|k%20=1|host:h|x-a:two|two:three||host;x-a|0",
            header(Some("x-a"), Change::Altered),
        ),
        (
            format!("GET|/|k%20=1&{long}=1|host:h|x-a:one|two:three||host;x-a|0").as_str(),
            pair(2, None, Change::Added),
        ),
    ] {
        assert_eq!(compare(ours, theirs), expected, "{theirs}");
    }
}

proptest! {
    #[test]
    fn an_echo_of_our_canonical_request_differs_in_nothing(
        method in "[A-Z]{1,8}",
        path in "/[a-zA-Z0-9|:/~-]{0,30}",
        query in "([a-z|]{1,4}=[a-zA-Z0-9|/:]{0,6}&){0,4}",
        host in "[ -~]{1,30}",
        stage in "[A-Z|:]{1,9}",
    ) {
        let target = format!("{path}?{query}");
        // Some drawn paths and values cannot be signed.
        if let Ok(target) = Target::parse(&target) {
            let date = SigningDate::parse(SIGNED).unwrap();
            let headers = [("host", host.as_str()), ("x-stage", stage.as_str())];
            let payload = Payload::Hash(&PayloadHash::EMPTY);
            let ours = CanonicalRequest::new(&method, target, &headers, &date, payload).unwrap();
            let ours = ours.to_string();
            prop_assert_eq!(compare(&ours, &echoed(&ours)), Difference::None);
        }
    }

    #[test]
    fn any_two_texts_can_be_compared(ours in "(?s).{0,80}", echoed in "(?s).{0,80}") {
        let _ = compare(&ours, &echoed);
    }

    #[test]
    fn any_two_texts_of_the_right_kind_can_be_compared(
        ours in "(GET|/|a=1|&|host:h|\n|;|é){0,14}",
        echoed in "GET[|]/([|]|/|a=1|&|host:h|\n|;|é){0,14}",
    ) {
        let _ = compare(&ours, &echoed);
    }
}
