//! Other ways in than loopback: unix sockets, TLS with and without certificates of callers, tokens.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apig_proxy::config::{CallerToken, Config, Listen, TlsFiles};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::credentials::put;
use crate::support::{
    Client, Identity, Issuer, Proxy, Scene, Upstream, answer, config, issuer, pause, request,
    wait_until,
};
use crate::websockets::{HANDSHAKE, switch};

const GET: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn exchange(stream: &mut (impl Read + Write), request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A proxy that listens on a unix socket in a folder of its own.
fn on_unix_socket(change: impl FnOnce(&mut Config)) -> (TempDir, PathBuf, Scene) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let scene = Scene::with(Upstream::start(), |config| {
        config.listen.push(Listen::Unix(path.clone()));
        change(config);
    });
    (folder, path, scene)
}

#[test]
fn a_unix_socket_serves_who_can_open_it_and_is_gone_at_the_end() {
    let (_folder, path, scene) = on_unix_socket(|_| {});
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for _ in 0..2 {
        let mut stream = UnixStream::connect(&path).unwrap();
        let answer = exchange(&mut stream, GET).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(scene.upstream.requests().len(), 2);
    scene.serves();
    drop(scene);
    assert!(!path.exists());
}

#[test]
fn fault_02_over_a_unix_socket_any_host_is_allowed_but_no_web_page() {
    let (_folder, path, scene) = on_unix_socket(|_| {});
    let ask = |fields: &str| {
        let request = format!("GET /next HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n");
        exchange(&mut UnixStream::connect(&path).unwrap(), &request).unwrap()
    };
    let hosts = ["localhost", "evil.example", "", "%2Frun%2Fproxy.sock"];
    for host in hosts {
        let answer = ask(&format!("Host: {host}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    for (fields, expected) in [
        ("Accept: */*", "bad_host"),
        ("Host: a\r\nHost: a", "bad_host"),
        (
            "Host: a\r\nOrigin: http://evil.example",
            "origin_not_allowed",
        ),
        ("Host: apig\r\nSec-Fetch-Site: none", "origin_not_allowed"),
    ] {
        let answer = ask(fields);
        assert!(answer.contains(expected), "{fields}: {answer}");
    }
    assert_eq!(scene.upstream.requests().len(), hosts.len());
    scene.serves();
}

#[test]
fn a_unix_socket_may_be_for_certain_users_only() {
    let own = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    let own = own.unwrap();
    for (allowed, is_served) in [(vec![own], true), (vec![own + 1], false)] {
        let (_folder, path, scene) = on_unix_socket(|config| {
            config.unix_socket.allowed_uids = allowed;
            config.unix_socket.mode = 0o666;
        });
        let mut stream = UnixStream::connect(&path).unwrap();
        let answer = exchange(&mut stream, GET).unwrap_or_default();
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), is_served, "{answer}");
        assert_eq!(scene.upstream.requests().len(), usize::from(is_served));
        scene.serves();
    }
}

#[test]
fn callers_that_need_a_token_have_to_send_the_right_one_once() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.access.token = Some(CallerToken::new(b"0123456789abcdef"));
    });
    let ask = |fields: &str| scene.exchange(request("GET /next", fields, ""));
    for wrong in [
        "",
        "X-Apig-Proxy-Token: 0123456789abcdeF",
        "X-Apig-Proxy-Token: 0123456789abcde",
        "X-Apig-Proxy-Token: ",
        "X-Apig-Proxy-Token: 0123456789abcdef|X-Apig-Proxy-Token: 0123456789abcdef",
        "X_Apig_Proxy_Token: 0123456789abcdef",
    ] {
        let refused = ask(wrong);
        refused.about(wrong).assert_refused(401, "token_required");
    }
    assert!(scene.upstream.requests().is_empty());
    ask("x-apig-proxy-token: 0123456789abcdef").assert_status(200);
    // It is the proxy's, and the gateway does not get to see it.
    let seen = scene.upstream.only_request();
    seen.assert_without(&["x-apig-proxy-token"]);
    seen.verified();
}

/// An authority with the certificates of one test.
struct Certificates {
    folder: TempDir,
    issuer: Issuer,
}

impl Certificates {
    fn new() -> Self {
        let issuer = issuer("callers");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// Writes a new certificate for this name, and says where.
    fn write(&self, name: &str) -> TlsFiles {
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

    fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }
}

/// A connection over TLS whose caller speaks these protocols.
fn connect_tls(
    address: SocketAddr,
    root: CertificateDer<'static>,
    identity: Option<Identity>,
    name: &str,
    protocols: &[&str],
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
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
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, TcpStream::connect(address)?))
}

/// Sends a request over TLS.
fn over_tls(
    address: SocketAddr,
    root: CertificateDer<'static>,
    identity: Option<Identity>,
    name: &str,
    request: &str,
) -> io::Result<String> {
    let mut stream = connect_tls(address, root, identity, name, &[])?;
    exchange(&mut stream, request)
}

/// The status of a request over TLS that has no certificate.
fn status(address: SocketAddr, certificates: &Certificates) -> String {
    over_tls(address, certificates.root(), None, "127.0.0.1", GET).unwrap()[9..12].to_owned()
}

