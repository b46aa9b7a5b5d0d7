//! The emulated gateway, called over TLS with requests that are signed by hand.

mod backend;
mod cloud;
mod modes;
mod running;

use std::io::{Read, Seek};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Parts, Scheme};
use http::{Request, Uri};
use http_body_util::Full;
use running::{Answer, Running};

use crate::credentials::Credentials;
use crate::emulator::Accounts;
use crate::signature::{
    CanonicalRequest, Payload, PayloadHash, Signer, SigningDate, Target, UNSIGNED_PAYLOAD,
};

const NOW: i64 = 1_795_507_200;

fn key(access_key: &str, token: Option<&str>) -> Credentials {
    Credentials {
        access_key: access_key.to_owned(),
        secret_key: "secret".into(),
        security_token: token.map(Into::into),
    }
}

/// A POST that is signed with this key, secret and token at this time.
fn signed(
    access_key: &str,
    secret: &str,
    body: &'static [u8],
    at: i64,
    token: Option<&str>,
) -> Request<Full<Bytes>> {
    let hash = PayloadHash::new(body);
    signed_as([access_key, secret], body, at, token, Payload::Hash(&hash))
}

fn signed_as(
    [access_key, secret]: [&str; 2],
    body: &'static [u8],
    at: i64,
    token: Option<&str>,
    payload: Payload<'_>,
) -> Request<Full<Bytes>> {
    let date = SigningDate::from_unix_seconds(at).unwrap();
    let target = Target::parse("/v1/a%2Fb?x=1&a=2").unwrap();
    let mut headers = vec![("host", "localhost"), ("x-stage", "RELEASE")];
    headers.extend(token.map(|token| ("x-security-token", token)));
    let canonical = CanonicalRequest::new("POST", target, &headers, &date, payload).unwrap();
    let signature = Signer::new(access_key, &secret.into()).sign(&canonical);
    let mut request = Request::post("/v1/a%2Fb?x=1&a=2").header("x-sdk-date", date.as_str());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Payload::Declared(value) = payload {
        request = request.header("x-sdk-content-sha256", value);
    }
    let request = request.header("authorization", signature);
    request.body(Full::from(body)).unwrap()
}

/// The request as HTTP/2 sends it: `:authority` instead of `Host`.
fn with_authority<B>(mut request: Request<B>) -> Request<B> {
    let host = request.headers_mut().remove(HOST).unwrap();
    let mut parts = Parts::from(request.uri().clone());
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(host.to_str().unwrap().parse().unwrap());
    *request.uri_mut() = Uri::from_parts(parts).unwrap();
    request
}

#[tokio::test]
async fn a_signed_request_is_verified_over_both_protocols_and_told_what_arrived() {
    let gateway = Running::start(None);
    let request = || signed("AK", "secret", b"{}", NOW, None);
    let over_http2 = gateway.over_http2(with_authority(request())).await;
    for answer in [
        gateway.send(request()).await,
        Answer::read(over_http2).await,
    ] {
        let body = answer.json();
        for (name, value) in [
            ("body_bytes", 2.into()),
            ("path", "/v1/a%2Fb".into()),
            ("query", "x=1&a=2".into()),
            ("method", "POST".into()),
            ("access_key", "AK".into()),
            ("body_signed", true.into()),
        ] {
            assert_eq!((answer.status, &body[name]), (200, &value), "{body}");
        }
        let host = vec!["host", "localhost"].into();
        assert!(
            body["headers"].as_array().unwrap().contains(&host),
            "{body}"
        );
    }
    let payload = Payload::Declared(UNSIGNED_PAYLOAD);
    let unsigned = signed_as(["AK", "secret"], b"file", NOW, None, payload);
    let answer = gateway.send(unsigned).await;
    assert_eq!(
        (answer.status, &answer.json()["body_signed"]),
        (200, &false.into())
    );
}

