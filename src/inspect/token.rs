//! The token that readers of the inspector send, and the file in which `apig-proxy inspect` finds it.
//!
//! Every user of the machine can connect to a loopback port, so the address alone protects nothing.
//! The file is readable for the user that runs the proxy only.
//!
//! # What can go wrong
//!
//! The folder for temporary files belongs to all users: another one may have put a folder or a
//! symbolic link there first. Then nothing is written.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::config::{
    CallerToken, DIGITS, Environment, Listen, local_address, random_text, replace_file,
};

/// The number of digits of a token that is made at a start.
const RANDOM: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: SecretString,
    hash: CallerToken,
}

impl Token {
    /// A random token of 256 bits.
    ///
    /// # Panics
    ///
    /// If the system has no random bytes.
    pub(crate) fn random() -> Self {
        Self::new(random_text("", DIGITS, RANDOM))
    }

    pub(crate) fn new(text: SecretString) -> Self {
        let hash = CallerToken::new(text.expose_secret().as_bytes());
        Self { text, hash }
    }

    /// Compares in constant time.
    pub(crate) fn is(&self, sent: &[u8]) -> bool {
        self.hash.is(sent)
    }

    /// The address of the page, with the token, for a user of this machine.
    pub(crate) fn page(&self, admin: SocketAddr) -> SecretString {
        let token = self.text.expose_secret();
        format!("http://{}/inspect/#t={token}", local_address(admin)).into()
    }
}

/// The file with the token of the proxy that has this admin address. Other proxies of the same user
/// have other addresses, and so other files.
pub(crate) fn file_for(admin: &Listen, environment: &Environment) -> PathBuf {
    file_in(&folder(environment), admin)
}

/// The file of this folder with the token of the proxy that has this admin address.
pub(crate) fn file_in(folder: &Path, admin: &Listen) -> PathBuf {
    folder.join(match admin {
        Listen::Tcp(address) | Listen::Tls(address) => {
            let local = local_address(*address);
            match local.ip() {
                // The address that nearly all proxies have.
                IpAddr::V4(Ipv4Addr::LOCALHOST) => format!("inspect-{}", local.port()),
                ip => format!("inspect-{}-{ip}", local.port()),
            }
        }
        Listen::Unix(path) => {
            let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
            format!("inspect-{}", hex::encode(&hash[..8]))
        }
    })
}

/// The folder for the files with tokens, which only this user can read.
pub(crate) fn folder(environment: &Environment) -> PathBuf {
    const NAME: &str = "apig-proxy";
    let user = rustix::process::getuid().as_raw();
    let named = environment.path("XDG_RUNTIME_DIR");
    let usual = || Some(PathBuf::from(format!("/run/user/{user}"))).filter(|path| path.is_dir());
    if let Some(runtime) = named.filter(|path| path.is_absolute()).or_else(usual) {
        return runtime.join(NAME);
    }
    let temporary = environment.path("TMPDIR");
    let temporary = temporary.unwrap_or_else(|| "/tmp".into());
    temporary.join(format!("{NAME}-{user}"))
}

/// The file with the token of a running proxy. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    /// Stays open, so that no file of another proxy at that path can get its number.
    file: File,
}

impl TokenFile {
    /// Writes the file in place of an older one.
    pub(crate) fn write(path: &Path, token: &Token) -> io::Result<Self> {
        let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
        make_private(folder)?;
        // One that another user left, or let others read, passes neither on.
        let _ = fs::remove_file(path);
        // The text is a secret, so no copy of it stays behind.
        let text = Zeroizing::new([token.text.expose_secret(), "\n"].concat());
        let file = replace_file(path, &text)?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).map(|file| id(&file));
        let own = self.file.metadata().map(|file| id(&file));
        if there.is_ok_and(|there| own.is_ok_and(|own| own == there)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Makes a folder that no other user can open. One that exists has to be like that.
fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let metadata = fs::symlink_metadata(folder)?;
    let is_own = metadata.uid() == rustix::process::getuid().as_raw();
    if metadata.is_dir() && is_own && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let problem = "its folder belongs to another user, or is open to other users";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_file_is_in_a_folder_of_the_user_and_named_after_the_admin_address() {
        let tcp: Listen = "127.0.0.1:8081".parse().unwrap();
        let unix: Listen = "unix:/run/a.sock".parse().unwrap();
        let other: Listen = "unix:/run/b.sock".parse().unwrap();
        let environment = Environment::from_pairs([("XDG_RUNTIME_DIR", "/run/x")]);
        let file = |listen: &Listen| file_for(listen, &environment);
        assert_eq!(file(&tcp), Path::new("/run/x/apig-proxy/inspect-8081"));
        assert_ne!(file(&unix), file(&other));
        // Proxies on other addresses may have the same port, and `0.0.0.0` is reached at 127.0.0.1.
        let [any, second, six] = ["0.0.0.0:8081", "127.0.0.2:8081", "[::1]:8081"];
        let file_at = |address: &str| file(&address.parse().unwrap());
        assert_eq!(file_at(any), file(&tcp));
        assert_ne!(file_at(second), file(&tcp));
        assert_ne!(file_at(second), file_at(six));
        // A relative path has to be ignored.
        let environment = Environment::from_pairs([("XDG_RUNTIME_DIR", "x"), ("TMPDIR", "/t")]);
        assert!(file_for(&tcp, &environment).is_absolute());
    }

    #[test]
    fn the_file_is_removed_unless_another_proxy_has_replaced_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("own/inspect-1");
        make_private(path.parent().unwrap()).unwrap();
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = TokenFile::write(&path, &Token::random()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let next = TokenFile::write(&path, &Token::random()).unwrap();
        drop(file);
        assert!(path.exists());
        drop(next);
        let left = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn nothing_is_written_to_a_folder_that_is_a_link() {
        let place = tempfile::tempdir().unwrap();
        let [link, folder] = ["link", "folder"].map(|name| place.path().join(name));
        make_private(&folder).unwrap();
        symlink(&folder, &link).unwrap();
        assert!(TokenFile::write(&link.join("inspect-1"), &Token::random()).is_err());
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
}
