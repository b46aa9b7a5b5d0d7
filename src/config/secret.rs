//! Files that hold a secret: read as they are, and only if other users cannot read them.
//!
//! Secrets never pass through the config reader, which changes types and whose library quotes
//! values in errors.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::file::{FileError, MAX_LEN, open, read_to_end};

/// Room for a file.
const ROOM: usize = MAX_LEN as usize + 4096;

/// Why a file with a secret is not read. Paths are named, contents never.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It cannot be read, or is not a regular file of bounded length.
    #[error("{} {source}", .path.display())]
    NotRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// Users other than owner and group may read or write it.
    #[error("{path} is open to other users of this machine; run: chmod o-rwx {path}", path = .0.display())]
    Open(PathBuf),
    /// It is empty.
    #[error("{} is empty; write the key into it", .0.display())]
    Empty(PathBuf),
}

impl SecretFileError {
    /// What is wrong without the path, for a key whose value may be the secret itself, by mistake.
    #[must_use]
    pub fn without_path(&self) -> String {
        match self {
            Self::NotRead { source, .. } => format!("the file {source}"),
            Self::Open(_) => {
                "the file is open to other users of this machine; run chmod o-rwx on it".to_owned()
            }
            Self::Empty(_) => "the file is empty; write the secret into it".to_owned(),
        }
    }

    /// `true` if the path names something that cannot become readable by itself, such as a device.
    #[must_use]
    pub fn is_wrong_kind(&self) -> bool {
        matches!(self, Self::NotRead { source, .. } if source.is_wrong_kind())
    }
}

/// Reads a file that holds a secret.
///
/// The group may read it, because that is how Kubernetes gives a secret to a user that is not root.
///
/// # Errors
///
/// A [`SecretFileError`].
pub fn read_secret_file(path: &Path) -> Result<SecretBox<Vec<u8>>, SecretFileError> {
    let not_read = |source| SecretFileError::NotRead {
        path: path.to_owned(),
        source,
    };
    let (file, metadata) = open(path).map_err(not_read)?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(SecretFileError::Open(path.to_owned()));
    }
    // Room for all there may be, and more than the standard library wants to have left, so that it
    // neither grows nor reads ahead: both leave copies behind. It is wiped even if reading fails.
    let mut content = SecretBox::new(Box::new(Vec::with_capacity(ROOM)));
    read_to_end(file, content.expose_secret_mut()).map_err(not_read)?;
    let is_empty = content.expose_secret().is_empty();
    if is_empty {
        Err(SecretFileError::Empty(path.to_owned()))
    } else {
        Ok(content)
    }
}

/// The token that clients must send, kept as its hash: it has only to be recognised.
#[derive(Clone)]
pub struct CallerToken([u8; 32]);

impl CallerToken {
    /// The token with this text.
    #[must_use]
    pub fn new(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Compares in constant time.
    #[must_use]
    pub fn is(&self, sent: &[u8]) -> bool {
        *self == Self::new(sent)
    }

    /// Reads the token from a file. White space around it does not count. The error does not name
    /// the file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        const EXPECTED: &str = "the file has to hold one token of at least 16 visible ascii characters; make one with: openssl rand -hex 32";
        let content = read_secret_file(path).map_err(|error| error.without_path())?;
        let token = content.expose_secret().trim_ascii();
        let is_token = token.len() >= 16 && token.iter().all(u8::is_ascii_graphic);
        is_token
            .then(|| Self::new(token))
            .ok_or_else(|| EXPECTED.to_owned())
    }
}

impl PartialEq for CallerToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_file_open_to_others_is_refused_with_the_command_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.csv");
        fs::write(&path, "MARKER").unwrap();
        for (mode, is_open) in [0o644, 0o604, 0o602, 0o601, 0o777]
            .map(|mode| (mode, true))
            .into_iter()
            .chain([0o600, 0o400, 0o640, 0o440].map(|mode| (mode, false)))
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read_secret_file(&path)
                .err()
                .map_or_else(String::new, |error| error.to_string());
            assert_eq!(error.contains("chmod o-rwx /"), is_open, "{mode:o}");
            assert!(
                error.is_empty() != is_open && !error.contains("MARKER"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_content_is_read_unchanged_and_without_copies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let write = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            read_secret_file(&path)
        };
        let content = write(b"\xef\xbb\xbf a\r\n\xff").unwrap();
        assert_eq!(content.expose_secret(), b"\xef\xbb\xbf a\r\n\xff");
        assert_eq!(content.expose_secret().capacity(), ROOM, "it has grown");
        assert!(write(b"").unwrap_err().to_string().contains("is empty"));
    }
}
