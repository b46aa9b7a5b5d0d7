//! The emulated gateway, called over TLS with requests that are signed by hand. What its services issue
//! is tested with the proxy.

mod verification;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
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
    Algorithm, CanonicalRequest, Payload, PayloadHash, Signer, SigningDate, Target,
    UNSIGNED_PAYLOAD,
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
    fn start() -> Self {
        let emulator = Emulator::bind("127.0.0.1:0".parse().unwrap(), accounts()).unwrap();
        let running = Self {
            address: emulator.address,
            cloud_address: emulator.cloud_address,
            counts: emulator.counts(),
            root: emulator.authority.root(),
        };
        tokio::spawn(emulator.serve(std::future::pending()));
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
    let algorithm = Algorithm::HmacSha256;
    let canonical =
        CanonicalRequest::new(algorithm, "POST", target, &headers, &date, payload).unwrap();
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
async fn services_refuse_other_identities_and_incomplete_requests() {
    let gateway = Running::start();
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
