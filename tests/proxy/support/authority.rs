//! The certificate authority of all tests, made when they start.

use std::sync::{Arc, LazyLock};

use apig_proxy::emulator::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// The root that the proxy under test trusts.
pub(crate) fn root() -> CertificateDer<'static> {
    AUTHORITY.root()
}

/// The same root for a file.
pub(crate) fn root_pem() -> String {
    AUTHORITY.root_pem()
}

/// TLS for an upstream with these names.
pub(crate) fn server(
    names: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    AUTHORITY.server_config(&names, versions)
}

/// An authority of a test's own.
pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A root of this name.
pub(crate) fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    /// Both as text.
    pub(crate) pem: [String; 2],
}

impl Identity {
    pub(crate) fn new(issuer: &Issuer, name: &str) -> Self {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        Self::with(&params, Some(issuer))
    }

    /// Signed by itself without an issuer.
    fn with(params: &CertificateParams, issuer: Option<&Issuer>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, &**issuer),
            None => params.self_signed(&key),
        };
        let certificate = certificate.unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            pem: [certificate.pem(), key.serialize_pem()],
        }
    }
}

/// TLS for 127.0.0.1 that asks for a client certificate, the root to trust, and a certificate and its key that it takes.
pub(crate) fn asking(
    version: &'static SupportedProtocolVersion,
) -> (CertificateDer<'static>, Arc<ServerConfig>, [String; 2]) {
    let issuer = issuer("trusted");
    let [server, client] = ["127.0.0.1", "client"].map(|name| Identity::new(&issuer, name));
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![server.certificate], server.key)
        .unwrap();
    (issuer.der().clone(), Arc::new(tls), client.pem)
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Expired,
    NotYetValid,
    WrongName,
    UnknownAuthority,
    SelfSigned,
    ForClientsOnly,
}

/// A root that is trusted, and TLS for 127.0.0.1 that must not be, for one reason only; for no reason at
/// all without a flaw.
pub(crate) fn flawed(flaw: Option<Flaw>) -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let (trusted, other) = (issuer("trusted"), issuer("other"));
    let name = if flaw == Some(Flaw::WrongName) {
        "127.0.0.2"
    } else {
        "127.0.0.1"
    };
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
    match flaw {
        Some(Flaw::Expired) => params.not_after = rcgen::date_time_ymd(2021, 1, 1),
        Some(Flaw::NotYetValid) => params.not_before = rcgen::date_time_ymd(2119, 1, 1),
        Some(Flaw::ForClientsOnly) => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        _ => {}
    }
    let issuer = match flaw {
        Some(Flaw::SelfSigned) => None,
        Some(Flaw::UnknownAuthority) => Some(&other),
        _ => Some(&trusted),
    };
    let shown = Identity::with(&params, issuer);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.certificate], shown.key)
        .unwrap();
    (trusted.der().clone(), Arc::new(config))
}
