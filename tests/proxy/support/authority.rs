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

/// A gateway that asks for a client certificate, and one that it takes.
pub(crate) struct Asking {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// TLS for 127.0.0.1 that asks for a client certificate.
pub(crate) fn asking(version: &'static SupportedProtocolVersion) -> Asking {
    let issuer = issuer("trusted");
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &*issuer).unwrap(), key)
    };
    let ((server, server_key), (client, client_key)) = (signed("127.0.0.1"), signed("client"));
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    Asking {
        root: issuer.der().clone(),
        tls: Arc::new(tls),
        certificate_pem: client.pem(),
        key_pem: client_key.serialize_pem(),
    }
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
    let key = KeyPair::generate().unwrap();
    let certificate = match flaw {
        Some(Flaw::SelfSigned) => params.self_signed(&key),
        Some(Flaw::UnknownAuthority) => params.signed_by(&key, &*other),
        _ => params.signed_by(&key, &*trusted),
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.unwrap().der().clone()], key)
        .unwrap();
    (trusted.der().clone(), Arc::new(config))
}

/// A root of this name.
pub(crate) fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
