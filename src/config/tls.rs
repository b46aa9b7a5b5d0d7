//! TLS with clients (`[tls]`) and with upstreams (`[upstream_tls]`): the files of certificates and keys.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use super::address::Listen;
use super::file::{read_file, read_secret_file, without_bom};
use super::problem::{Place, Problem};
use super::reader::Reader;
use super::value::{file, loaded};

/// The files of a certificate: that of `[tls]`, or the client certificate of `[upstream_tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
    /// Roots of client certificates, which are then required.
    pub client_ca: Option<PathBuf>,
}

/// TLS with the upstream (`[upstream_tls]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// DER certificates trusted beside the platform's roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The client certificate, for gateways that ask for one.
    pub client: Option<TlsFiles>,
}

/// The content of the files.
#[derive(Debug)]
pub struct TlsMaterial {
    /// The certificate chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// Roots of client certificates.
    pub client_roots: Option<Vec<CertificateDer<'static>>>,
}

impl TlsFiles {
    /// All files.
    pub fn paths(&self) -> Vec<PathBuf> {
        let pair = [self.certificate.clone(), self.key.clone()];
        pair.into_iter().chain(self.client_ca.clone()).collect()
    }

    /// Reads the files, which keys of this table name.
    ///
    /// # Errors
    ///
    /// A [`Problem`]; the key is not read if users other than owner and group can read it.
    pub fn read(&self, table: &str) -> Result<TlsMaterial, Problem> {
        let problem = |key: &str| {
            let key = format!("{table}.{key}");
            move |message: String| Problem::new(Place::Nowhere, key, message)
        };
        let chain = certificates(&self.certificate).map_err(problem("cert_file"))?;
        let key = private_key(&self.key).map_err(problem("key_file"))?;
        let client_roots = self.client_ca.as_deref().map(certificates).transpose();
        let client_roots = client_roots.map_err(problem("client_ca_file"))?;
        Ok(TlsMaterial {
            chain,
            key,
            client_roots,
        })
    }
}

/// TLS with clients, which an `https://` address of `listen` needs.
pub(super) fn server_tls(reader: &mut Reader, listen: &[Listen]) -> Option<TlsFiles> {
    let client_ca = reader.get("tls.client_ca_file", file);
    let serves_tls = listen.iter().any(|listen| matches!(listen, Listen::Tls(_)));
    let is_required = serves_tls || client_ca.is_some();
    tls_files(reader, "tls", client_ca, is_required)
}

pub(super) fn upstream_tls(reader: &mut Reader) -> UpstreamTls {
    let roots = reader.get("upstream_tls.ca_file", loaded(certificates));
    UpstreamTls {
        extra_roots: roots.unwrap_or_default(),
        client: tls_files(reader, "upstream_tls", None, false),
    }
}

/// Reads the keys of a table that name a certificate, and the files; `None` without both keys.
fn tls_files(
    reader: &mut Reader,
    table: &str,
    client_ca: Option<PathBuf>,
    is_required: bool,
) -> Option<TlsFiles> {
    let keys = ["cert_file", "key_file"].map(|key| format!("{table}.{key}"));
    let [certificate, key] = [&keys[0], &keys[1]].map(|key| reader.get(key, file));
    let missing = match (&certificate, &key) {
        (Some(_), Some(_)) => None,
        (None, None) if !is_required => None,
        (certificate, _) => Some(&keys[usize::from(certificate.is_some())]),
    };
    if let Some(missing) = missing {
        let [cert_file, key_file] = &keys;
        let needs = format!("a certificate needs `{cert_file}` and `{key_file}`");
        reader.report(missing, format!("expected the path of a PEM file: {needs}"));
    }
    let (certificate, key) = (certificate?, key?);
    let files = TlsFiles {
        certificate,
        key,
        client_ca,
    };
    if let Err(problem) = files.read(table) {
        reader.report(&problem.key, problem.message);
    }
    Some(files)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    const EXPECTED: &str = "the file has no key\n\
        hint: give one in PEM, with BEGIN PRIVATE KEY, and without a passphrase";
    let key = read_secret_file(path).map_err(|error| format!("the file {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(without_bom(key.expose_secret()));
    key.map_err(|_| EXPECTED.to_owned())
}

/// Reads the certificates of a file, of which there is at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    const EXPECTED: &str =
        "the file has no certificate\nhint: give one in PEM, with BEGIN CERTIFICATE";
    let text = read_file(path).map_err(|error| format!("the file {error}"))?;
    let certificates = CertificateDer::pem_slice_iter(without_bom(&text));
    let certificates: Option<Vec<_>> = certificates.collect::<Result<_, _>>().ok();
    let certificates = certificates.filter(|found| !found.is_empty());
    Ok(certificates.ok_or(EXPECTED)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_keys_may_have_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(name);
            std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            path
        };
        let certificate = file("cert.pem", cert.pem());
        let files = TlsFiles {
            key: file("key.pem", signing_key.serialize_pem()),
            client_ca: Some(certificate.clone()),
            certificate,
        };
        let material = files.read("tls").unwrap();
        assert_eq!(material.chain, [cert.der().clone()]);
        assert_eq!(material.client_roots, Some(material.chain));
    }
}
