//! Certificate and key for TLS with callers, and whose certificates callers have to show.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use super::file::{FileError, read_file, without_bom};
use super::secret::{SecretFileError, read_secret_file};

/// The files of `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to its root, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Roots of the certificates that callers have to show; `None` if they need none.
    pub client_ca: Option<PathBuf>,
}

/// What the files hold.
#[derive(Debug)]
pub struct TlsMaterial {
    /// The certificate, and those that lead to its root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the certificate.
    pub key: PrivateKeyDer<'static>,
    /// Roots of the certificates that callers have to show.
    pub client_roots: Option<Vec<CertificateDer<'static>>>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFilesError {
    /// The certificate cannot be read.
    #[error("the file {0}")]
    Certificate(#[source] FileError),
    /// There is no certificate in the file.
    #[error("the file has no certificate; expected PEM, with BEGIN CERTIFICATE")]
    NoCertificate,
    /// The key cannot be read.
    #[error("{}", .0.without_path())]
    Key(#[from] SecretFileError),
    /// There is no key in the file.
    #[error("the file has no key; expected PEM, with BEGIN PRIVATE KEY, and without a passphrase")]
    NoKey,
    /// The roots of callers cannot be read.
    #[error("the file {0}")]
    ClientRoots(#[source] FileError),
    /// There are no roots in the file.
    #[error("the file has no certificate; expected PEM, with BEGIN CERTIFICATE")]
    NoClientRoots,
}

impl TlsFilesError {
    /// The key of the configuration that names the file.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Certificate(_) | Self::NoCertificate => "tls.cert_file",
            Self::Key(_) | Self::NoKey => "tls.key_file",
            Self::ClientRoots(_) | Self::NoClientRoots => "tls.client_ca_file",
        }
    }
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A [`TlsFilesError`]; the key is not read if others than owner and group can read it.
    pub fn read(&self) -> Result<TlsMaterial, TlsFilesError> {
        let chain = certificates(&self.certificate).map_err(TlsFilesError::Certificate)?;
        let chain = chain.ok_or(TlsFilesError::NoCertificate)?;
        let key = read_secret_file(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(without_bom(key.expose_secret()));
        let client_roots = match &self.client_ca {
            Some(path) => {
                let roots = certificates(path).map_err(TlsFilesError::ClientRoots)?;
                Some(roots.ok_or(TlsFilesError::NoClientRoots)?)
            }
            None => None,
        };
        Ok(TlsMaterial {
            chain,
            key: key.map_err(|_| TlsFilesError::NoKey)?,
            client_roots,
        })
    }
}

/// The certificates of a file; `None` if it holds none, or something that is not one.
pub(super) fn certificates(path: &Path) -> Result<Option<Vec<CertificateDer<'static>>>, FileError> {
    let text = read_file(path)?;
    let certificates = CertificateDer::pem_slice_iter(without_bom(&text));
    let certificates = certificates.collect::<Result<Vec<_>, _>>();
    Ok(certificates.ok().filter(|found| !found.is_empty()))
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
        let material = files.read().unwrap();
        assert_eq!(material.chain, [cert.der().clone()]);
        assert_eq!(material.client_roots, Some(material.chain));
    }
}
