//! Heads, and targets in them.

use super::*;

#[tokio::test]
async fn secrets_in_heads_are_hidden_and_the_rest_is_shown() {
    for (name, value, shown) in [
        ("x-own", "plain", "x-own: plain\r\n"),
        (
            "x-security-token",
            CANARY,
            "x-security-token: ‹x-security-token, 17 bytes, sha256 ",
        ),
        (
            "X-Apig-Proxy-Token",
            CANARY,
            "x-apig-proxy-token: ‹x-apig-proxy-token, 17 bytes, ",
        ),
        ("apikey", CANARY, "apikey: ‹apikey, 17 "),
        ("x_api_key", CANARY, "x_api_key: ‹x_api_key, 17 "),
        ("x-user-password", CANARY, "x-user-password: ‹"),
        (
            "authorization",
            "Bearer MARKER-1",
            "authorization: Bearer ‹authorization, 8 bytes",
        ),
        (
            "authorization",
            CANARY,
            "authorization: ‹authorization, 17 bytes",
        ),
        (
            "x-forwarded-authorization",
            "MARKER-7 x",
            "x-forwarded-authorization: ‹",
        ),
        (
            "authorization",
            "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=MARKER-sig",
            "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=‹Signature, 10 bytes",
        ),
        (
            "authorization",
            "V11-HMAC-SHA256 Credential=AK/20261129/cn/apic, SignedHeaders=host, Signature=MARKER-s",
            "V11-HMAC-SHA256 Credential=AK/20261129/cn/apic, SignedHeaders=host, Signature=‹",
        ),
        (
            "cookie",
            "a=MARKER-2; sid=MARKER-3",
            "cookie: a=‹a, 8 bytes, sha256 ",
        ),
        ("cookie", "MARKER-bare", "cookie: ‹cookie, 11 bytes"),
        (
            "referer",
            "https://x/a?b=c&token=MARKER-4&d=e",
            "referer: https://x/a?b=c&token=‹token, 8 ",
        ),
        (
            "location",
            "https://user:MARKER-5@x/a",
            "location: https://‹password, 13 bytes",
        ),
        (
            "x-json",
            r#"{"a": 1, "secret": "MARKER-6"}"#,
            r#"x-json: {"a": 1, "secret": "‹secret, 8 "#,
        ),
        ("x-remaining-tokens", "1200", "x-remaining-tokens: 1200\r\n"),
        (
            "access-control-allow-credentials",
            "yes",
            "access-control-allow-credentials: yes\r\n",
        ),
        ("x-echo", SENT, "x-echo: ‹secret, 29 bytes, sha256 "),
        ("x-shown-token", "12345678", "x-shown-token: 12345678\r\n"),
    ] {
        let (_, notes, worker) = recorder(0, &["X-Shown-Token"]);
        let capture = begin(&worker, &head("/", &[(name, value)])).unwrap();
        drop(capture);
        let told = told(notes, worker).await;
        assert!(told.contains(shown), "{shown} in {told}");
        assert!(!told.contains("MARKER"), "{told}");
    }
}

#[tokio::test]
async fn what_the_configuration_keeps_secret_is_hidden_whatever_its_name() {
    let (_, notes, worker) = recorder(0, &[]);
    let mut head = head("/", &[]);
    let mut value = HeaderValue::from_static("MARKER-configured");
    value.set_sensitive(true);
    head.headers.insert("x-backend", value);
    drop(begin(&worker, &head));
    let told = told(notes, worker).await;
    assert!(told.contains("x-backend: ‹x-backend, 17 bytes"), "{told}");
    assert!(!told.contains("MARKER"), "{told}");
}

#[tokio::test]
async fn secrets_in_targets_are_hidden() {
    for (target, shown) in [
        (
            "/a?x=1&access_token=MARKER-1&y=2",
            "/a?x=1&access_token=‹access_token, 8 bytes, sha256 ",
        ),
        ("/a?x=1&access_token=MARKER-1&y=2", "›&y=2 HTTP/1.1\r\n"),
        ("/a?pass%77ord=MARKER-2", "/a?pass%77ord=‹password, 8 bytes"),
        ("/a?max_tokens=12", "/a?max_tokens=12 "),
        (
            "/MARKER-sent==%2F%22x+y-0123456789/b",
            "GET /‹secret, 33 bytes, ",
        ),
        (
            "http://localhost/a?sort=1;api-key=MARKER-3",
            "GET http://localhost/a?sort=1;api-key=‹",
        ),
    ] {
        let (_, notes, worker) = recorder(0, &[]);
        drop(begin(&worker, &head(target, &[])));
        let told = told(notes, worker).await;
        assert!(told.contains(shown), "{shown} in {told}");
        assert!(!told.contains("MARKER"), "{told}");
    }
}
