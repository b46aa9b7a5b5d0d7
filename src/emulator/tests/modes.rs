//! Every way of authentication, and what is said of requests that prove nothing.

use std::sync::atomic::Ordering;

use super::*;
use crate::emulator::Accounts;

fn accounts() -> Accounts {
    Accounts {
        keys: vec![key("AK", None)],
        apps: vec![key("APP", None)],
        app_codes: vec!["MARKER-CODE".into()],
        api_keys: vec!["MARKER-KEY".into()],
        tokens: vec!["MARKER-TOKEN".into()],
        pod_token: Some("MARKER".into()),
        ..Accounts::default()
    }
}

const TOKEN: (&str, &str) = ("x-auth-token", "MARKER-TOKEN");
const APP_CODE: (&str, &str) = ("x-apig-appcode", "MARKER-CODE");
const API_KEY: (&str, &str) = ("authorization", "Bearer MARKER-KEY");

fn with(headers: &[(&str, &str)], length: usize) -> Request<Full<Bytes>> {
    let mut request = Request::post("/v1/a").header(HOST, "localhost");
    for (name, value) in [("x-stage", "RELEASE")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    request.body(Full::from(vec![b'a'; length])).unwrap()
}

#[tokio::test]
async fn each_authentication_is_accepted_and_named_and_never_shown() {
    let gateway = Running::with(accounts());
    for (mode, request) in [
        ("aksk", signed("AK", "secret", b"{}", NOW, None)),
        ("app", signed("APP", "secret", b"{}", NOW, None)),
        ("token", with(&[TOKEN], 2)),
        ("app-code", with(&[APP_CODE], 2)),
        ("api-key", with(&[API_KEY], 2)),
    ] {
        let answer = gateway.send(request).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["auth"]), (200, &mode.into()));
        let is_signed = ["aksk", "app"].contains(&mode);
        assert_eq!(body["body_signed"], is_signed, "{mode}");
        assert_eq!(body["access_key"].is_string(), is_signed, "{mode}");
        assert!(!answer.text.contains("MARKER"), "{body}");
        assert_eq!(answer.text.contains("[redacted]"), !is_signed, "{body}");
    }
    assert_eq!(gateway.counts.verified.load(Ordering::Relaxed), 5);
    let shown = format!("{:?}", accounts());
    assert!(!shown.contains("MARKER"), "{shown}");
}

#[tokio::test]
async fn unknown_identities_are_refused_in_the_gateway_s_words() {
    let gateway = Running::with(accounts());
    let mut two = signed("AK", "secret", b"{}", NOW, None);
    two.headers_mut().insert(TOKEN.0, TOKEN.1.parse().unwrap());
    let basic = [("authorization", "Basic b3RoZXI=")];
    let bearer = [("authorization", "bearer other")];
    let (iam, app) = ("APIG.0301", "APIG.0303");
    for (request, code, words) in [
        (
            with(&[("x-auth-token", "other")], 2),
            iam,
            "decrypt token fail",
        ),
        (
            with(&[("x-apig-appcode", "other")], 2),
            app,
            "app not found with specified appCode",
        ),
        (
            with(&bearer, 2),
            "ModelArts.81003",
            "Invalid authorization header.",
        ),
        (with(&basic, 2), iam, "Unauthorized"),
        // Refused even if both are good.
        (two, iam, "more than one authentication"),
        (
            with(&[APP_CODE, API_KEY], 2),
            iam,
            "more than one authentication",
        ),
        (
            signed("APP", "wrong", b"", NOW, None),
            app,
            "verify signature fail, canonicalRequest:POST|/v1/a/b/|",
        ),
        (
            signed("APP", "secret", b"", NOW - 901, None),
            app,
            "signature expired, signature time:20261124T",
        ),
        // An id says nothing of whose it is: beside access keys it is taken for one of them.
        (
            signed("OTHER", "secret", b"", NOW, None),
            iam,
            "Get secretKey failed",
        ),
    ] {
        let (status, got, message) = gateway.refused(request).await;
        assert_eq!((status, got.as_str()), (401, code), "{message}");
        let prefix = match code {
            "APIG.0301" => "Incorrect IAM authentication information: ",
            "APIG.0303" => "Incorrect app authentication information: ",
            _ => "",
        };
        assert!(
            message.starts_with(&format!("{prefix}{words}")),
            "{message}"
        );
    }
    let only_apps = Running::with(Accounts {
        keys: Vec::new(),
        ..accounts()
    });
    let unknown = signed("OTHER", "secret", b"", NOW, None);
    let (_, code, message) = only_apps.refused(unknown).await;
    assert_eq!(code, "APIG.0303");
    assert!(
        message.ends_with("app not found, appkey OTHER"),
        "{message}"
    );
}

#[tokio::test]
async fn a_token_lets_longer_bodies_pass_than_other_authentication() {
    let gateway = Running::with(accounts());
    let longest = 12 * 1024 * 1024;
    for header in [APP_CODE, API_KEY] {
        assert_eq!(gateway.send(with(&[header], longest)).await.status, 200);
        assert_eq!(gateway.send(with(&[header], longest + 1)).await.status, 413);
    }
    assert_eq!(gateway.send(with(&[TOKEN], longest + 1)).await.status, 200);
}
