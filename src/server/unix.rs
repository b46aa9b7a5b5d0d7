//! Unix sockets, whose access the file system controls.
//!
//! The socket is bound, then its permissions are set, and only then it listens: until then, the
//! system refuses connections, so no other user can connect in between.
//!
//! # What can go wrong
//!
//! A process that was killed leaves its socket behind. It is replaced, but only if it is a socket
//! that refuses connections; anything else at that path is left alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;
use crate::config::UnixSocketConfig;

/// Who may connect. Removes the file of the socket when dropped.
#[derive(Debug)]
pub(super) struct SocketAccess {
    /// The file, and the inode that tells it from one that took its place.
    file: Option<(PathBuf, u64)>,
    allowed_uids: Vec<u32>,
}

/// Binds a path. Fails with [`io::ErrorKind::AddrInUse`] if another process listens there, and with
/// [`io::ErrorKind::AlreadyExists`] if the file is not a socket.
pub(super) fn bind(path: &Path, config: &UnixSocketConfig) -> io::Result<(Socket, SocketAccess)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(config.mode))?;
    if config.owner.is_some() || config.group.is_some() {
        chown(path, config.owner, config.group)?;
    }
    let inode = fs::symlink_metadata(path)?.ino();
    socket.listen(BACKLOG)?;
    let mut access = SocketAccess::without_file(config);
    access.file = Some((path.to_owned(), inode));
    Ok((socket, access))
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
    pub(super) fn without_file(config: &UnixSocketConfig) -> Self {
        Self {
            file: None,
            allowed_uids: config.allowed_uids.clone(),
        }
    }

    /// Returns true if a process of this user may connect.
    pub(super) fn allows(&self, uid: u32) -> bool {
        self.allowed_uids.is_empty() || self.allowed_uids.contains(&uid)
    }
}

impl Drop for SocketAccess {
    fn drop(&mut self) {
        if let Some((path, inode)) = &self.file
            && fs::symlink_metadata(path).is_ok_and(|now| now.ino() == *inode)
        {
            // If it cannot be removed, the next start replaces it.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

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
    fn fault_69_only_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        // Left behind by a process that was killed.
        drop(UnixListener::bind(&path).unwrap());
        let (socket, access) = bind(&path, &config(0o600)).unwrap();
        let taken = bind(&path, &config(0o600)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop((socket, access));
        fs::write(&path, "a file").unwrap();
        let other = bind(&path, &config(0o600)).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"a file");
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
