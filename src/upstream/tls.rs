//! Trust in the gateway: TLS 1.2 and 1.3 with the platform's roots, in one place.
//!
//! There is no way to switch verification off: whoever could pretend to be the gateway would get
//! signed requests. A private root is added with `upstream_tls.ca_file`.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The ALPN names of the protocols (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// How TLS connections to the gateway are made. Clones are equal and share the sessions that can
/// be resumed.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    http1: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// There are no roots to trust.
    #[error(
        "no trusted root certificates were found; install the system's CA certificates \
         (Debian: ca-certificates), set SSL_CERT_FILE, or set upstream_tls.ca_file"
    )]
    NoRoots(#[source] rustls::Error),
    /// A root of `upstream_tls.ca_file` cannot be trusted.
    #[error(
        "upstream_tls.ca_file has a certificate that cannot be used as a root; give CA certificates in PEM form"
    )]
    Root(#[source] rustls::Error),
    /// The upstream's host cannot be the name of a certificate.
    #[error(
        "the host of upstream is not a name or address that a certificate can be for; correct it"
    )]
    ServerName,
}

impl TlsSettings {
    /// Settings that trust the platform's roots and the given ones.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::Root`] for a given root that is not one, [`TlsSetupError::NoRoots`] if
    /// there are none at all.
    pub fn new(extra_roots: &[CertificateDer<'static>]) -> Result<Self, TlsSetupError> {
        let mut given = RootCertStore::empty();
        extra_roots
            .iter()
            .try_for_each(|root| given.add(root.clone()))
            .map_err(TlsSetupError::Root)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = extra_roots.iter().cloned();
        let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider))
            .map_err(TlsSetupError::NoRoots)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("the provider has cipher suites for both versions")
            // The name says "dangerous" for any verifier of one's own; this one checks chain and
            // name.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let mut both = config.clone();
        both.alpn_protocols.insert(0, HTTP2.to_vec());
        Ok(Self {
            http1: Arc::new(config),
            both: Arc::new(both),
        })
    }

    /// Performs the handshake, with HTTP/1.1 offered by ALPN, and HTTP/2 before it if wanted.
    pub(super) async fn connect(
        &self,
        name: ServerName<'static>,
        offers_http2: bool,
        tcp: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = match offers_http2 {
            true => &self.both,
            false => &self.http1,
        };
        TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await
    }
}

impl PartialEq for TlsSettings {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.http1, &other.http1)
    }
}

impl Eq for TlsSettings {}
