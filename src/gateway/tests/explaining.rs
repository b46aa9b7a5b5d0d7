//! From meanings to advice.

use super::*;

#[test]
fn an_equal_echo_means_a_wrong_secret_key() {
    let ours = canonical();
    let context = Context {
        canonical_request: Some(&ours),
        ..KNOWN
    };
    let fail = |canonical: &str| {
        let message = format!(
            "verify aksk signature fail, canonicalRequest:{}",
            echoed(canonical)
        );
        iam(&message, &context).1
    };
    assert_eq!(
        fail(&ours),
        "the secret key does not belong to the access key: download the key pair again (a file is read anew by itself, a variable needs a restart)",
    );
    assert!(fail(&ours[..40]).contains("most likely"));
    assert!(fail("something else").contains("most likely"));
    for (from, to, advice) in [
        ("GET", "POST", "the method was changed by a device"),
        ("/v1", "/v2", "the path was changed by a device"),
        (
            "x-stage:RELEASE\n",
            "",
            "header x-stage was removed or renamed by a device",
        ),
        (
            TOKEN,
            "another",
            "header x-security-token was changed by a device",
        ),
        ("b=2", "b=3", "query pair 3 (b) was changed by a device"),
        (
            "&b=2",
            "&aa=7&b=2",
            "query pair 3 (aa) was added by a device",
        ),
        (
            "a=1&b=2",
            "b=2&a=1",
            "query pair 2 (a) was moved by a device",
        ),
        ("=x\n", "=y\n", "query pair 4 was changed by a device"),
        (
            "\nhost;",
            "\nhost;x;",
            "the list of signed headers was changed by a device",
        ),
        (
            "e3b0",
            "0000",
            "the body or its hash was changed by a device",
        ),
    ] {
        let hint = fail(&ours.replacen(from, to, 1));
        assert!(hint.starts_with(advice), "{hint}");
        assert!(is_presentable(&hint) && hint.len() < 400, "{hint}");
        assert!(!hint.contains(TOKEN), "{hint}");
    }
}

#[test]
fn a_wrong_clock_is_told_by_how_much_and_what_to_do() {
    let times = |signed: &str, server: &str| {
        format!(
            "calc aksk signature fail:signature expired, signature time:{signed},server time:{server}"
        )
    };
    let behind = times(SIGNED, SERVER);
    let ahead = times(SERVER, SIGNED);
    let alone = "calc ak sk signature fail:signature expired".to_owned();
    let corrects = |clock_offset| Context {
        clock_offset,
        corrects_clock: true,
        ..KNOWN
    };
    let knows = |clock_offset| Context {
        clock_offset,
        ..KNOWN
    };
    let temporary = |clock_offset| Context {
        has_security_token: true,
        ..knows(clock_offset)
    };
    for (message, context, advice) in [
        (&behind, KNOWN, "901 seconds behind the gateway's"),
        (&ahead, KNOWN, "901 seconds ahead of the gateway's"),
        (&behind, KNOWN, "clock.correct = true"),
        (
            &behind,
            corrects(None),
            "set it with NTP, and send the request again",
        ),
        (
            &alone,
            corrects(Some(-4000)),
            "4000 seconds ahead of the gateway's",
        ),
        (&alone, temporary(Some(1000)), "1000 seconds behind"),
        (&behind, knows(Some(2)), "901 seconds after it was signed"),
        (&alone, temporary(Some(2)), "the temporary key has expired"),
        (
            &alone,
            Context {
                has_security_token: true,
                ..corrects(Some(1000))
            },
            "the temporary key has expired",
        ),
        (&alone, temporary(None), "get a new temporary key"),
        (
            &alone,
            KNOWN,
            "set the clock with NTP; if it is right, get a new key",
        ),
        (
            &alone,
            knows(Some(i64::MIN)),
            "9223372036854775808 seconds ahead",
        ),
        (
            &times("00000101T000000Z", "99991230T000000Z"),
            KNOWN,
            "seconds behind",
        ),
    ] {
        let hint = iam(message, &context).1;
        assert!(hint.contains(advice), "{message}: {hint}");
        assert!(is_presentable(&hint) && hint.len() < 400, "{hint}");
    }
}

#[test]
fn a_temporary_key_is_told_apart_from_a_permanent_one() {
    let temporary = Context {
        has_security_token: true,
        ..KNOWN
    };
    let unknown = "Get secretKey failed,ak:AKX,err:ak not exist";
    let hint = iam(unknown, &temporary).1;
    assert!(
        hint.contains("the security token belongs to another key"),
        "{hint}"
    );
    let hint = iam(unknown, &KNOWN).1;
    assert!(
        hint.contains("a temporary key without its security token"),
        "{hint}"
    );
    assert!(!hint.contains("AKX"), "{hint}");
    let hint = iam("token expires, expires_at: 2026", &temporary).1;
    assert!(
        hint.contains("the security token of the temporary key"),
        "{hint}"
    );
}

#[test]
fn settings_that_cannot_be_shown_are_left_out() {
    let long = "h".repeat(81);
    let error = GatewayError::read(404, &answer("APIG.0101", "")).unwrap();
    for (stage, host) in [("RELEASE\r\nx: y", "h\u{e9}"), ("", ""), (&long, &long)] {
        let hint = error
            .hint(&Context {
                stage,
                host,
                ..KNOWN
            })
            .unwrap();
        assert!(is_presentable(&hint) && !hint.contains("now"), "{hint}");
    }
    let longest = &long[..80];
    let hint = error
        .hint(&Context {
            stage: longest,
            host: longest,
            ..KNOWN
        })
        .unwrap();
    assert!(hint.ends_with("is published in"), "{hint}");
}

fn context() -> impl Strategy<Value = (Option<String>, bool, Option<i64>, bool, String)> {
    let canonical = prop_oneof![Just(canonical()), "(?s).{0,60}"];
    (
        proptest::option::of(canonical),
        any::<bool>(),
        any::<Option<i64>>(),
        any::<bool>(),
        "(?s).{0,90}",
    )
}

fn message() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("verify aksk signature fail, canonicalRequest:".to_owned()),
        Just("signature expired, signature time:".to_owned()),
        Just(",server time:".to_owned()),
        Just("20211217T065804Z".to_owned()),
        Just("ak not exist".to_owned()),
        Just(echoed(&canonical())),
        "(?s).{0,12}",
        "GET[|]/[a-z]{0,5}[|][a-z&=]{0,9}[|]",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_hint_is_one_line_of_visible_ascii(
        status in 400_u16..600,
        code in "(APIG|APIGW|APIC|ModelArts)[.](0[0-9]0[0-9]|4[0-9]0[0-9]|0301)",
        message in message(),
        (canonical, has_security_token, clock_offset, corrects_clock, setting) in context(),
    ) {
        let error = GatewayError::read(status, &answer(&code, &message)).unwrap();
        let context = Context {
            shows: Shows::Signature,
            canonical_request: canonical.as_deref(),
            has_security_token,
            clock_offset,
            corrects_clock,
            stage: &setting,
            host: &setting,
        };
        if let Some(hint) = error.hint(&context) {
            prop_assert!(is_presentable(&hint), "{}", hint);
            prop_assert!(!hint.contains(TOKEN), "{}", hint);
        }
    }

    #[test]
    fn any_bytes_can_be_read(status: u16, body: Vec<u8>) {
        let _ = GatewayError::read(status, &body);
    }
}