#[tokio::test]
async fn refusals_have_the_gateway_s_words() {
    let gateway = Running::start(None);
    let (parts, _) = signed("AK", "secret", b"{}", NOW, None).into_parts();
    let changed = Request::from_parts(parts, Full::from("[]"));
    let bare = |stage: &str| {
        let request = Request::get("/").header(HOST, "localhost");
        request
            .header("x-stage", stage)
            .body(Full::default())
            .unwrap()
    };
    let without_stage = Request::get("/").header(HOST, "localhost");
    let without_stage = without_stage.body(Full::default()).unwrap();
    let mismatch = "Incorrect IAM authentication information: verify aksk signature fail, \
                    canonicalRequest:POST|/v1/a/b/|a=2&x=1|host:localhost|";
    let expired = signed("AK", "secret", b"", NOW - 901, None);
    let unknown = signed("OTHER", "secret", b"", NOW, None);
    let without_token = signed("TEMPORARY", "secret", b"", NOW, None);
    for (request, status, words) in [
        (changed, 401, mismatch),
        (expired, 401, "signature expired, signature time:20261124T"),
        (
            unknown,
            401,
            "Get secretKey failed,ak:OTHER,err:ak not exist",
        ),
        (without_token, 401, "ak not exist"),
        (without_stage, 404, "not been published"),
        (bare("TEST"), 404, "not been published"),
        (bare("RELEASE"), 401, "x-auth-token not found"),
    ] {
        let (got, code, message) = gateway.refused(request).await;
        let expected = if status == 401 {
            "APIG.0301"
        } else {
            "APIG.0101"
        };
        assert_eq!((got, code.as_str()), (status, expected), "{message}");
        assert!(message.contains(words), "{message}");
    }
    for accepted in [
        signed("AK", "secret", b"", NOW + 900, None),
        signed("TEMPORARY", "secret", b"", NOW, Some("token")),
    ] {
        assert_eq!(gateway.send(accepted).await.status, 200);
    }
}

#[tokio::test]
async fn each_request_is_logged_with_its_outcome() {
    let mut log = tempfile::tempfile().unwrap();
    let writer = std::sync::Arc::new(log.try_clone().unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    // With a second one, each call site asks all of them, and not only that of the thread which
    // reaches it first.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let gateway = Running::start(None);
    for secret in ["secret", "wrong"] {
        gateway.send(signed("AK", secret, b"{}", NOW, None)).await;
    }
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    for line in ["200 verified", "401 APIG.0301"] {
        let line = format!("gateway: POST /v1/a%2Fb {line}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test]
async fn refusals_over_http2_are_those_of_http1() {
    let gateway = Running::start(None);
    let request = |secret| with_authority(signed("AK", secret, b"{}", NOW, None));
    let (wrong, mut two_hosts, mut long) = (request("wrong"), request("secret"), request("secret"));
    two_hosts
        .headers_mut()
        .insert(HOST, "other".parse().unwrap());
    let value = "a".repeat(33 * 1024).parse().unwrap();
    long.headers_mut().insert("x-a", value);
    for (request, status) in [(wrong, 401), (two_hosts, 400), (long, 494)] {
        assert_eq!(gateway.over_http2(request).await.status(), status);
    }
}

#[tokio::test]
async fn six_failures_in_a_row_lock_a_key_for_five_minutes() {
    let gateway = Running::start(None);
    let with = |secret, at| signed("AK", secret, b"", at, None);
    for _ in 0..5 {
        assert_eq!(gateway.send(with("wrong", NOW)).await.status, 401);
    }
    let accepted = gateway.send(with("secret", NOW)).await;
    assert_eq!(accepted.status, 200, "a success resets the count");
    for _ in 0..6 {
        let (_, _, message) = gateway.refused(with("wrong", NOW)).await;
        assert!(message.contains("verify aksk"), "{message}");
    }
    for secret in ["wrong", "secret"] {
        let (_, _, message) = gateway.refused(with(secret, NOW)).await;
        assert!(
            message.ends_with("AK access failed to reach the limit,forbidden."),
            "{message}"
        );
    }
    gateway.wait(300_000);
    assert_eq!(gateway.send(with("wrong", NOW + 300)).await.status, 401);
    let accepted = gateway.send(with("secret", NOW + 300)).await;
    assert_eq!(accepted.status, 200, "an expired lock resets the count");
    // Apps are not locked.
    let apps = Running::with(Accounts {
        apps: vec![key("APP", None)],
        ..Accounts::default()
    });
    for _ in 0..7 {
        let wrong = signed("APP", "wrong", b"", NOW, None);
        assert_eq!(apps.send(wrong).await.status, 401);
    }
    let accepted = apps.send(signed("APP", "secret", b"", NOW, None)).await;
    assert_eq!(accepted.status, 200);
}

#[tokio::test]
async fn sizes_are_limited_as_documented() {
    let gateway = Running::start(None);
    let body: &'static [u8] = Box::leak(vec![b'a'; 12 * 1024 * 1024 + 1].into_boxed_slice());
    let longest = signed("AK", "secret", &body[1..], NOW, None);
    assert_eq!(gateway.send(longest).await.status, 200);
    let refused = gateway
        .refused(signed("AK", "secret", body, NOW, None))
        .await;
    let expected = (
        413,
        "APIG.0201".to_owned(),
        "Request entity too large.".to_owned(),
    );
    assert_eq!(refused, expected);
    for (target, header, status) in [(32 * 1024, 0, 414), (1, 33 * 1024, 494)] {
        let request = Request::get(format!("/{}", "a".repeat(target)))
            .header(HOST, "localhost")
            .header("x-a", "a".repeat(header));
        let request = request.body(Full::default()).unwrap();
        assert_eq!(gateway.send(request).await.status, status);
    }
}
