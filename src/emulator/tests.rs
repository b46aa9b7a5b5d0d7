//! The emulated gateway, called over TLS with requests that are signed by hand. What its services issue
//! is tested with the proxy.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::key_store::{Owner, State};
use super::*;
use crate::clock::unix_seconds;
use crate::credentials::Credentials;
use crate::signature::{
    CanonicalRequest, Payload, PayloadHash, Signer, SigningDate, Target, UNSIGNED_PAYLOAD,
};

type Whole = Request<Full<Bytes>>;

/// A running gateway.
struct Running {
    address: SocketAddr,
    cloud_address: SocketAddr,
    counts: Arc<Counts>,
    root: CertificateDer<'static>,
}

/// A complete response.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

fn key(access_key: &str, token: Option<&str>) -> Credentials {
    Credentials {
        access_key: access_key.to_owned(),
        secret_key: "secret".into(),
        security_token: token.map(Into::into),
    }
}

fn accounts() -> Accounts {
    Accounts {
        keys: vec![key("AK", None), key("TEMPORARY", Some("token"))],
        apps: vec![key("APP", None)],
        app_codes: vec!["MARKER-CODE".into()],
        api_keys: vec!["MARKER-KEY".into()],
        tokens: vec!["MARKER-TOKEN".into()],
        ..Accounts::throw_away()
    }
}

impl Running {
    fn start(backend: Option<SocketAddr>) -> Self {
        let emulator = Emulator::bind("127.0.0.1:0".parse().unwrap(), accounts()).unwrap();
        let running = Self {
            address: emulator.address,
            cloud_address: emulator.cloud_address,
            counts: emulator.counts(),
            root: emulator.authority.root(),
        };
        let backend = backend.map(|address| format!("http://{address}").parse().unwrap());
        tokio::spawn(
            emulator
                .with(backend, Readings::default())
                .serve(std::future::pending()),
        );
        running
    }

    /// Sends a request to the gateway over HTTP/1.1, or over HTTP/2 if its target is a whole URL.
    async fn send(&self, request: Whole) -> Answer {
        let is_http2 = request.uri().authority().is_some();
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![if is_http2 { &b"h2"[..] } else { b"http/1.1" }.to_vec()];
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let io = TokioIo::new(tls.await.unwrap());
        let response = if is_http2 {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        Answer::read(response.unwrap()).await
    }

    /// Sends a request to the cloud's address.
    async fn ask(&self, request: Whole) -> Answer {
        let tcp = TcpStream::connect(self.cloud_address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        Answer::read(sender.send_request(request).await.unwrap()).await
    }
}

impl Answer {
    async fn read(response: http::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// A POST that is signed now, or so many seconds later.
fn signed(access_key: &str, secret: &str, body: &'static [u8], later: i64) -> Whole {
    let hash = PayloadHash::new(body);
    signed_as(
        [access_key, secret],
        body,
        later,
        None,
        Payload::Hash(&hash),
    )
}

fn signed_as(
    [access_key, secret]: [&str; 2],
    body: &'static [u8],
    later: i64,
    token: Option<&str>,
    payload: Payload<'_>,
) -> Whole {
    let date = SigningDate::from_unix_seconds(unix_seconds() + later).unwrap();
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
fn over_http2(mut request: Whole) -> Whole {
    request.headers_mut().remove(HOST);
    let uri = format!("https://localhost{}", request.uri());
    *request.uri_mut() = Uri::try_from(uri).unwrap();
    request
}

/// A request without a signature, with these headers.
fn with(headers: &[(&str, &str)], length: usize) -> Whole {
    let mut request = Request::post("/v1/a").header(HOST, "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(vec![b'a'; length])).unwrap()
}

const STAGE: (&str, &str) = ("x-stage", "RELEASE");
const TOKEN: (&str, &str) = ("x-auth-token", "MARKER-TOKEN");
const APP_CODE: (&str, &str) = ("x-apig-appcode", "MARKER-CODE");
const API_KEY: (&str, &str) = ("authorization", "Bearer MARKER-KEY");

#[tokio::test]
async fn each_authentication_is_accepted_and_told_what_arrived_and_never_shown() {
    let gateway = Running::start(None);
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
    let gateway = Running::start(None);
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

#[tokio::test]
async fn services_refuse_other_identities_and_incomplete_requests() {
    let gateway = Running::start(None);
    let iam = json!({ "auth": { "identity": { "password": { "user": {
        "name": "demo", "password": "wrong", "domain": { "name": "demo" },
    } } } } });
    let sts = json!({ "agency_urn": "a", "agency_session_name": "s", "provider_urn": "p", "id_token": "i" });
    let none = &Value::Null;
    for (line, header, body, status) in [
        ("POST /v3/auth/tokens", "", &iam, 401),
        ("POST /v3/auth/tokens", "", none, 400),
        ("GET /v3/projects?name=a", "x-auth-token: other", none, 401),
        ("GET /v3/projects?name=a", "", none, 401),
        ("POST /v3.0/OS-AUTH/id-token/tokens", "", none, 400),
        ("POST /v3.0/OS-CREDENTIAL/securitytokens", "", none, 401),
        ("POST /v5/agencies/assume-with-oidc", "", &sts, 401),
        ("POST /v5/agencies/assume", "", &sts, 401),
        ("POST /v5/agencies/assume", "", none, 400),
        ("POST /v1/pod-identity/credentials", "", none, 401),
        ("PUT /meta-data/latest/api/token", "", none, 400),
        ("GET /openstack/latest/securitykey", "", none, 401),
        ("GET /", "", none, 404),
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        let (name, value) = header.split_once(": ").unwrap_or(("x-none", ""));
        let request = Request::builder().method(method).uri(path);
        let request = request.header(HOST, "cloud").header(name, value);
        let request = request.body(Full::from(body.to_string())).unwrap();
        assert_eq!(gateway.ask(request.clone()).await.status, status, "{line}");
        // Services within the cloud are not at the gateway's address, where all else is verified.
        let is_public = path.starts_with("/v3") || path.starts_with("/v5");
        let expected = if is_public { status } else { 404 };
        assert_eq!(gateway.send(request).await.status, expected, "{line}");
    }
}

#[tokio::test]
async fn a_signed_request_reaches_the_backend_without_its_signature_and_without_one_it_is_502() {
    assert!("http://10.0.0.1:80".parse::<Backend>().is_err());
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let gateway = Running::start(Some(address));
    let served = tokio::spawn(async move {
        let service = service_fn(async |request: Request<Incoming>| {
            assert_eq!(request.uri(), "/v1/a%2Fb?x=1&a=2");
            assert!(!request.headers().contains_key(AUTHORIZATION));
            Ok::<_, std::convert::Infallible>(http::Response::new(request.into_body()))
        });
        let io = TokioIo::new(socket.accept().await.unwrap().0);
        hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await
    });
    // What is refused does not reach it.
    let refused = gateway.send(signed("AK", "wrong", b"{}", 0)).await;
    assert_eq!(refused.status, 401);
    let answer = gateway.send(signed("AK", "secret", b"{}", 0)).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    served.await.unwrap().unwrap();
    let absent = gateway.send(signed("AK", "secret", b"{}", 0)).await;
    let words = "Backend unavailable.";
    assert_eq!(
        (absent.status, &absent.json()["error_msg"]),
        (502, &words.into())
    );
}
