//! Unix sockets, whose access the file system controls.
//!
//! The socket is bound, then its permissions are set, and only then it listens: before that, the system
//! refuses connections, so there is no moment in which another user could connect.
//!
//! # What can go wrong
//!
//! A process that was killed leaves its socket behind. It is replaced, but only if it is a socket and
//! nobody listens; anything else at that path is left alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::sockets::BACKLOG;
use crate::config::UnixSocketConfig;

/// Who may connect, and the file that is removed at the end.
#[derive(Debug)]
pub(super) struct SocketAccess {
    /// Held for its drop: the file, unless another process removes it.
    _file: Option<OwnFile>,
    allowed_uids: Vec<u32>,
}

#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    /// What tells the file from one that took its place.
    inode: u64,
}

/// Binds a path.
///
/// # Errors
///
/// [`io::ErrorKind::AddrInUse`] if somebody listens there, [`io::ErrorKind::AlreadyExists`] if what is
/// there is no socket, and what the system says.
pub(super) fn bind(
    path: &Path,
    config: &UnixSocketConfig,
) -> io::Result<(UnixListener, SocketAccess)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(config.mode))?;
    if config.owner.is_some() || config.group.is_some() {
        chown(path, config.owner, config.group)?;
    }
    let inode = fs::symlink_metadata(path)?.ino();
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let access = SocketAccess {
        _file: Some(OwnFile {
            path: path.to_owned(),
            inode,
        }),
        allowed_uids: config.allowed_uids.clone(),
    };
    Ok((socket.into(), access))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl SocketAccess {
    /// Access to a socket that another process has bound, with permissions of its own.
    pub(super) fn activated(config: &UnixSocketConfig) -> Self {
        Self {
            _file: None,
            allowed_uids: config.allowed_uids.clone(),
        }
    }

    /// Whether a process of this user may connect.
    pub(super) fn allows(&self, uid: u32) -> bool {
        self.allowed_uids.is_empty() || self.allowed_uids.contains(&uid)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode);
        if is_ours {
            // If it cannot be removed, the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(mode: u32) -> UnixSocketConfig {
        UnixSocketConfig {
            mode,
            owner: None,
            group: None,
            allowed_uids: vec![7],
        }
    }

    #[test]
    fn a_socket_has_the_permissions_that_are_asked_for_and_is_gone_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        for mode in [0o600, 0o660] {
            let (_socket, access) = bind(&path, &config(mode)).unwrap();
            let found = fs::symlink_metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
            assert!(access.allows(7) && !access.allows(0));
            drop(access);
            assert!(!path.exists());
        }
    }

    #[test]
    fn fault_69_only_a_socket_that_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        // Left behind by a process that was killed.
        drop(UnixListener::bind(&path).unwrap());
        let (socket, access) = bind(&path, &config(0o600)).unwrap();
        let taken = bind(&path, &config(0o600)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop((socket, access));
        fs::write(&path, "a file of somebody's").unwrap();
        let other = bind(&path, &config(0o600)).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"a file of somebody's");
    }

    #[test]
    fn what_took_the_place_of_the_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let (_socket, access) = bind(&path, &config(0o600)).unwrap();
        // Renamed, so that the other one cannot get the same number.
        fs::rename(&path, folder.path().join("old.sock")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(access);
        assert!(path.exists());
    }
}
