//! A certificate authority that is made at the start and never stored.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

const MADE: &str = "a certificate of the program's own making is valid";

impl Authority {
    /// An authority with a new key.
    #[expect(
        clippy::new_without_default,
        reason = "it generates a key, which a default should not"
    )]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect(MADE);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "apig-proxy emulated gateway";
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect(MADE)).expect(MADE))
    }

    /// The root that a caller has to trust.
    pub fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// The root, in PEM.
    pub fn root_pem(&self) -> String {
        self.0.pem()
    }

    /// TLS of these versions for a server with these names and addresses.
    ///
    /// # Panics
    ///
    /// If one of them cannot be in a certificate.
    pub fn server_config(
        &self,
        names: &[String],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect(MADE);
        let params = CertificateParams::new(names).expect(MADE);
        let certificate = params.signed_by(&key, &*self.0).expect(MADE);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect(MADE);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider has cipher suites for every version")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect(MADE);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}
