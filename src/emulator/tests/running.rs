//! An emulated gateway with its cloud, and a caller that trusts it.

use std::error::Error;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{NOW, key};
use crate::emulator::*;

/// A running gateway whose time a test sets.
pub(super) struct Running {
    address: SocketAddr,
    cloud_address: SocketAddr,
    pub(super) cloud: Arc<Cloud>,
    pub(super) counts: Arc<Counts>,
    root: CertificateDer<'static>,
    /// Milliseconds since 1970.
    now: Arc<AtomicI64>,
}

/// A complete response.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Running {
    /// A gateway that knows two keys, one of them temporary, and perhaps has a backend.
    pub(super) fn start(backend: Option<SocketAddr>) -> Self {
        let accounts = Accounts {
            keys: vec![key("AK", None), key("TEMPORARY", Some("token"))],
            ..Accounts::default()
        };
        let backend = backend.map(|address| format!("http://{address}").parse().unwrap());
        Self::run(accounts, backend)
    }

    pub(super) fn with(accounts: Accounts) -> Self {
        Self::run(accounts, None)
    }

    fn run(accounts: Accounts, backend: Option<Backend>) -> Self {
        let now = Arc::new(AtomicI64::new(NOW * 1000));
        let shown = Arc::clone(&now);
        let clock =
            Clock::new(move || Timestamp::from_millisecond(shown.load(Ordering::Relaxed)).unwrap());
        let emulator = Emulator::bind("127.0.0.1:0".parse().unwrap(), accounts, clock).unwrap();
        let running = Self {
            address: emulator.address(),
            cloud_address: emulator.cloud_address(),
            cloud: emulator.cloud(),
            counts: emulator.counts(),
            root: emulator.root(),
            now,
        };
        tokio::spawn(emulator.with_backend(backend).serve(std::future::pending()));
        running
    }

    /// Lets time pass.
    pub(super) fn wait(&self, milliseconds: i64) {
        self.now.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Sends a request to the gateway.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::read(self.over_tls(request).await).await
    }

    /// Sends a request to the gateway, for its status, code and message.
    pub(super) async fn refused(&self, request: Request<Full<Bytes>>) -> (u16, String, String) {
        let answer = self.send(request).await;
        assert_eq!(answer.headers["server"], "api-gateway");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (answer.status, text("error_code"), text("error_msg"))
    }

    /// Sends a request to the cloud's address.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        let tcp = TcpStream::connect(self.cloud_address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        Answer::read(sender.send_request(request).await.unwrap()).await
    }

    /// Sends a request to the gateway over HTTP/1.1.
    pub(super) async fn over_tls<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let tls = self.connect(b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    /// Sends a request to the gateway over HTTP/2.
    pub(super) async fn over_http2<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let io = TokioIo::new(self.connect(b"h2").await);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    /// A connection with this protocol, which the gateway has to offer.
    async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let tls = connecting.await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(protocol));
        tls
    }
}

impl Answer {
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The token of IAM.
    pub(super) fn token(&self) -> &str {
        self.headers["x-subject-token"].to_str().unwrap()
    }
}
