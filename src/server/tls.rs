//! TLS with callers: the certificate of the proxy, and those that callers have to show.
//!
//! # What can go wrong
//!
//! Certificates are short-lived, so the files are looked at every few seconds and read again when
//! they have changed. Files that cannot be used leave the old certificate in place.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// TLS for the `https://` addresses of `listen`.
#[derive(Clone)]
pub(crate) struct ServerTls(Arc<Mutex<State>>);

struct State {
    files: TlsFiles,
    acceptor: TlsAcceptor,
    /// The files when the acceptor was made.
    read: FileStamps,
    /// The files when they could not be used.
    failed: Option<FileStamps>,
}

/// When each file was last changed, and how long it was.
type FileStamps = Vec<Option<(SystemTime, u64)>>;

const WRONG_KEY: &str = "tls.key_file: the key does not belong to the certificate of tls.cert_file, or is of an unsupported kind; give the one that it was made with";

const WRONG_ROOTS: &str =
    "tls.client_ca_file: a certificate in it cannot be used as a root; give CA certificates";

impl ServerTls {
    /// Reads the files. Errors name the key of the configuration.
    pub(crate) fn new(files: &TlsFiles) -> Result<Self, String> {
        let read = stamps(files);
        Ok(Self(Arc::new(Mutex::new(State {
            acceptor: acceptor(files)?,
            files: files.clone(),
            read,
            failed: None,
        }))))
    }

    /// Reads the files again if they have changed.
    pub(super) fn refresh(&self) {
        let state = &mut *self.state();
        let now = stamps(&state.files);
        if state.read == now {
            return;
        }
        match acceptor(&state.files) {
            Ok(acceptor) => {
                tracing::info!("the certificate for callers was read again");
                (state.acceptor, state.read, state.failed) = (acceptor, now, None);
            }
            // It is tried again, since permissions may change without a trace, but logged once.
            Err(error) if state.failed.as_ref() != Some(&now) => {
                tracing::error!(
                    "the certificate for callers has changed and cannot be used; the old one stays: {error}"
                );
                state.failed = Some(now);
            }
            Err(_) => {}
        }
    }

    /// The acceptor with the current certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.state().acceptor.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, String> {
    let material = files.read();
    let material = material.map_err(|error| format!("{}: {error}", error.key))?;
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

fn stamps(files: &TlsFiles) -> FileStamps {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let paths = [
        Some(&files.certificate),
        Some(&files.key),
        files.client_ca.as_ref(),
    ];
    paths
        .into_iter()
        .flatten()
        .map(|path| stamp(path))
        .collect()
}
