//! Refusals of the gateway: numbers 57 to 59.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use apig_proxy::clock;
use apig_proxy::signature::SigningDate;

use crate::support::{Answer, Received, Scene, Upstream, answer, gateway_error, ok, rows};

const GET: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &str = "POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
const MULTIPART: &str = "POST /m HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 2\r\n\r\n{}";

/// A refusal in the gateway's words.
fn refusal(message: &str) -> String {
    let message = format!("Incorrect IAM authentication information: {message}");
    gateway_error("401 Unauthorized", "APIG.0301", &message)
}

/// A gateway whose clock is so many seconds ahead, and which refuses dates that are 15 minutes off.
fn ahead(seconds: &Arc<AtomicI64>) -> Upstream {
    let seconds = Arc::clone(seconds);
    Upstream::replying(move |seen| {
        let now = clock::unix_seconds() + seconds.load(Ordering::SeqCst);
        let signed = SigningDate::parse(seen.header("x-sdk-date")).unwrap();
        if (signed.unix_seconds() - now).abs() > 900 {
            let now = SigningDate::from_unix_seconds(now).unwrap();
            refusal(&format!(
                "calc aksk signature fail:signature expired, signature time:{signed},server time:{now}"
            ))
        } else {
            ok("ok")
        }
    })
}

/// A gateway that refuses every date, and names another time in each refusal.
pub(super) fn never_content() -> Upstream {
    let turn = AtomicI64::new(1);
    Upstream::replying(move |_| {
        let ahead = 3600 * turn.fetch_add(1, Ordering::SeqCst);
        let server = SigningDate::from_unix_seconds(clock::unix_seconds() + ahead).unwrap();
        refusal(&format!("signature expired, server time:{server}"))
    })
}

/// The `Date` of an answer of a gateway whose clock is so many seconds ahead.
fn date_field(ahead: i64) -> String {
    let told = jiff::Timestamp::from_second(clock::unix_seconds() + ahead).unwrap();
    format!("date: {}\r\n", told.strftime("%a, %d %b %Y %H:%M:%S GMT"))
}

/// How far the date of a request is ahead of this machine's clock.
fn date_ahead(seen: &Received) -> i64 {
    let signed = SigningDate::parse(seen.header("x-sdk-date")).unwrap();
    signed.unix_seconds() - clock::unix_seconds()
}

#[test]
fn fault_57_a_refused_date_is_learned_from_and_the_request_sent_once_more() {
    for seconds in [1200, -1200, 100_000] {
        for request in [GET, POST] {
            let scene = Scene::before(ahead(&Arc::new(AtomicI64::new(seconds))));
            let mut client = scene.client();
            client.send(request).answer().assert_text(200, "ok");
            let seen = scene.upstream.requests();
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert_eq!(seen[0].line, seen[1].line);
            assert_eq!(seen[0].body, seen[1].body);
            let off = date_ahead(&seen[1]) - seconds;
            assert!((-5..=1).contains(&off), "{off}");
            seen.iter().for_each(|seen| drop(seen.verified()));
            // The offset is known now.
            for _ in 0..3 {
                client.send(request).answer().assert_status(200);
            }
            assert_eq!(scene.upstream.requests().len(), 5);
        }
    }
}

#[test]
fn fault_57_a_gateway_whose_clock_is_set_is_followed() {
    let seconds = Arc::new(AtomicI64::new(1200));
    let scene = Scene::before(ahead(&seconds));
    for (set, expected) in [(1200, 2), (1200, 3), (-1200, 5), (0, 7), (0, 8)] {
        seconds.store(set, Ordering::SeqCst);
        scene.passes(GET);
        assert_eq!(scene.upstream.requests().len(), expected, "{set}");
    }
}

