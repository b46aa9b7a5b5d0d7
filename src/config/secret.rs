//! Files that hold a secret: read as they are, and only if nobody else can read them.
//!
//! Separate from the rest of the configuration, so that no secret ever passes through a general
//! reader that retypes values or quotes them in its errors.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::file::{FileError, MAX_LEN, RegularFile};

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
    /// Others than owner and group may read or write it.
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

    /// Whether the path leads to something that cannot become readable by itself, such as a device.
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
    let file = RegularFile::open(path).map_err(not_read)?;
    if is_open_to_others(file.metadata()) {
        return Err(SecretFileError::Open(path.to_owned()));
    }
    // Room for all there may be, and more than the standard library wants to have left, so that it
    // neither grows nor reads ahead: both leave copies behind. It is wiped even if reading fails.
    let mut content = SecretBox::new(Box::new(Vec::with_capacity(ROOM)));
    file.read_to_end(content.expose_secret_mut())
        .map_err(not_read)?;
    if content.expose_secret().is_empty() {
        return Err(SecretFileError::Empty(path.to_owned()));
    }
    Ok(content)
}

/// The token that callers must send, kept as its hash: it has only to be recognised.
#[derive(Clone)]
pub struct CallerToken([u8; 32]);

impl CallerToken {
    /// The token with this text.
    #[must_use]
    pub fn new(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the token. It takes the same time for every wrong one.
    #[must_use]
    pub fn is(&self, sent: &[u8]) -> bool {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        self.0.ct_eq(&sent).into()
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

/// Why a file with a caller token is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallerTokenError {
    /// The file cannot be read.
    #[error("{}", .0.without_path())]
    File(#[from] SecretFileError),
    /// What it holds cannot be a token.
    #[error(
        "the file has to hold one token of at least 16 visible ascii characters; make one with: openssl rand -hex 32"
    )]
    NotAToken,
}

/// Reads the token that callers must send. White space around it does not count.
///
/// # Errors
///
/// A [`CallerTokenError`].
pub fn read_caller_token(path: &Path) -> Result<CallerToken, CallerTokenError> {
    let content = read_secret_file(path)?;
    let token = content.expose_secret().trim_ascii();
    if token.len() < 16 || !token.iter().all(u8::is_ascii_graphic) {
        return Err(CallerTokenError::NotAToken);
    }
    Ok(CallerToken::new(token))
}

fn is_open_to_others(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o007 != 0
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn error_with_mode(mode: u32) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.csv");
        fs::write(&path, "MARKER").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read_secret_file(&path).err().map(|error| error.to_string())
    }

    #[test]
    fn a_file_open_to_others_is_refused_with_the_command_to_run() {
        for mode in [0o644, 0o604, 0o602, 0o601, 0o777] {
            let error = error_with_mode(mode).unwrap();
            assert!(
                error.contains("chmod o-rwx /") && !error.contains("MARKER"),
                "{error}"
            );
        }
        for mode in [0o600, 0o400, 0o640, 0o440] {
            assert_eq!(error_with_mode(mode), None, "{mode:o}");
        }
    }

    #[test]
    fn missing_empty_and_foreign_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let error = |path: &Path| read_secret_file(path).unwrap_err().to_string();
        assert!(error(&path).contains("does not exist"));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(error(folder.path()).contains("is a directory"));
        for (content, expected) in [
            (Vec::new(), "is empty"),
            (vec![b'x'; 1024 * 1024 + 1], "larger than 1 MiB"),
        ] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(error(&path).contains(expected), "{}", error(&path));
        }
    }

    #[test]
    fn the_content_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, b"\xef\xbb\xbf a\r\n\xff").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let content = read_secret_file(&path).unwrap();
        assert_eq!(content.expose_secret(), b"\xef\xbb\xbf a\r\n\xff");
        assert_eq!(content.expose_secret().capacity(), ROOM, "it has grown");
    }
}
