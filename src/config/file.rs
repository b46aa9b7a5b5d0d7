//! Reads configuration, credentials and certificates: regular files of at most 1 MiB, never
//! blocking.
//!
//! # What can go wrong
//!
//! A path may name something else than a file. Opening a FIFO waits for a writer, and `/dev/zero`
//! has no end, at a reload as well as at the start. Files are therefore opened with `O_NONBLOCK`,
//! and type and length are checked on the open descriptor: the target of a path may change between
//! a check and the opening.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The longest file that is read, in bytes. Real ones have a few kilobytes.
pub(super) const MAX_LEN: u64 = 1024 * 1024;

/// Why a file is not read. The texts continue a sentence that begins with the name of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("does not exist; correct the path, or put the file there")]
    Missing,
    /// It cannot be opened or read.
    #[error("cannot be read ({}); make it readable for the user that runs the proxy", .0.kind())]
    Unreadable(#[source] io::Error),
    /// It is a directory, FIFO, device or socket.
    #[error("is a {0}")]
    WrongKind(&'static str),
    /// It is longer than 1 MiB.
    #[error("is larger than 1 MiB; correct the path, or shorten the file")]
    TooLarge,
}

impl FileError {
    /// `true` if the path names something that cannot become readable by itself, such as a device.
    #[must_use]
    pub fn is_wrong_kind(&self) -> bool {
        !matches!(self, Self::Missing | Self::Unreadable(_))
    }
}

/// Opens a regular file.
pub(super) fn open(path: &Path) -> Result<(File, Metadata), FileError> {
    // O_NOCTTY: a terminal must not become that of the process.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| not_opened(path, error))?;
    let metadata = file.metadata().map_err(FileError::Unreadable)?;
    require_regular(metadata.file_type())?;
    if metadata.len() > MAX_LEN {
        Err(FileError::TooLarge)
    } else {
        Ok((file, metadata))
    }
}

/// Appends the content of a file to a buffer. The length is checked again: the file may grow
/// meanwhile.
pub(super) fn read_to_end(file: File, content: &mut Vec<u8>) -> Result<(), FileError> {
    let read = file.take(MAX_LEN + 1).read_to_end(content);
    let length = read.map_err(FileError::Unreadable)? as u64;
    if length > MAX_LEN {
        Err(FileError::TooLarge)
    } else {
        Ok(())
    }
}

/// Reads a file that holds no secret.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    read_to_end(open(path)?.0, &mut content)?;
    Ok(content)
}

/// The content of a text file without the byte order mark that some editors put before it.
pub(super) fn without_bom(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

/// Why a file was not opened. A socket, or a device without a driver, cannot be opened at all.
fn not_opened(path: &Path, error: io::Error) -> FileError {
    if error.kind() == io::ErrorKind::NotFound {
        return FileError::Missing;
    }
    let metadata = std::fs::metadata(path).ok();
    let wrong_kind = metadata.and_then(|metadata| require_regular(metadata.file_type()).err());
    wrong_kind.unwrap_or(FileError::Unreadable(error))
}

fn require_regular(kind: FileType) -> Result<(), FileError> {
    let wrong_kind = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "directory; name the file in it",
        _ if kind.is_fifo() => {
            "pipe, like the one that the shell makes for <(...); write the content to a regular file and name that file"
        }
        _ if kind.is_socket() => "socket; write the content to a regular file and name that file",
        _ => "device; write the content to a regular file and name that file",
    };
    Err(FileError::WrongKind(wrong_kind))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn error(path: &Path) -> String {
        read_file(path).unwrap_err().to_string()
    }

    #[test]
    fn fault_101_only_regular_files_of_bounded_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pipe = path("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        fs::write(path("long"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
        fs::write(path("longest"), vec![b'#'; 1024 * 1024]).unwrap();
        for (path, expected) in [
            (path("none"), "does not exist"),
            (folder.path().to_owned(), "is a directory"),
            (pipe, "is a pipe"),
            (path("socket"), "is a socket"),
            ("/dev/zero".into(), "is a device"),
            (path("long"), "larger than 1 MiB"),
        ] {
            assert!(error(&path).contains(expected), "{}", error(&path));
        }
        assert_eq!(read_file(&path("longest")).unwrap().len(), 1024 * 1024);
    }

    #[test]
    fn a_file_that_reports_no_length_is_read_to_its_end() {
        let content = read_file(Path::new("/proc/self/status")).unwrap();
        assert!(content.starts_with(b"Name:"));
    }
}
