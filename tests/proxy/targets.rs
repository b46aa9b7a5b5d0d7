//! Which targets go out, and as which bytes.

use crate::support::Scene;

/// Each target arrives as the second text, or unchanged.
fn arrive(targets: &[(&str, &str)]) {
    let scene = Scene::plain();
    for (target, expected) in targets {
        scene.get(target).about(target).assert_status(200);
        let seen = scene.upstream.requests().pop().unwrap();
        assert_eq!(seen.target(), *expected);
        seen.verified();
    }
}

#[test]
fn fault_11_paths_arrive_byte_for_byte_but_for_plus_signs_and_raw_utf_8() {
    let paths = "/ /a/ /a//b/ /a%2Fb /a%2fb /~user /a:b /it's /(z)!* /%e4%b8%ad /a;c=1,d /%D6%D0/%ff /a%20b /a%00b \
        /%7Euser /v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53/v1/chat/completions /a%25b? /a?";
    let paths: Vec<_> = paths.split_whitespace().map(|path| (path, path)).collect();
    assert_eq!(paths.len(), 18);
    arrive(&paths);
    arrive(&[
        ("/a+b/é", "/a%2Bb/%C3%A9"),
        ("/中?中", "/%E4%B8%AD?%E4%B8%AD"),
    ]);
}

#[test]
fn fault_11_what_decoders_read_differently_in_a_query_is_normalised_and_a_fragment_is_cut() {
    let same = |target| (target, target);
    arrive(&[
        same("/p?b=2&a=1&a=0"),
        ("/p?q=x+y;z&c=%2b", "/p?q=x%20y%3Bz&c=%2b"),
        same("/p?a[]=1&a[0]=2&t=08:00:00Z&u=/x?y"),
        (
            "/p?a=100%&b=%zz&é=%D6%D0",
            "/p?a=100%25&b=%25zz&%C3%A9=%D6%D0",
        ),
        same("/p?a&b=&&c"),
        same("/p?a=caf%C3%A9&%E4%B8%AD=~!*'()"),
        ("/a#b", "/a"),
        ("/a?b#c", "/a?b"),
    ]);
}
