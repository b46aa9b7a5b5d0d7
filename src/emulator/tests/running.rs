//! An emulated gateway, and a caller that trusts it.

use std::sync::atomic::AtomicI64;

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::client::conn::http1 as client;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio_rustls::TlsConnector;

use super::{NOW, key};
use crate::emulator::*;

/// A running gateway whose time a test sets.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) root: CertificateDer<'static>,
    pub(super) now: Arc<AtomicI64>,
}

impl Running {
    pub(super) fn start() -> Self {
        let now = Arc::new(AtomicI64::new(NOW));
        let clock = Arc::clone(&now);
        let keys = [key("AK", None), key("TEMPORARY", Some("token"))];
        let clock: Now = Arc::new(move || clock.load(Ordering::Relaxed));
        let emulator = Emulator::bind("127.0.0.1:0".parse().unwrap(), &keys, clock).unwrap();
        let running = Self {
            address: emulator.address(),
            root: emulator.root(),
            now,
        };
        tokio::spawn(emulator.serve(std::future::pending()));
        running
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, Value) {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        let (mut sender, connection) = client::handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["server"], "api-gateway");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub(super) async fn code(&self, request: Request<Full<Bytes>>) -> (u16, String, String) {
        let (status, body) = self.send(request).await;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (status.as_u16(), text("error_code"), text("error_msg"))
    }
}
