//! TLS with callers: the certificate of the proxy, and those that callers have to show.
//!
//! Certificates are short-lived, so the files are looked at every few seconds ([`Watched`]).

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::{TlsFiles, Watched};

const WRONG_KEY: &str = "`tls.key_file`: the key does not belong to the certificate of `tls.cert_file`, or is of an unsupported kind\nhint: give the one that it was made with";

const WRONG_ROOTS: &str = "`tls.client_ca_file`: a certificate in it cannot be used as a root\nhint: give CA certificates";

/// TLS for the `https://` addresses of `listen`. Errors name the key of the configuration.
pub(crate) fn server_tls(files: &TlsFiles) -> Result<Watched<TlsAcceptor>, String> {
    let loaded = files.clone();
    let name = "the certificate for callers";
    Watched::new(name, files.paths(), move || acceptor(&loaded))
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, String> {
    let material = files.read("tls");
    let material = material.map_err(|problem| problem.to_string())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("the provider has cipher suites for both versions");
    let builder = match material.client_roots {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let mut store = RootCertStore::empty();
            for root in roots {
                store.add(root).map_err(|_| WRONG_ROOTS)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(store.into(), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|_| WRONG_ROOTS)?)
        }
    };
    let config = builder.with_single_cert(material.chain, material.key);
    let mut config = config.map_err(|_| WRONG_KEY)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
