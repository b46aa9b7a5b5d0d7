//! Which requests are accepted, and the words of those that are refused.

use super::*;

#[tokio::test]
async fn each_authentication_is_accepted_and_told_what_arrived_and_never_shown() {
    let gateway = Running::start();
    let request = || signed("AK", "secret", b"{}", 0);
    let unsigned = Payload::Declared(UNSIGNED_PAYLOAD);
    let unsigned = signed_as(["AK", "secret"], b"{}", 0, None, unsigned);
    let hash = PayloadHash::new(b"{}");
    let key = ["TEMPORARY", "secret"];
    let temporary = signed_as(key, b"{}", 0, Some("token"), Payload::Hash(&hash));
    for (auth, body_signed, request) in [
        ("aksk", true, request()),
        ("aksk", true, over_http2(request())),
        ("aksk", true, temporary),
        ("aksk", false, unsigned),
        ("app", true, signed("APP", "secret", b"{}", 0)),
        ("token", false, with(&[STAGE, TOKEN], 2)),
        ("app-code", false, with(&[STAGE, APP_CODE], 2)),
        ("api-key", false, with(&[STAGE, API_KEY], 2)),
    ] {
        let answer = gateway.send(request).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["auth"]), (200, &auth.into()));
        assert_eq!(body["body_signed"], body_signed, "{body}");
        assert_eq!(body["body_bytes"], 2);
        let host = json!(["host", "localhost"]);
        assert!(body["headers"].as_array().unwrap().contains(&host));
        assert!(!answer.text.contains("MARKER"), "{body}");
    }
    assert_eq!(gateway.counts.verified.load(Ordering::Relaxed), 8);
    let shown = format!("{:?}", accounts());
    assert!(!shown.contains("MARKER"), "{shown}");
}

#[tokio::test]
async fn refusals_have_the_gateway_s_words() {
    let gateway = Running::start();
    let (parts, _) = signed("AK", "secret", b"{}", 0).into_parts();
    let changed = Request::from_parts(parts, Full::from("[]"));
    let mut two = signed("AK", "secret", b"{}", 0);
    two.headers_mut().insert(TOKEN.0, TOKEN.1.parse().unwrap());
    let mut two_hosts = over_http2(signed("AK", "secret", b"{}", 0));
    two_hosts
        .headers_mut()
        .insert(HOST, "other".parse().unwrap());
    let long = with(&[("x-a", &"a".repeat(33 * 1024))], 0);
    let mut far = with(&[STAGE], 0);
    *far.uri_mut() = format!("/{}", "a".repeat(32 * 1024)).parse().unwrap();
    let other = |name| with(&[STAGE, (name, "Bearer other")], 2);
    let longest = 12 * 1024 * 1024;
    let mismatch =
        "401 APIG.0301 verify aksk signature fail, canonicalRequest:POST|/v1/a/b/|a=2&x=1|host:";
    let wrong_over_http2 = over_http2(signed("AK", "wrong", b"", 0));
    let wrong_app = signed("APP", "wrong", b"", 0);
    let expired = signed("AK", "secret", b"", -905);
    let other_key = signed("OTHER", "secret", b"", 0);
    let without_token = signed("TEMPORARY", "secret", b"", 0);
    for (request, expected) in [
        (changed, mismatch),
        (wrong_over_http2, "401 APIG.0301 verify aksk"),
        (expired, "401 APIG.0301 expired, signature time:2"),
        (other_key, "401 APIG.0301 ak:OTHER,err:ak not exist"),
        (without_token, "401 APIG.0301 ak not exist"),
        (wrong_app, "401 APIG.0303 verify signature fail"),
        (with(&[], 0), "404 APIG.0101 not been published"),
        (with(&[("x-stage", "TEST")], 0), "404 APIG.0101 not been"),
        (with(&[STAGE], 0), "401 APIG.0301 x-auth-token not found"),
        (other("x-auth-token"), "401 APIG.0301 decrypt token fail"),
        (other("x-apig-appcode"), "401 APIG.0303 specified appCode"),
        (other("authorization"), "401 ModelArts.81003 Invalid auth"),
        // Refused even if both are good.
        (two, "401 APIG.0301 more than one authentication"),
        (two_hosts, "400 APIG.0201 error"),
        (long, "494 APIG.0201 headers too large"),
        (far, "414 APIG.0201 URI too large"),
        (with(&[STAGE, API_KEY], longest + 1), "413 APIG.0201 entity"),
    ] {
        let answer = gateway.send(request).await;
        let body = answer.json();
        let [status, code, words] = expected.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("{expected}");
        };
        let got = (answer.status.to_string(), &body["error_code"]);
        assert_eq!(got, (status.to_owned(), &code.into()), "{expected}");
        assert_eq!(answer.headers["server"], "api-gateway");
        let message = body["error_msg"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    for passes in [
        with(&[STAGE, API_KEY], longest),
        with(&[STAGE, TOKEN], longest + 1),
    ] {
        assert_eq!(gateway.send(passes).await.status, 200);
    }
}

#[test]
fn six_failures_in_a_row_lock_a_key_for_five_minutes_and_apps_never() {
    let mut store = KeyStore::new(accounts());
    let now = Timestamp::UNIX_EPOCH;
    for matches in [false, false, false, false, false, true] {
        store.signed("AK", matches, now);
    }
    for _ in 0..6 {
        assert_eq!(
            store.key("AK", now),
            State::Valid,
            "a success resets the count"
        );
        store.signed("AK", false, now);
        store.signed("APP", false, now);
    }
    assert_eq!(store.key("AK", now), State::Locked);
    assert_eq!(
        (store.key("APP", now), store.owner("APP")),
        (State::Valid, Owner::App)
    );
    let later = now + SignedDuration::from_mins(5);
    assert_eq!(store.key("AK", later), State::Valid);
    store.signed("AK", false, later);
    assert_eq!(
        store.key("AK", later),
        State::Valid,
        "the end of a lock resets it"
    );
}
