//! Files that hold a secret: read as they are, and only if nobody else can read them.
//!
//! Separate from the rest of the configuration, so that no secret ever passes through a general
//! reader that retypes values or quotes them in its errors.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The largest file that is read, in bytes. Files with a key have a few hundred.
const LARGEST: u64 = 1024 * 1024;

/// Room for a file.
const ROOM: usize = 1024 * 1024 + 4096;

/// Why a file with a secret is not read. Paths are named, contents never.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// There is no such file.
    #[error("{} does not exist; correct the path, or put the file there", .0.display())]
    Missing(PathBuf),
    /// It cannot be opened or read.
    #[error("{} cannot be read ({}); make it readable for the user that runs the proxy", .path.display(), .source.kind())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is a directory.
    #[error("{} is a directory; name the file in it", .0.display())]
    Directory(PathBuf),
    /// Others than owner and group may read or write it.
    #[error("{path} is open to other users of this machine; run: chmod o-rwx {path}", path = .0.display())]
    Open(PathBuf),
    /// It is empty.
    #[error("{} is empty; write the key into it", .0.display())]
    Empty(PathBuf),
    /// It is far larger than a file with a key.
    #[error("{} is larger than 1 MiB and so no file with a key; correct the path", .0.display())]
    TooLarge(PathBuf),
}

impl SecretFileError {
    /// What is wrong without the path, for a key whose value may be the secret itself, by mistake.
    #[must_use]
    pub fn without_path(&self) -> String {
        match self {
            Self::Missing(_) => {
                "the file does not exist; correct the path, or put the file there".to_owned()
            }
            Self::Unreadable { source, .. } => {
                format!(
                    "the file cannot be read ({}); make it readable for the user that runs the proxy",
                    source.kind()
                )
            }
            Self::Directory(_) => "this is a directory; name the file in it".to_owned(),
            Self::Open(_) => {
                "the file is open to other users of this machine; run chmod o-rwx on it".to_owned()
            }
            Self::Empty(_) => "the file is empty; write the secret into it".to_owned(),
            Self::TooLarge(_) => "the file is larger than 1 MiB; correct the path".to_owned(),
        }
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
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SecretFileError::Missing(path.to_owned()),
        _ => SecretFileError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(SecretFileError::Directory(path.to_owned()));
    }
    if is_open_to_others(&metadata) {
        return Err(SecretFileError::Open(path.to_owned()));
    }
    // Room for all there may be, and more than the standard library wants to have left, so that it
    // neither grows nor reads ahead: both leave copies behind. It is wiped even if reading fails.
    let mut content = SecretBox::new(Box::new(Vec::with_capacity(ROOM)));
    file.by_ref()
        .take(LARGEST + 1)
        .read_to_end(content.expose_secret_mut())
        .map_err(unreadable)?;
    match content.expose_secret().len() as u64 {
        0 => Err(SecretFileError::Empty(path.to_owned())),
        length if length > LARGEST => Err(SecretFileError::TooLarge(path.to_owned())),
        _ => Ok(content),
    }
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

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

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
