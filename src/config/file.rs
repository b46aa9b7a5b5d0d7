//! Reads configuration, credentials and certificates: regular files of at most 1 MiB, never
//! blocking. Files with a secret are read only if other users cannot read them.
//!
//! Secrets are read here and not by the config reader, which changes types, and whose library quotes
//! values in errors.
//!
//! # What can go wrong
//!
//! A path may name something other than a regular file. Opening a FIFO waits for a writer, and
//! `/dev/zero` has no end. Files are therefore opened with `O_NONBLOCK`, and type and length are
//! checked on the open descriptor: the target of a path may change between a check and the opening.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};

/// The longest file that is read, in bytes. Real ones have a few kilobytes.
const MAX_LEN: u64 = 1024 * 1024;

const ROOM: usize = MAX_LEN as usize + 4096;

/// Why a file is not read. The texts continue a sentence that begins with the name of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error(
        "does not exist\nhint: correct the path, in which `~` is not expanded, or put the file there"
    )]
    Missing,
    /// It cannot be opened or read.
    #[error("cannot be read ({})\nhint: make it readable for the user that runs the proxy", .0.kind())]
    Unreadable(#[source] io::Error),
    /// It is a directory, FIFO, device or socket.
    #[error("is a {0}\nhint: write the content to a regular file, and name that file")]
    WrongKind(&'static str),
    /// It is longer than 1 MiB.
    #[error("is larger than 1 MiB\nhint: correct the path, or shorten the file")]
    TooLarge,
    /// It holds a secret, and users other than owner and group may read or write it.
    #[error("is open to other users of this machine\nhint: run `chmod o-rwx` on it")]
    Exposed,
    /// It should hold a secret, and is empty.
    #[error("is empty\nhint: write the secret into it")]
    Empty,
}

impl FileError {
    /// `true` if the path names something that cannot become readable by itself, such as a device.
    pub fn is_wrong_kind(&self) -> bool {
        matches!(self, Self::WrongKind(..) | Self::TooLarge)
    }
}

/// Reads a file that holds no secret.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    read_to_end(open(path)?.0, &mut content)?;
    Ok(content)
}

/// Reads a file that holds a secret.
///
/// The group may read it, because that is how Kubernetes gives a secret to a user that is not root.
pub(crate) fn read_secret_file(path: &Path) -> Result<SecretBox<Vec<u8>>, FileError> {
    let (file, metadata) = open(path)?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(FileError::Exposed);
    }
    // Room for the longest file, and more than the standard library wants to have left, so that the
    // buffer neither grows nor is read ahead: both leave copies behind. It is zeroized even if reading
    // fails.
    let mut content = SecretBox::new(Box::new(Vec::with_capacity(ROOM)));
    read_to_end(file, content.expose_secret_mut())?;
    let is_empty = content.expose_secret().is_empty();
    (!is_empty).then_some(content).ok_or(FileError::Empty)
}

/// Reads a token that callers have to send, without white space around it. The error does not name
/// the file.
pub(super) fn read_token(
    path: &Path,
    least: usize,
    what: &str,
    is_part: fn(&u8) -> bool,
) -> Result<SecretString, String> {
    let content = read_secret_file(path).map_err(|error| format!("the file {error}"))?;
    let token = without_bom(content.expose_secret()).trim_ascii();
    let is_token = token.len() >= least && token.iter().all(is_part);
    let token = str::from_utf8(token).ok().filter(|_| is_token);
    token.map(SecretString::from).ok_or_else(|| {
        format!("the file has no token of at least {least} {what}\nhint: create one with `openssl rand -hex 32`")
    })
}

/// The content of a text file without the byte order mark that some editors put before it.
pub(super) fn without_bom(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

fn open(path: &Path) -> Result<(File, Metadata), FileError> {
    // O_NOCTTY: a terminal must not become that of the process.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(|error| {
        // A socket, or a device without a driver, cannot be opened at all.
        let found = fs::metadata(path);
        let wrong_kind = found.map(|found| require_regular(found.file_type()).err());
        match (error.kind(), wrong_kind) {
            (io::ErrorKind::NotFound, _) => FileError::Missing,
            (_, Ok(Some(wrong_kind))) => wrong_kind,
            _ => FileError::Unreadable(error),
        }
    })?;
    let metadata = file.metadata().map_err(FileError::Unreadable)?;
    require_regular(metadata.file_type())?;
    match metadata.len() {
        ..=MAX_LEN => Ok((file, metadata)),
        _ => Err(FileError::TooLarge),
    }
}

/// Appends the content of a file to a buffer. The length is checked again: the file may grow
/// meanwhile.
fn read_to_end(file: File, content: &mut Vec<u8>) -> Result<(), FileError> {
    match file.take(MAX_LEN + 1).read_to_end(content) {
        Ok(length) if length as u64 <= MAX_LEN => Ok(()),
        Ok(_) => Err(FileError::TooLarge),
        Err(error) => Err(FileError::Unreadable(error)),
    }
}

fn require_regular(kind: FileType) -> Result<(), FileError> {
    Err(FileError::WrongKind(match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "directory",
        _ if kind.is_fifo() => "pipe, like the one that the shell makes for `<(...)`",
        _ if kind.is_socket() => "socket",
        _ => "device",
    }))
}

/// Replaces a file atomically. The new file has the owner and mode of the old one; without an old one,
/// only its owner can read it.
pub(crate) fn replace_file(path: &Path, text: &str) -> io::Result<File> {
    let new = path.with_file_name(format!(".apig-proxy-{}", std::process::id()));
    // A file of this name can only be left over from a process with the same id.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&new)?;
    let mut write = || {
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(path) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            let mode = fs::Permissions::from_mode(old.mode() & 0o770);
            file.set_permissions(mode)?;
        }
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&new)))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_secret_is_read_unchanged_without_copies_and_only_if_others_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |content: &[u8], mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read_secret_file(&path)
        };
        for mode in [0o644, 0o604, 0o602, 0o601, 0o777] {
            let error = read(b"MARKER", mode).unwrap_err().to_string();
            assert!(error.contains("`chmod o-rwx`"), "{mode:o} {error}");
        }
        let content = b"\xef\xbb\xbf a\r\n\xff";
        for mode in [0o600, 0o640] {
            let read = read(content, mode).unwrap();
            assert_eq!(read.expose_secret(), content);
            assert_eq!(read.expose_secret().capacity(), ROOM, "it has grown");
        }
        assert!(matches!(read(b"", 0o600), Err(FileError::Empty)));
    }
}
