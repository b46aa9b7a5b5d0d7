//! Every way of proving who sends a request, and what is said of those that prove nothing.

use std::sync::atomic::Ordering;

use secrecy::SecretString;

use super::running::Running;
use super::*;
use crate::emulator::{Accounts, Limits};

fn accounts() -> Accounts {
    Accounts {
        keys: vec![key("AK", None)],
        apps: vec![key("APP", None)],
        app_codes: vec!["MARKER-CODE".into()],
        api_keys: vec!["MARKER-KEY".into()],
        tokens: vec!["MARKER-TOKEN".into()],
        ..Accounts::default()
    }
}

fn with(headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    with_body(headers, Bytes::from_static(b"{}"))
}

fn with_body(headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/a")
        .header(HOST, "localhost")
        .header("x-stage", "RELEASE");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn each_authentication_is_accepted_and_named_and_never_shown() {
    let gateway = Running::with(accounts());
    let requests = [
        ("aksk", signed("AK", "secret", b"{}", NOW, None)),
        ("app", signed("APP", "secret", b"{}", NOW, None)),
        ("token", with(&[("x-auth-token", "MARKER-TOKEN")])),
        ("app-code", with(&[("x-apig-appcode", "MARKER-CODE")])),
        ("api-key", with(&[("authorization", "Bearer MARKER-KEY")])),
    ];
    for (mode, request) in requests {
        let (status, body) = gateway.send(request).await;
        assert_eq!((status.as_u16(), &body["auth"]), (200, &mode.into()));
        assert_eq!(body["verified"], true);
        let is_signed = ["aksk", "app"].contains(&mode);
        assert_eq!(body["body_signed"], is_signed, "{mode}");
        assert_eq!(body["access_key"].is_string(), is_signed, "{mode}");
        let text = body.to_string();
        assert!(!text.contains("MARKER"), "{text}");
        assert_eq!(text.contains("[redacted]"), !is_signed, "{text}");
    }
    assert_eq!(gateway.counts.verified.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn what_is_not_known_is_refused_in_the_gateway_s_words() {
    let gateway = Running::with(accounts());
    let iam = "Incorrect IAM authentication information: ";
    let app = "Incorrect app authentication information: ";
    let refusals = [
        (
            ("x-auth-token", "other"),
            "APIG.0301",
            format!("{iam}decrypt token fail"),
        ),
        (
            ("x-apig-appcode", "other"),
            "APIG.0303",
            format!("{app}app not found with specified appCode"),
        ),
        (
            ("authorization", "bearer other"),
            "ModelArts.81003",
            "Invalid authorization header.".to_owned(),
        ),
        (
            ("authorization", "Basic b3RoZXI="),
            "APIG.0301",
            format!("{iam}Unauthorized"),
        ),
    ];
    for (header, code, message) in refusals {
        let expected = (401, code.to_owned(), message);
        assert_eq!(gateway.code(with(&[header])).await, expected);
    }
}

#[tokio::test]
async fn an_app_s_signature_is_refused_as_an_app_s() {
    let gateway = Running::with(accounts());
    let (status, code, message) = gateway.code(signed("APP", "wrong", b"", NOW, None)).await;
    assert_eq!((status, code.as_str()), (401, "APIG.0303"));
    let start = "Incorrect app authentication information: verify signature fail, canonicalRequest:POST|/v1/a/b/|";
    assert!(message.starts_with(start), "{message}");
    let (_, code, message) = gateway
        .code(signed("APP", "secret", b"", NOW - 901, None))
        .await;
    assert_eq!(code, "APIG.0303");
    assert!(
        message.contains(": signature expired, signature time:20261124T"),
        "{message}"
    );
    // An id says nothing of whose it is: beside access keys it is taken for one of them.
    let unknown = || signed("OTHER", "secret", b"", NOW, None);
    assert_eq!(gateway.code(unknown()).await.1, "APIG.0301");
    let only_apps = Running::with(Accounts {
        keys: Vec::new(),
        ..accounts()
    });
    let (_, code, message) = only_apps.code(unknown()).await;
    assert_eq!(code, "APIG.0303");
    assert!(
        message.ends_with("app not found, appkey OTHER"),
        "{message}"
    );
}

#[tokio::test]
async fn an_app_is_not_locked_by_failures() {
    let gateway = Running::with(accounts());
    for _ in 0..7 {
        let refused = gateway.code(signed("APP", "wrong", b"", NOW, None)).await;
        assert_eq!(refused.1, "APIG.0303");
    }
    let accepted = gateway.send(signed("APP", "secret", b"", NOW, None)).await;
    assert_eq!(accepted.0, StatusCode::OK);
}

#[tokio::test]
async fn two_authentications_are_refused_even_if_both_are_good() {
    let gateway = Running::with(accounts());
    let mut both = signed("AK", "secret", b"{}", NOW, None);
    let token = "MARKER-TOKEN".parse().unwrap();
    both.headers_mut().insert("x-auth-token", token);
    let headers = [
        ("x-apig-appcode", "MARKER-CODE"),
        ("authorization", "Bearer MARKER-KEY"),
    ];
    for request in [both, with(&headers)] {
        let (status, code, message) = gateway.code(request).await;
        assert_eq!((status, code.as_str()), (401, "APIG.0301"));
        assert!(message.ends_with("more than one authentication"));
    }
}

#[tokio::test]
async fn a_token_lets_longer_bodies_pass_than_a_signature() {
    let limits = Limits {
        body: 10,
        body_with_token: 20,
    };
    let gateway = Running::with(Accounts {
        limits,
        ..accounts()
    });
    let of =
        |header: (&str, &str), length: usize| with_body(&[header], Bytes::from(vec![b'a'; length]));
    let token = ("x-auth-token", "MARKER-TOKEN");
    let (status, body) = gateway.send(of(token, 20)).await;
    assert_eq!(
        (status.as_u16(), body["body_bytes"].as_u64()),
        (200, Some(20))
    );
    assert_eq!(gateway.code(of(token, 21)).await.0, 413);
    for header in [
        ("x-apig-appcode", "MARKER-CODE"),
        ("authorization", "Bearer MARKER-KEY"),
    ] {
        assert_eq!(gateway.send(of(header, 10)).await.0, StatusCode::OK);
        assert_eq!(gateway.code(of(header, 11)).await.0, 413);
    }
    let long = signed("AK", "secret", b"01234567890", NOW, None);
    assert_eq!(gateway.code(long).await.0, 413);
}

#[tokio::test]
async fn the_default_lets_13_mib_pass_with_a_token() {
    let gateway = Running::with(accounts());
    let body = Bytes::from(vec![0; 13 * 1024 * 1024]);
    let request = with_body(&[("x-auth-token", "MARKER-TOKEN")], body);
    assert_eq!(gateway.send(request).await.0, StatusCode::OK);
}

#[test]
fn accounts_do_not_show_their_secrets() {
    let secret = || SecretString::from("MARKER");
    let accounts = Accounts {
        keys: vec![Credentials {
            secret_key: secret(),
            ..key("AK", Some("MARKER"))
        }],
        app_codes: vec![secret()],
        api_keys: vec![secret()],
        tokens: vec![secret()],
        pod_token: Some(secret()),
        ..Accounts::default()
    };
    let shown = format!("{accounts:?}");
    assert!(!shown.contains("MARKER"), "{shown}");
}