#[test]
fn fault_57_a_second_refusal_passes_through_and_so_does_that_of_a_streamed_body() {
    let scene = Scene::before(ahead(&Arc::new(AtomicI64::new(1200))));
    let refused = scene.exchange(MULTIPART);
    assert_eq!(refused.status, 401);
    refused.assert_hints("seconds");
    assert_eq!(scene.upstream.requests().len(), 1);
    // The offset was learned all the same.
    scene.passes(MULTIPART);
    assert_eq!(scene.upstream.requests().len(), 2);

    let scene = Scene::before(never_content());
    scene.exchange(GET).assert_status(401);
    assert_eq!(scene.upstream.requests().len(), 2);

    // An absurd time, and none at all: a temporary key may have expired. Then nothing is believed that contradicts the
    // date that was sent.
    let server = |ahead| SigningDate::from_unix_seconds(clock::unix_seconds() + ahead).unwrap();
    for message in [
        "signature expired, signature time:20260101T000000Z,server time:19700101T000000Z",
        "calc ak sk signature fail:signature expired",
        &format!(
            "signature expired, signature time:20260101T000000Z,server time:{}",
            server(3600)
        ),
        &format!("signature expired, server time:{}", server(600)),
    ] {
        // The date of the answer shows that no other date helps.
        let dated = refusal(message).replacen("\r\n", &format!("\r\n{}", date_field(0)), 1);
        let scene = Scene::before(Upstream::answering(dated));
        let refused = scene.exchange(GET);
        assert_eq!(refused.status, 401, "{message}");
        assert_eq!(scene.upstream.requests().len(), 1, "{message}");
        assert!(date_ahead(&scene.upstream.requests()[0]).abs() < 60);
    }
}

#[test]
fn fault_57_without_correction_the_hint_names_the_seconds() {
    let scene = Scene::with(ahead(&Arc::new(AtomicI64::new(1200))), |config| {
        config.corrects_clock = false;
    });
    let refused = scene.exchange(GET);
    assert_eq!(refused.status, 401);
    let hint = refused.header("x-apig-proxy-hint");
    let names_them = (1195..=1205).any(|seconds| hint.contains(&seconds.to_string()));
    assert!(names_them && hint.contains("clock.correct"), "{hint}");
    assert_eq!(scene.upstream.requests().len(), 1);
}

#[test]
fn fault_57_the_date_of_answers_keeps_the_clock_right_before_anything_is_refused() {
    // That of a cached answer is older than the answer.
    for (cached, expected) in [("", 600), ("age: 600\r\n", 0)] {
        let scene = Scene::before(Upstream::replying(move |_| {
            answer("200 OK", &(date_field(600) + cached), "ok")
        }));
        for _ in 0..2 {
            scene.passes(GET);
        }
        let seen = scene.upstream.requests();
        assert!(date_ahead(&seen[0]).abs() < 30);
        assert!((date_ahead(&seen[1]) - expected).abs() < 30, "{cached}");
        let upstream = format!("upstream={}", scene.upstream.address);
        let metrics = scene.proxy.metrics();
        let skew = metrics.value("apig_proxy_clock_skew_seconds", &upstream) - expected as f64;
        assert!(skew.abs() <= 2.0, "{skew}");
    }
}

/// Checks that the answer is relayed unchanged and the request not retried, whatever its method.
fn passes_through(bytes: &str) -> Answer {
    let body = bytes.split_once("\r\n\r\n").unwrap().1;
    let [_, of_post] = [GET, POST].map(|request| {
        let scene = Scene::before(Upstream::answering(bytes));
        let got = scene.exchange(request);
        assert_eq!(scene.upstream.requests().len(), 1, "it was sent again");
        assert_eq!(got.text(), body);
        got
    });
    of_post
}

#[test]
fn fault_58_refusals_pass_through_once_with_a_hint() {
    for [status, code, message, hint] in rows("
        401 | APIG.0301 | verify aksk signature fail, canonicalRequest:POST|/p/||host:x||host|00 | host
        401 | APIG.0301 | Get secretKey failed,ak:X,err:ak not exist | access key
        401 | APIG.0301 | AK access failed to reach the limit,forbidden. | five minutes
        403 | ModelArts.4116 | arrears | account
        404 | APIG.0101 | The API does not exist | stage") {
        let got = passes_through(&gateway_error(&format!("{status} Refused"), code, message));
        got.about(message).assert_hints(hint);
        assert!(!got.header("x-apig-proxy-hint").contains("SKTEST"));
    }
    // Errors of a backend get no hint.
    let got = passes_through(&answer(
        "403 Forbidden",
        "x-apig-proxy-hint: forged\r\n",
        "no",
    ));
    got.assert_without(&["x-apig-proxy-hint"]);
}

#[test]
fn fault_59_throttling_passes_through_and_is_not_tried_again() {
    let slow = "{\"error_code\":\"APIG.0308\",\"error_msg\":\"slow\"}";
    for (status, body, hints) in [
        ("429 Too Many Requests", slow, 1),
        ("503 Service Unavailable", "{}", 0),
    ] {
        let got = passes_through(&answer(status, "retry-after: 7\r\n", body));
        assert_eq!(got.header("retry-after"), "7");
        assert_eq!(got.all("x-apig-proxy-hint").len(), hints, "{status}");
    }
}