fn with_tls(
    upstream: Upstream,
    files: TlsFiles,
    change: impl FnOnce(&mut Config),
) -> (Scene, SocketAddr) {
    let any = "127.0.0.1:0".parse().unwrap();
    let scene = Scene::with(upstream, |config| {
        config.listen.push(Listen::Tls(any));
        config.tls = Some(files);
        change(config);
    });
    let address = scene.proxy.addresses[1];
    (scene, address)
}

#[test]
fn callers_are_served_over_tls_and_redirected_there() {
    let certificates = Certificates::new();
    let upstream = Upstream::replying(|seen| {
        let location = format!("location: https://{}/moved\r\n", seen.header("host"));
        answer("302 Found", &location, "")
    });
    let (scene, address) = with_tls(upstream, certificates.write("127.0.0.1"), |_| {});
    let ask =
        |request: &str| over_tls(address, certificates.root(), None, "127.0.0.1", request).unwrap();
    let answer = ask(GET);
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    assert!(
        answer.contains("location: https://localhost/moved\r\n"),
        "{answer}"
    );
    scene.upstream.only_request().verified();
    // Plain HTTP on that address, and TLS on the plain one, are not served.
    let plain = TcpStream::connect(address).and_then(|mut stream| exchange(&mut stream, GET));
    assert!(!plain.unwrap_or_default().starts_with("HTTP/1.1 2"));
    let plain = scene.proxy.address;
    let other = over_tls(plain, certificates.root(), None, "127.0.0.1", GET);
    assert!(other.is_err());
    assert_eq!(scene.upstream.requests().len(), 1);
}

#[test]
fn a_websocket_whose_gateway_breaks_does_not_look_ended_to_a_caller_over_tls() {
    let certificates = Certificates::new();
    let upstream = Upstream::handling(|link| {
        switch(link)?;
        link.reset()
    });
    let (_scene, address) = with_tls(upstream, certificates.write("127.0.0.1"), |_| {});
    let root = certificates.root();
    let mut stream = connect_tls(address, root, None, "127.0.0.1", &[]).unwrap();
    let ended = exchange(&mut stream, HANDSHAKE).unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn fault_81_alpn_settles_the_protocol() {
    let certificates = Certificates::new();
    let files = certificates.write("127.0.0.1");
    let (scene, address) = with_tls(Upstream::start(), files, |_| {});
    let both = ["h2", "http/1.1"];
    let root = certificates.root();
    let mut stream = connect_tls(address, root, None, "127.0.0.1", &both).unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    scene.serves();
}

#[test]
fn callers_that_need_a_certificate_have_to_show_one_of_the_right_authority() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let mut files = certificates.write("127.0.0.1");
    files.client_ca = Some(certificates.folder.path().join("ca.pem"));
    let (scene, address) = with_tls(Upstream::start(), files, |_| {});
    let ask = |identity| over_tls(address, certificates.root(), identity, "127.0.0.1", GET);
    let identity = |of: &Certificates| Some(Identity::new(&of.issuer, "caller"));
    for wrong in [None, identity(&others)] {
        assert!(!ask(wrong).unwrap_or_default().starts_with("HTTP/1.1 "));
    }
    assert!(scene.upstream.requests().is_empty());
    assert!(
        ask(identity(&certificates))
            .unwrap()
            .starts_with("HTTP/1.1 200 ")
    );
    scene.upstream.only_request().verified();
}

#[test]
fn a_caller_that_is_silent_in_its_handshake_holds_up_nobody_and_is_left() {
    let certificates = Certificates::new();
    let files = certificates.write("127.0.0.1");
    let (scene, address) = with_tls(Upstream::start(), files, |config| {
        config.timeouts.header_read = Duration::from_millis(500);
    });
    let mut silent: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
    assert_eq!(status(address, &certificates), "200");
    assert!(silent.iter_mut().all(Client::is_closed));
    scene.serves();
}

#[test]
fn a_changed_certificate_is_shown_to_new_callers_and_a_broken_one_is_not() {
    let certificates = Certificates::new();
    let files = certificates.write("127.0.0.1");
    let (scene, address) = with_tls(Upstream::start(), files, |config| {
        config.access.hosts = vec!["renewed.test".to_owned()];
    });
    let shows = |name: &str| over_tls(address, certificates.root(), None, name, GET).is_ok();
    assert!(shows("127.0.0.1") && !shows("renewed.test"));
    certificates.write("renewed.test");
    wait_until("the new certificate is shown", || shows("renewed.test"));
    let broken: &Path = &certificates.folder.path().join("cert.pem");
    std::fs::write(broken, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    pause(Duration::from_millis(2500));
    assert!(shows("renewed.test"));
    scene.serves();
}

#[test]
fn a_proxy_whose_certificate_and_key_do_not_belong_together_does_not_start() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let mut files = certificates.write("127.0.0.1");
    files.key = others.write("127.0.0.1").key;
    let mut config = config(&Upstream::start());
    config.tls = Some(files);
    let error = Proxy::refuses_to_start(&config);
    assert!(
        error.contains("tls.key_file") && error.contains("does not belong"),
        "{error}"
    );
}
