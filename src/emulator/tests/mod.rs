//! The emulated gateway, called over TLS with requests that are signed by hand.

mod backend;
mod cloud;
mod http2;
mod modes;
mod running;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use running::Running;

use crate::credentials::Credentials;
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

/// A signed POST.
fn signed(
    access_key: &str,
    secret: &str,
    body: &'static [u8],
    at: i64,
    token: Option<&str>,
) -> Request<Full<Bytes>> {
    signed_as(
        access_key,
        secret,
        body,
        at,
        token,
        Payload::Hash(&PayloadHash::of(body)),
    )
}

fn signed_as(
    access_key: &str,
    secret: &str,
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
    request
        .header("authorization", signature)
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_signed_request_is_verified_and_told_what_arrived() {
    let gateway = Running::start();
    let (status, body) = gateway.send(signed("AK", "secret", b"{}", NOW, None)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let expected = [
        ("path", "/v1/a%2Fb"),
        ("query", "x=1&a=2"),
        ("method", "POST"),
        ("access_key", "AK"),
    ];
    for (name, value) in expected {
        assert_eq!(body[name], value);
    }
    assert_eq!(
        (body["body_bytes"].as_u64(), body["body_signed"].as_bool()),
        (Some(2), Some(true))
    );
    let unsigned = signed_as(
        "AK",
        "secret",
        b"file",
        NOW,
        None,
        Payload::Declared(UNSIGNED_PAYLOAD),
    );
    let (status, body) = gateway.send(unsigned).await;
    assert_eq!(
        (status.as_u16(), body["body_signed"].as_bool()),
        (200, Some(false))
    );
}

#[tokio::test]
async fn a_changed_body_is_refused_with_the_canonical_request() {
    let gateway = Running::start();
    let (parts, _) = signed("AK", "secret", b"{}", NOW, None).into_parts();
    let (status, code, message) = gateway
        .code(Request::from_parts(parts, Full::from("[]")))
        .await;
    assert_eq!((status, code.as_str()), (401, "APIG.0301"));
    let start = "Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:POST|/v1/a/b/|a=2&x=1|host:localhost|";
    assert!(message.starts_with(start), "{message}");
}

#[tokio::test]
async fn other_refusals_have_the_gateway_s_words() {
    let gateway = Running::start();
    let (_, _, message) = gateway
        .code(signed("AK", "secret", b"", NOW - 901, None))
        .await;
    assert!(
        message.contains("signature expired, signature time:20261124T"),
        "{message}"
    );
    assert_eq!(
        gateway
            .send(signed("AK", "secret", b"", NOW + 900, None))
            .await
            .0,
        StatusCode::OK
    );
    let (_, _, message) = gateway
        .code(signed("OTHER", "secret", b"", NOW, None))
        .await;
    assert!(
        message.ends_with("Get secretKey failed,ak:OTHER,err:ak not exist"),
        "{message}"
    );
    let (_, _, message) = gateway
        .code(signed("TEMPORARY", "secret", b"", NOW, None))
        .await;
    assert!(message.contains("ak not exist"), "{message}");
    assert_eq!(
        gateway
            .send(signed("TEMPORARY", "secret", b"", NOW, Some("token")))
            .await
            .0,
        StatusCode::OK
    );

    let bare = |stage: Option<&str>| {
        let mut request = Request::get("/").header(HOST, "localhost");
        request = stage
            .into_iter()
            .fold(request, |request, stage| request.header("x-stage", stage));
        request.body(Full::default()).unwrap()
    };
    assert_eq!(gateway.code(bare(None)).await.1, "APIG.0101");
    assert_eq!(gateway.code(bare(Some("TEST"))).await.0, 404);
    let (status, _, message) = gateway.code(bare(Some("RELEASE"))).await;
    assert_eq!(
        (status, message.ends_with("x-auth-token not found")),
        (401, true)
    );
}

#[tokio::test]
async fn six_failures_in_a_row_lock_a_key_for_five_minutes() {
    let gateway = Running::start();
    for _ in 0..5 {
        assert_eq!(
            gateway.code(signed("AK", "wrong", b"", NOW, None)).await.0,
            401
        );
    }
    assert_eq!(
        gateway.send(signed("AK", "secret", b"", NOW, None)).await.0,
        StatusCode::OK,
        "a success starts anew"
    );
    for _ in 0..6 {
        assert!(
            gateway
                .code(signed("AK", "wrong", b"", NOW, None))
                .await
                .2
                .contains("verify aksk")
        );
    }
    for secret in ["wrong", "secret"] {
        let (_, _, message) = gateway.code(signed("AK", secret, b"", NOW, None)).await;
        assert!(
            message.ends_with("AK access failed to reach the limit,forbidden."),
            "{message}"
        );
    }
    gateway.wait(300_000);
    assert_eq!(
        gateway
            .send(signed("AK", "secret", b"", NOW + 300, None))
            .await
            .0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn sizes_are_limited_as_documented() {
    let gateway = Running::start();
    let body: &'static [u8] = Box::leak(vec![b'a'; 12 * 1024 * 1024 + 1].into_boxed_slice());
    assert_eq!(
        gateway
            .send(signed("AK", "secret", &body[1..], NOW, None))
            .await
            .0,
        StatusCode::OK
    );
    let (status, code, message) = gateway.code(signed("AK", "secret", body, NOW, None)).await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (413, "APIG.0201", "Request entity too large.")
    );
    let with = |uri: String, headers: HeaderMap| {
        let mut request = Request::get(uri)
            .header(HOST, "localhost")
            .body(Full::default())
            .unwrap();
        request.headers_mut().extend(headers);
        request
    };
    assert_eq!(
        gateway
            .code(with(
                format!("/{}", "a".repeat(32 * 1024)),
                HeaderMap::new()
            ))
            .await
            .0,
        414
    );
    let long = HeaderMap::from_iter([(
        "x-a".parse().unwrap(),
        "a".repeat(33 * 1024).parse().unwrap(),
    )]);
    assert_eq!(gateway.code(with("/".to_owned(), long)).await.0, 494);
}
