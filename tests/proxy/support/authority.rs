//! The certificate authority of all tests, made when they start.

use std::sync::{Arc, LazyLock};

use apig_proxy::emulator::Authority;
use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, SupportedProtocolVersion};

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// The root that the proxy under test trusts.
pub(crate) fn root() -> CertificateDer<'static> {
    AUTHORITY.root()
}

/// TLS for an upstream with these names.
pub(crate) fn server(
    names: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    AUTHORITY.server_config(&names, versions)
}
