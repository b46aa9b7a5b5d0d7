//! Trust in the gateway: TLS 1.2 and 1.3 with the platform's roots, in one place.
//!
//! Verification cannot be switched off: whoever could pretend to be the gateway would get signed
//! requests. A private root is added with `upstream_tls.ca_file`. Gateways that ask for one
//! get the client certificate of `upstream_tls.cert_file`, which is read again when it changes.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{TlsFiles, UpstreamTls, Watched};
use crate::error::Error;

/// The ALPN names of the protocols (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// How TLS connections to the gateway are made. Clones are equal and share the sessions that can
/// be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings(Watched<Client>);

/// TLS with one client certificate or none. Sessions are resumed only with the certificate that they
/// began with, since rustls compares the resolvers.
#[derive(Clone, Debug)]
struct Client {
    http1: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
    certificate: Arc<ClientCertificate>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// There are no roots to trust.
    #[error(
        "no trusted root certificates were found\nhint: install the system's CA certificates (Debian: \
         ca-certificates), set `SSL_CERT_FILE`, or set `upstream_tls.ca_file`"
    )]
    NoRoots(#[source] rustls::Error),
    /// A root of `upstream_tls.ca_file` cannot be trusted.
    #[error(
        "`upstream_tls.ca_file` has a certificate that cannot be used as a root\nhint: give CA certificates in PEM form"
    )]
    Root(#[source] rustls::Error),
    /// The client certificate or its key cannot be used.
    #[error("{0}")]
    Certificate(String),
}

impl TlsSettings {
    /// Settings that trust the platform's roots and the configured ones, and show the configured
    /// client certificate.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::Root`] for a given root that is not one, [`TlsSetupError::NoRoots`] if
    /// there are none at all, [`TlsSetupError::Certificate`].
    pub fn new(config: &UpstreamTls) -> Result<Self, TlsSetupError> {
        let roots = || config.extra_roots.iter().cloned();
        let mut given = RootCertStore::empty();
        let added = roots().try_for_each(|root| given.add(root));
        added.map_err(TlsSetupError::Root)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(roots(), Arc::clone(&provider));
        let verifier = verifier.map_err(TlsSetupError::NoRoots)?;
        let base = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("the provider has cipher suites for both versions")
            // The name says "dangerous" for any verifier of one's own; this one checks chain and
            // name.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let files = config.client.clone();
        let paths = files.as_ref().map(TlsFiles::paths).unwrap_or_default();
        let load = move || {
            Ok(Client::new(
                &base,
                files.as_ref().map(client_key).transpose()?,
            ))
        };
        let watched = Watched::new("the client certificate for the gateway", paths, load);
        watched.map(Self).map_err(TlsSetupError::Certificate)
    }

    /// Reads the client certificate again if its files have changed.
    pub(crate) fn refresh(&self) {
        self.0.refresh();
    }

    /// Performs the handshake, with HTTP/1.1 offered by ALPN, and HTTP/2 before it if wanted.
    pub(super) async fn connect(
        &self,
        name: ServerName<'static>,
        offers_http2: bool,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let client = self.0.current();
        let config = match offers_http2 {
            true => client.both,
            false => client.http1,
        };
        let connector = TlsConnector::from(config);
        connector.connect(name, tcp).await.map_err(|error| {
            // In TLS 1.2, a missing certificate may be a failure of the handshake like any other.
            let is_failure = alert(&error) == Some(AlertDescription::HandshakeFailure);
            let is_asked_for = client.certificate.is_asked_for.load(Ordering::Relaxed);
            match is_about_certificate(&error) || (is_failure && is_asked_for) {
                true => Error::ClientCertificate(error.into()),
                false => Error::Tls(problem(&error), error),
            }
        })
    }
}

impl Client {
    fn new(base: &ClientConfig, key: Option<Arc<CertifiedKey>>) -> Self {
        let is_asked_for = AtomicBool::new(false);
        let certificate = Arc::new(ClientCertificate { key, is_asked_for });
        let mut http1 = base.clone();
        http1.client_auth_cert_resolver = Arc::clone(&certificate) as _;
        http1.alpn_protocols = vec![HTTP1.to_vec()];
        let mut both = http1.clone();
        both.alpn_protocols.insert(0, HTTP2.to_vec());
        Self {
            http1: Arc::new(http1),
            both: Arc::new(both),
            certificate,
        }
    }
}

#[derive(Debug)]
struct ClientCertificate {
    key: Option<Arc<CertifiedKey>>,
    /// A gateway has asked for one.
    is_asked_for: AtomicBool,
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_asked_for.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

fn client_key(files: &TlsFiles) -> Result<Arc<CertifiedKey>, String> {
    let material = files.read("upstream_tls");
    let material = material.map_err(|problem| problem.to_string())?;
    CertifiedKey::from_der(material.chain, material.key, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|_| "`upstream_tls.key_file`: the key does not belong to the certificate of `upstream_tls.cert_file`, or is of an unsupported kind\nhint: give the one that it was made with".to_owned())
}

/// What is wrong with a TLS handshake, and what to do.
fn problem(error: &io::Error) -> &'static str {
    use rustls::CertificateError as Certificate;
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(InvalidMessage(_)) => {
            "its port speaks something else\nhint: check the port in `upstream`, and whether it wants `http://`"
        }
        Some(InvalidCertificate(Certificate::UnknownIssuer)) => {
            "the root of its certificate is not trusted\nhint: put the root into `upstream_tls.ca_file`"
        }
        Some(InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        )) => {
            "its certificate is not valid at this time\nhint: check this machine's clock, or have the certificate renewed"
        }
        Some(InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        )) => {
            "its certificate is for another name\nhint: set `upstream` to a name of the certificate, and `upstream_address` to where the gateway is"
        }
        _ => {
            "the handshake failed\nhint: check the certificate, `upstream_tls.ca_file` and the clock"
        }
    }
}

/// True if the gateway ended TLS because of the client certificate, or because there is none.
pub(super) fn is_about_certificate(error: &(dyn StdError + 'static)) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    matches!(
        alert(error),
        Some(
            AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                | UnknownCA
                | UnsupportedCertificate
        )
    )
}

/// The alert by which the gateway ended TLS.
fn alert(error: &(dyn StdError + 'static)) -> Option<AlertDescription> {
    let mut errors = std::iter::successors(Some(error), |&error| cause(error));
    errors.find_map(|error| match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    })
}

/// The cause of an error. The source of an I/O error is that of the error in it.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let io = error.downcast_ref::<io::Error>();
    match io.and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
