//! Wrong credentials are refused before anything is sent, and do not affect the real key.

use apig_proxy::clock;
use apig_proxy::config::{AuthMode, LargeBody, Rights};
use apig_proxy::signature::{PayloadHash, Signer, SigningDate};

use super::{Signed, Stage};
use crate::credentials::shown_as;
use crate::support::{Upstream, request, rows};

#[test]
fn a_wrong_signature_is_refused_with_what_differs_and_nothing_is_forwarded() {
    let stage = Stage::new(Rights::default());
    let right = || Signed::new(&stage, "POST /v1", b"{}");
    let signed = |change: &dyn Fn(&mut Signed<'_>)| {
        let mut signed = right();
        change(&mut signed);
        String::from_utf8(signed.bytes()).unwrap()
    };
    let old = SigningDate::from_unix_seconds(clock::unix_seconds() - 16 * 60).unwrap();
    let unknown = || Signer::new("APXUNKNOWN0000000000", &"secret".into());
    let hash = PayloadHash::new(b"{}").as_str().to_owned();
    let altered = rows(
        "
        X-Sdk-Date | X-Other-Date | a signed header is missing: x-sdk-date
        host;x-sdk-date | host | x-sdk-date is not signed
        Signature= | Sig= | authorization is not of the form
        POST /v1 | POST /v2 | the signature does not match
        POST | PUT | the method was signed as `POST`
        POST /v1 | POST /v1?b=1 | the query was signed as empty
        {} | #! | the body was signed as `{}`",
    );
    let altered = altered.map(|[from, to, said]| (signed(&|_| {}).replace(from, to), said));
    let unknown = signed(&|signed| signed.signer = unknown());
    let expired = signed(&|signed| signed.date = old);
    let declared = signed(&|signed| signed.declared = Some(hash.clone()));
    let wrong = [
        (unknown, "the access key is not known"),
        (expired, "the signature has expired"),
        (declared.replace("{}", "[]"), "the body is not the one"),
    ];
    let mut passed = 0;
    for (bytes, expected) in altered.chain(wrong) {
        let answer = stage.proxy.exchange(&bytes);
        answer
            .about(expected)
            .assert_refused(401, "caller_signature");
        answer.assert_says(expected);
        // Neither a value of the caller nor the expected signature is shown.
        assert!(!answer.text().contains(&stage.caller.access_key));
        // The right signature still passes.
        stage.proxy.passes(right().bytes());
        assert_eq!(stage.upstream.requests().pop().unwrap().target(), "/v1");
        passed += 1;
    }
    for fields in [
        "",
        "Authorization: Bearer sk-own",
        "Authorization: Bearer apx_wrong",
        "X-Apig-Proxy-Token: own",
        "X-Apig-Proxy-Token: apx_wrong",
        &format!("{0}|{0}", stage.bearer()),
    ] {
        let answer = stage.proxy.exchange(request("GET /v1", fields, ""));
        answer.about(fields).assert_refused(401, "caller_required");
    }
    let answer = stage.proxy.get(&format!("/~{}/v1", "0".repeat(32)));
    answer.assert_refused(401, "caller_required");
    assert_eq!(stage.upstream.requests().len(), passed);
    let metrics = stage.proxy.metrics();
    assert!(metrics.value("apig_proxy_key_locked", "") < 0.5);
}

#[test]
fn several_wrong_signatures_limit_their_caller_and_no_other() {
    let stage = Stage::new(Rights::default());
    let wrong = |head, body| {
        let mut signed = Signed::new(&stage, head, body);
        signed.signer = Signer::new(&stage.caller.access_key, &"another".into());
        signed.bytes()
    };
    // What is only known with the body counts, too.
    for (head, body) in [("GET /v1", &b""[..]), ("POST /v1", b"{}")]
        .into_iter()
        .cycle()
        .take(5)
    {
        let answer = stage.proxy.exchange(wrong(head, body));
        answer.assert_refused(401, "caller_signature");
    }
    let answer = stage.proxy.exchange(wrong("GET /v1", b""));
    answer.assert_refused(429, "caller_limited");
    let after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    // The right signature is limited too, and a token is not.
    let right = Signed::new(&stage, "GET /v1", b"").bytes();
    stage
        .proxy
        .exchange(right)
        .assert_refused(429, "caller_limited");
    assert!(stage.upstream.requests().is_empty());
    stage.proxy.passes(request("GET /v1", &stage.bearer(), ""));
}

#[test]
fn no_100_continue_is_sent_for_a_refused_head() {
    let stage = Stage::new(Rights::default());
    let head = "Expect: 100-continue|Content-Length: 1000";
    let mut client = stage.proxy.client();
    let answer = client.send(request("POST /v1", head, "")).answer();
    answer.assert_refused(401, "caller_required");
    let mut signed = Signed::new(&stage, "POST /v1", b"");
    signed.signer = Signer::new(&stage.caller.access_key, &"another".into());
    signed.declared = Some("0123".to_owned());
    signed.fields = head;
    let answer = stage.proxy.client().send(signed.bytes()).answer();
    answer.assert_refused(401, "caller_signature");
}

#[test]
fn a_signed_body_that_never_finds_room_is_refused_with_what_helps() {
    let upstream = Upstream::start();
    let (shown, _folder) = shown_as(&upstream, AuthMode::default(), "MIITOKENtoken0123456789");
    let stage = Stage::before(upstream, Rights::default(), |config| {
        config.credentials = shown.credentials;
        config.routes[0].large_body = LargeBody::Token { unknown: true };
        config.limits.body = 1000;
        config.limits.buffered = 2000;
        config.limits.large_body = 10_000;
    });
    let body = [b'a'; 2001];
    for (length, is_declared) in [(2000, true), (2001, true), (2000, false), (2001, false)] {
        let mut signed = Signed::new(&stage, "POST /v1", &body[..length]);
        signed.declared = is_declared.then(|| signed.hash().as_str().to_owned());
        for bytes in [signed.bytes(), signed.bytes_in(&[&body[..length]])] {
            let answer = stage.proxy.exchange(bytes);
            if length == 2000 {
                answer.assert_status(200);
                continue;
            }
            answer.assert_refused(413, "body_too_large");
            answer.assert_says("raise `limits.buffered`");
        }
    }
}
