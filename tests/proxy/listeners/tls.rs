//! Callers over TLS, with and without certificates of their own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use apig_proxy::config::{Config, Listen, TlsFiles};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::credentials::put;
use crate::support::{
    Client, Identity, Issuer, Proxy, Scene, Upstream, answer, config, connect, get, issuer, pause,
    wait_until,
};
use crate::websockets::{HANDSHAKE, switch};

/// A certificate authority, and the certificate that it has issued to the proxy.
struct Certificates {
    folder: TempDir,
    issuer: Issuer,
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

impl Certificates {
    fn new() -> Self {
        let issuer = issuer("callers");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// Writes a new certificate for this name.
    fn issue(&self, name: &str) -> TlsFiles {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| self.folder.path().join(name));
        let identity = Identity::new(&self.issuer, name);
        put(&key, &identity.pem[1]);
        put(&certificate, &identity.pem[0]);
        TlsFiles {
            certificate,
            key,
            client_ca: None,
        }
    }

    /// A certificate for a caller.
    fn identity(&self) -> Option<Identity> {
        Some(Identity::new(&self.issuer, "caller"))
    }

    /// A proxy that also listens with TLS, and the address.
    fn scene(
        &self,
        upstream: Upstream,
        change: impl FnOnce(&mut Config, &mut TlsFiles),
    ) -> (Scene, SocketAddr) {
        let mut files = self.issue("127.0.0.1");
        let scene = Scene::with(upstream, |config| {
            let any = "127.0.0.1:0".parse().unwrap();
            config.listen.push(Listen::Tls(any));
            change(config, &mut files);
            config.tls = Some(files);
        });
        let address = scene.proxy.addresses[1];
        (scene, address)
    }

    /// A TLS connection that expects the proxy to have this name. `identity` is the certificate that the caller
    /// shows.
    fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        identity: Option<Identity>,
        protocols: &[&str],
    ) -> TlsStream {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(shown) => builder
                .with_client_auth_cert(vec![shown.certificate], shown.key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(connection, connect(address))
    }

    fn client(&self, address: SocketAddr) -> Client<TlsStream> {
        Client::over(self.connect(address, "127.0.0.1", None, &[]))
    }

    /// The status of the answer to a GET; an error if there is none.
    fn status(
        &self,
        address: SocketAddr,
        name: &str,
        identity: Option<Identity>,
    ) -> io::Result<u16> {
        let mut client = Client::over(self.connect(address, name, identity, &[]));
        client.try_send(get("/"))?;
        Ok(client.try_answer(false)?.status)
    }
}

#[test]
fn callers_are_served_over_tls_and_redirected_to_https() {
    let certificates = Certificates::new();
    let upstream = Upstream::replying(|seen| {
        let location = format!("location: https://{}/moved\r\n", seen.header("host"));
        answer("302 Found", &location, "")
    });
    let (scene, address) = certificates.scene(upstream, |_, _| {});
    let redirected = certificates.client(address).get("/");
    redirected.assert_header(302, "location", "https://localhost/moved");
    scene.upstream.only_request().verified();
    // Neither plain HTTP on the TLS address, nor TLS on the plain one.
    let mut plain = Client::connect(address);
    let answer = plain.send(get("/")).try_answer(false);
    assert!(!answer.is_ok_and(|answer| answer.status < 400));
    let plain = certificates.status(scene.proxy.address, "127.0.0.1", None);
    assert!(plain.is_err(), "{plain:?}");
    assert_eq!(scene.upstream.requests().len(), 1);
}

#[test]
fn a_websocket_whose_gateway_breaks_does_not_look_ended_to_a_caller_over_tls() {
    let certificates = Certificates::new();
    let upstream = Upstream::handling(|link| {
        switch(link)?;
        link.reset()
    });
    let (_scene, address) = certificates.scene(upstream, |_, _| {});
    let mut client = certificates.client(address);
    client.send(HANDSHAKE).answer().assert_status(101);
    let ended = client.rest().unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn fault_81_alpn_selects_the_protocol() {
    let certificates = Certificates::new();
    let (scene, address) = certificates.scene(Upstream::start(), |_, _| {});
    let mut stream = certificates.connect(address, "127.0.0.1", None, &["h2", "http/1.1"]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    scene.serves();
}

#[test]
fn a_caller_must_show_a_certificate_of_the_configured_authority() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (scene, address) = certificates.scene(Upstream::start(), |_, files| {
        files.client_ca = Some(certificates.folder.path().join("ca.pem"));
    });
    let status = |identity| certificates.status(address, "127.0.0.1", identity);
    for wrong in [None, others.identity()] {
        assert!(status(wrong).is_err());
    }
    assert!(scene.upstream.requests().is_empty());
    assert_eq!(status(certificates.identity()).unwrap(), 200);
    scene.upstream.only_request().verified();
}

#[test]
fn a_caller_that_does_not_begin_its_handshake_delays_no_other_and_is_closed() {
    let certificates = Certificates::new();
    let (scene, address) = certificates.scene(Upstream::start(), |config, _| {
        config.timeouts.header_read = Duration::from_millis(500);
    });
    let mut silent: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
    certificates.client(address).get("/").assert_status(200);
    assert!(silent.iter_mut().all(Client::is_closed));
    scene.serves();
}

#[test]
fn a_renewed_certificate_is_shown_to_new_callers_and_a_broken_one_is_not() {
    let certificates = Certificates::new();
    let (scene, address) = certificates.scene(Upstream::start(), |config, _| {
        config.access.hosts = vec!["renewed.test".to_owned()];
    });
    let shows = |name: &str| certificates.status(address, name, None).is_ok();
    assert!(shows("127.0.0.1") && !shows("renewed.test"));
    let files = certificates.issue("renewed.test");
    wait_until("the new certificate is shown", || shows("renewed.test"));
    fs::write(files.certificate, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    pause(Duration::from_millis(2500));
    assert!(shows("renewed.test"));
    scene.serves();
}

#[test]
fn a_proxy_does_not_start_with_a_certificate_and_the_key_of_another_one() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let mut files = certificates.issue("127.0.0.1");
    files.key = others.issue("127.0.0.1").key;
    let mut config = config(&Upstream::start());
    config.tls = Some(files);
    let error = Proxy::refuses_to_start(&config);
    let is_named = error.contains("tls.key_file") && error.contains("does not belong");
    assert!(is_named, "{error}");
}
