//! Gateways with untrusted certificates, or without TLS: numbers 39 and 40.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use apig_proxy::config::{Config, TlsFiles};

use crate::credentials::put;
use crate::support::{
    Flaw, Link, Proxy, Upstream, answer, asking, config, flawed, ok, route, wait_until,
};

const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";

fn trusting(upstream: &Upstream, root: rustls::pki_types::CertificateDer<'static>) -> Config {
    let mut config = config(upstream);
    config.upstream_tls.extra_roots = vec![root];
    config
}

fn answers(link: &mut Link) -> io::Result<()> {
    while link.request()?.is_some() {
        link.send(ok("ok"))?;
    }
    Ok(())
}

#[test]
fn fault_39_an_invalid_certificate_gets_no_byte_of_a_request() {
    let (told, tell) = mpsc::channel();
    for (flaw, said) in [
        (Flaw::Expired, "this machine's clock"),
        (Flaw::NotYetValid, "this machine's clock"),
        (Flaw::WrongName, "`upstream_address`"),
        (Flaw::UnknownAuthority, "put the root into"),
        (Flaw::SelfSigned, "put the root into"),
        (Flaw::ForClientsOnly, "check the certificate"),
    ] {
        let (root, tls) = flawed(Some(flaw));
        let told = std::sync::Mutex::new(told.clone());
        let upstream = Upstream::start_as(tls, move |link| {
            let mut came = Vec::new();
            let _ = link.stream.read_to_end(&mut came);
            told.lock().unwrap().send(came).unwrap();
            Ok(())
        });
        let proxy = Proxy::start(&trusting(&upstream, root));
        let refused = proxy.exchange(POST);
        let refused = refused.about(flaw);
        refused.assert_refused(502, "tls_error");
        refused.assert_says(said);
        let came = tell.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(came, b"", "{flaw:?}");
        assert_eq!(upstream.connections(), 1, "{flaw:?}: it was tried again");
    }
    // Without a flaw the same set-up is served, so each flaw is the reason of its refusal.
    let (root, tls) = flawed(None);
    let upstream = Upstream::start_as(tls, answers);
    let proxy = Proxy::start(&trusting(&upstream, root));
    proxy.passes(POST);
    upstream.only_request().verified();
}

#[test]
fn a_gateway_that_asks_for_a_client_certificate_gets_the_configured_one_or_is_named_as_the_reason()
{
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (root, tls, [certificate, key]) = asking(version);
        let upstream = Upstream::start_as(tls, |link| match link.request()? {
            Some(_) => link.send(answer("200 OK", "connection: close\r\n", "ok")),
            None => Ok(()),
        });
        let mut config = trusting(&upstream, root);
        let refused = Proxy::start(&config).exchange(POST);
        let refused = refused.about(version);
        refused.assert_refused(502, "tls_error");
        refused.assert_says("`upstream_tls.cert_file`");
        assert!(upstream.requests().is_empty());

        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            client_ca: None,
        };
        put(&files.certificate, &certificate);
        put(&files.key, &key);
        config.upstream_tls.client = Some(files.clone());
        let proxy = Proxy::start(&config);
        proxy.passes(POST);
        upstream.only_request().verified();
        let is_resumed = || {
            proxy.passes(POST);
            upstream.requests().last().unwrap().resumed
        };
        assert!(is_resumed());
        // A resumed session would show the certificate that it began with.
        put(&files.certificate, &certificate);
        wait_until("a session with the new certificate", || !is_resumed());
    }
}

#[test]
fn fault_40_a_server_without_tls_is_never_sent_plain_http() {
    for (reply, said) in [
        (
            b"\x15\x03\x03\x00\x02\x02\x28".as_slice(),
            "the handshake failed",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            "check the port",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "check the port"),
        (b"", "the handshake failed"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, tell) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut first = [0; 3];
                stream.read_exact(&mut first).unwrap();
                let _ = stream.write_all(reply);
                told.send(first).unwrap();
            }
        });
        let upstream = Upstream::start();
        let mut config = config(&upstream);
        let mut broken = route("/broken", &upstream, "");
        broken.upstream.port = address.port();
        config.routes.insert(0, broken);
        let proxy = Proxy::start(&config);
        let failed = proxy.exchange(POST.replace(" / ", " /broken "));
        let failed = failed.about(reply);
        failed.assert_refused(502, "tls_error");
        failed.assert_says(said);
        let first = tell.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(&first[..2], [0x16, 3], "no handshake");
        assert!(tell.try_recv().is_err(), "it was tried again");
        proxy.passes(POST);
    }
}
