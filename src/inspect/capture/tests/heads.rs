//! Heads, targets in them, and the canonical request that the gateway echoes.

use super::*;
use crate::inspect::tests::rows;

/// Fields as they come, and what is shown of them.
const FIELDS: &str = r#"
x-own: plain | x-own: plain
x-own: //cdn.example/@scope/a | x-own: //cdn.example/@scope/a
x-security-token: MARKER-6f1d/+0c9e | x-security-token: ‹x-security-token, 17 bytes, sha256 
X-Apig-Proxy-Token: MARKER-6f1d/+0c9e | x-apig-proxy-token: ‹x-apig-proxy-token, 17 bytes, 
apikey: MARKER-6f1d/+0c9e | apikey: ‹apikey, 17 
x_api_key: MARKER-6f1d/+0c9e | x_api_key: ‹x_api_key, 17 
x-user-password: MARKER | x-user-password: ‹
x-hw-appkey: MARKER | x-hw-appkey: ‹
x-auth-key: MARKER | x-auth-key: ‹
authorization: Bearer MARKER-1 | authorization: Bearer ‹authorization, 8 bytes
authorization: MARKER-6f1d/+0c9e | authorization: ‹authorization, 17 bytes
x-forwarded-authorization: MARKER-7 x | x-forwarded-authorization: ‹
authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=MARKER-sig | Access=AK, SignedHeaders=host;x-sdk-date, Signature=‹Signature, 10 bytes
authorization: V11-HMAC-SHA256 Credential=AK/20261129/cn/apic, SignedHeaders=host, Signature=MARKER-s | Credential=AK/20261129/cn/apic, SignedHeaders=host, Signature=‹
cookie: a=MARKER-2; sid=MARKER-3 | cookie: a=‹a, 8 bytes, sha256 
cookie: MARKER-bare | cookie: ‹cookie, 11 bytes
referer: https://x/a?b=c&token=MARKER-4&d=e | referer: https://x/a?b=c&token=‹token, 8 
referer: https://x/?f=%7B%22pwd%22%3A%22MARKER%22%7D | ?f=‹f, 
referer: https://x/?to=https://u:MARKER@y/ | ?to=‹to, 
referer: https://x/?to=https%3A%2F%2Fy%2F%3Fa=b | ?to=https%3A%2F%2Fy%2F%3Fa=b
referer: https://x/?sig=MARKER&se=1 | ?sig=‹sig, 6 bytes
location: https://user:MARKER-5@x/a | location: https://‹password, 13 bytes
location: https://x/a;jsessionid=MARKER | location: https://x/a;jsessionid=‹
location: https://x/?next=%2Fcb%3Ftoken%3DMARKER | ?next=‹next, 22 bytes
location: /?a=b&next=%252Fcb%253Ftoken%253DMARKER&c=d | &c=d
link: <https://u:MARKER-1@x/>; rel=a, <https://u:MARKER-2@y/?a=b>; rel=b | link: <https://‹password, 10 bytes
x-json: {"a": 1, "secret": "MARKER-6"} | x-json: {"a": 1, "secret": "‹secret, 8 
x-json: {"x":"{\"\\u0074oken\":\"MARKER\"}"} | x-json: {
x-remaining-tokens: 1200 | x-remaining-tokens: 1200
access-control-allow-credentials: yes | access-control-allow-credentials: yes
www-authenticate: Bearer realm=a, token=MARKER | Bearer realm=a, token=‹
host: user:MARKER@x | host: ‹password, 11 bytes
x-echo: MARKER-sent==/"x+y-0123456789 | x-echo: ‹secret, 29 bytes, sha256 
x-shown-token: 12345678 | x-shown-token: 12345678"#;

/// Targets, the version of HTTP, and what is shown of them.
const TARGETS: &str = "
/a?x=1&access_token=MARKER-1&y=2 | 1 | /a?x=1&access_token=‹access_token, 8 bytes,
/a?x=1&access_token=MARKER-1&y=2 | 1 | ›&y=2 HTTP/1.1
/a?pass%77ord=MARKER | 1 | pass%77ord=‹password, 6
/a?max_tokens=12 | 1 | /a?max_tokens=12 HTTP/1.1
/MARKER-sent==%2F%22x+y-0123456789/b | 1 | GET /‹secret, 33
http://x/a?sort=1;api-key=MARKER | 1 | GET http://x/a?sort=1;api-key=‹
http://user:MARKER@x/a | 1 | ‹password, 11 bytes
http://user:MARKER@x/a | 2 | ‹password, 11 bytes
user:MARKER@x:443 | 1 | CONNECT ‹password, 11 bytes
user:MARKER@x:443 | 2 | CONNECT ‹password, 11 bytes";

/// Checks what is kept of a head.
async fn assert_shown(head: &request::Parts, shown: &str) {
    let (_, notes, worker) = recorder(0, &["X-Shown-Token"]);
    drop(begin(&worker, head));
    let told = told(notes, worker).await;
    assert!(told.contains(shown), "{shown} in {told}");
    assert!(!told.contains("MARKER"), "{told}");
}

#[tokio::test]
async fn secrets_in_heads_are_hidden_and_the_rest_is_shown() {
    for [field, shown] in rows(FIELDS) {
        let field = field.split_once(": ").unwrap();
        assert_shown(&head("/", &[field]), shown).await;
    }
}

#[tokio::test]
async fn what_the_configuration_keeps_secret_is_hidden_whatever_its_name() {
    let mut head = head("/", &[]);
    let mut value = HeaderValue::from_static("MARKER-configured");
    value.set_sensitive(true);
    head.headers.insert("x-backend", value);
    assert_shown(&head, "x-backend: ‹x-backend, 17 bytes").await;
}

#[tokio::test]
async fn secrets_in_targets_and_authorities_are_hidden() {
    for [target, version, shown] in rows(TARGETS) {
        let mut head = head(target, &[]);
        if version == "2" {
            head.version = Version::HTTP_2;
        }
        if shown.starts_with("CONNECT") {
            head.method = Method::CONNECT;
        }
        assert_shown(&head, shown).await;
    }
}

#[tokio::test]
async fn the_gateways_echo_hides_what_the_head_hides() {
    let (_, _notes, worker) = recorder(0, &[]);
    let capture = begin(&worker, &head("/", &[])).unwrap();
    let canonical = capture.canonical(
        "GET|/a;jsessionid=MARKER/|next=%2Fcb%3Ftoken%3DMARKER&token=MARKER&x=1|x-security-token:MARKER|\
         authorization:Bearer MARKER|cookie:a=MARKER|host:u:MARKER@x|referer:https://x/?token=MARKER|x-own:a||a;b|e3",
    );
    assert!(!canonical.contains("MARKER"), "{canonical}");
    assert!(canonical.ends_with("›|x-own:a||a;b|e3"), "{canonical}");
}

#[tokio::test]
async fn however_many_credentials_the_proxy_has_each_is_hidden() {
    let (_, notes, worker) = recorder(0, &[]);
    let secrets: Vec<Redactor> = (0..40)
        .map(|at| secret(&format!("MARKER-of-set-{at}")))
        .collect();
    let show = |see: &mut dyn FnMut(&Redactor)| secrets.iter().for_each(see);
    let fields = [("x-echo", "MARKER-of-set-39"), ("cookie", "a=12345678")];
    let capture = begin_with(&worker, "tcp", &head("/", &fields), show).unwrap();
    let response = HeaderMap::from_iter([(http::header::SERVER, "12345678".parse().unwrap())]);
    let line = (StatusCode::OK, None, Version::HTTP_11);
    let repeated = String::from_utf8(capture.response(line, &response).0.into()).unwrap();
    assert!(repeated.contains("server: ‹"), "{repeated}");
    drop(capture);
    let told = told(notes, worker).await;
    assert!(!told.contains("MARKER"), "{told}");
}
