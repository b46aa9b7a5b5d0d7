//! TLS with callers: the certificate that the proxy shows, and those that callers have to show.
//!
//! Certificates are short-lived, so the files are looked at every few seconds and read again when they
//! have changed. One that cannot be used leaves the old one in place.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::{TlsFiles, TlsFilesError, TlsMaterial};

/// TLS for the `https://` addresses of `listen`.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    /// How the files looked when they were last read, and when that failed.
    seen: Mutex<(Seen, Option<Seen>)>,
    certificate: Arc<Certificate>,
    /// Made anew with the roots of callers.
    acceptor: RwLock<TlsAcceptor>,
}

/// When a file was last changed, and how long it was.
type Seen = Vec<Option<(SystemTime, u64)>>;

/// Why TLS with callers cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerTlsError {
    /// The files cannot be used.
    #[error("{key}: {0}", key = .0.key)]
    Files(#[from] TlsFilesError),
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    #[error(
        "tls.key_file: the key does not belong to the certificate of tls.cert_file, or is of an unsupported kind; give the one that it was made with"
    )]
    Key(#[source] rustls::Error),
    /// The roots of callers cannot be used.
    #[error(
        "tls.client_ca_file: a certificate in it cannot be used as a root; give CA certificates"
    )]
    ClientRoots,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A [`ServerTlsError`].
    pub fn new(files: &TlsFiles) -> Result<Self, ServerTlsError> {
        let seen = seen(files);
        let material = files.read()?;
        let certificate = Arc::new(Certificate(RwLock::new(certified(&material)?)));
        let acceptor = acceptor(&certificate, material)?;
        Ok(Self(Arc::new(Inner {
            files: files.clone(),
            seen: Mutex::new((seen, None)),
            certificate,
            acceptor: RwLock::new(acceptor),
        })))
    }

    /// Reads the files again if they have changed. To be called every few seconds.
    pub fn refresh(&self) {
        let now = seen(&self.0.files);
        let mut last = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, failed) = &mut *last;
        if *read == now {
            return;
        }
        match self.read_again() {
            Ok(()) => {
                tracing::info!("the certificate for callers was read again");
                (*read, *failed) = (now, None);
            }
            // It is tried again, since permissions may change without a trace, but said once.
            Err(error) if failed.as_ref() != Some(&now) => {
                tracing::error!(
                    "the certificate for callers has changed and cannot be used; the old one stays: {error}"
                );
                *failed = Some(now);
            }
            Err(_) => {}
        }
    }

    fn read_again(&self) -> Result<(), ServerTlsError> {
        let material = self.0.files.read()?;
        let certified = certified(&material)?;
        let acceptor = acceptor(&self.0.certificate, material)?;
        *self
            .0
            .certificate
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = certified;
        *self
            .0
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// The acceptor with the certificate of the moment.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let acceptor = self.0.acceptor.read();
        acceptor.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// The certificate that is shown at the moment.
#[derive(Debug)]
struct Certificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn certified(material: &TlsMaterial) -> Result<Arc<CertifiedKey>, ServerTlsError> {
    let key = aws_lc_rs::sign::any_supported_type(&material.key).map_err(ServerTlsError::Key)?;
    let certified = CertifiedKey::new(material.chain.clone(), key);
    certified.keys_match().map_err(ServerTlsError::Key)?;
    Ok(Arc::new(certified))
}

fn acceptor(
    certificate: &Arc<Certificate>,
    material: TlsMaterial,
) -> Result<TlsAcceptor, ServerTlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("the provider has cipher suites for both versions");
    let builder = match material.client_roots {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let mut store = RootCertStore::empty();
            roots
                .into_iter()
                .try_for_each(|root| store.add(root))
                .map_err(|_| ServerTlsError::ClientRoots)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(store.into(), provider);
            let verifier = verifier.build().map_err(|_| ServerTlsError::ClientRoots)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let certificate: Arc<Certificate> = Arc::clone(certificate);
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn seen(files: &TlsFiles) -> Seen {
    let look = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let mut seen = vec![look(&files.certificate), look(&files.key)];
    seen.extend(files.client_ca.as_deref().map(look));
    seen
}
