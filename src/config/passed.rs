//! Sockets that whoever started the program has opened for it: systemd's socket activation.
//!
//! They take the place of `listen`, and of `admin` if one has the name `admin` (`LISTEN_FDNAMES`). What
//! is asked of addresses that the configuration names is asked of theirs too: one that others than this
//! machine reach has to be wanted and guarded.
//!
//! # What can go wrong
//!
//! Descriptors that are no listening sockets, or are of another kind: that ends the start, since
//! a port that nobody serves would look like a proxy that hangs. `LISTEN_PID` of another process means
//! that the variables were inherited, and nothing was passed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use socket2::SockRef;

use super::{AdminAddress, Environment, Listen};

/// The name of the socket for health and metrics.
const ADMIN: &str = "admin";

/// Sockets that were passed.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// Those for callers.
    pub callers: Vec<PassedSocket>,
    /// The one for health and metrics.
    pub admin: Option<PassedSocket>,
}

/// A socket that was passed.
#[derive(Debug)]
pub enum PassedSocket {
    /// One of TCP.
    Tcp(TcpListener),
    /// One of the file system, or without a file.
    Unix(UnixListener),
}

/// The addresses of sockets that were passed.
#[derive(Clone, Debug, Default)]
pub struct PassedAddresses {
    callers: Vec<Listen>,
    pub(super) admin: Option<AdminAddress>,
}

/// Why sockets that were passed cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassedError {
    /// There are not as many names as sockets.
    #[error(
        "LISTEN_FDNAMES names another number of sockets than LISTEN_FDS passes; correct what starts the program"
    )]
    Names,
    /// One is of another kind.
    #[error(
        "socket {0} of LISTEN_FDS is no listening socket of TCP, nor a unix stream socket; correct ListenStream= and Accept=no"
    )]
    NotListening(usize),
    /// There are two for health and metrics.
    #[error(
        "only one of the sockets of LISTEN_FDS may have the name admin; correct FileDescriptorName="
    )]
    Admin,
    /// The system does not say what they are.
    #[error("a socket of LISTEN_FDS cannot be used: {0}; correct what starts the program")]
    System(#[from] io::Error),
}

impl PassedSockets {
    /// What was passed to this process. To be called once, before there are threads: what says so is taken
    /// out of the environment, for the programs that this one might start.
    ///
    /// # Errors
    ///
    /// A [`PassedError`] if something was passed that is not served.
    pub fn of_process(environment: &Environment) -> Result<Self, PassedError> {
        let mut passed = Self::default();
        // Without a process there is no telling whose they are.
        if environment.text("LISTEN_PID").is_none() {
            return Ok(passed);
        }
        // The crate reads the environment by itself: from a descriptor's number it makes a socket, which
        // is unsafe, and so it is the only one that may.
        let mut descriptors = ListenFd::from_env();
        let names = environment.text("LISTEN_FDNAMES");
        let names: Option<Vec<&str>> = names.map(|names| names.split(':').collect());
        if names
            .as_ref()
            .is_some_and(|names| names.len() != descriptors.len())
            && descriptors.len() > 0
        {
            return Err(PassedError::Names);
        }
        for number in 0..descriptors.len() {
            let socket = take(&mut descriptors, number).ok_or(PassedError::NotListening(number))?;
            let is_admin = names.as_ref().is_some_and(|names| names[number] == ADMIN);
            if !is_admin {
                passed.callers.push(socket);
            } else if passed.admin.replace(socket).is_some() {
                return Err(PassedError::Admin);
            }
        }
        Ok(passed)
    }

    /// Where they listen.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn addresses(&self) -> io::Result<PassedAddresses> {
        let callers = self.callers.iter().map(PassedSocket::address);
        let admin = self.admin.as_ref().map(PassedSocket::address).transpose()?;
        Ok(PassedAddresses {
            callers: callers.collect::<io::Result<_>>()?,
            admin: admin.map(|admin| match admin {
                Listen::Tcp(address) | Listen::Tls(address) => AdminAddress::Tcp(address),
                Listen::Unix(path) => AdminAddress::Unix(path),
            }),
        })
    }
}

fn take(descriptors: &mut ListenFd, number: usize) -> Option<PassedSocket> {
    let is_listening = |socket: SockRef<'_>| socket.is_listener().unwrap_or(false);
    if let Ok(Some(socket)) = descriptors.take_tcp_listener(number) {
        return is_listening(SockRef::from(&socket)).then_some(PassedSocket::Tcp(socket));
    }
    let socket = descriptors.take_unix_listener(number).ok().flatten()?;
    is_listening(SockRef::from(&socket)).then_some(PassedSocket::Unix(socket))
}

impl PassedSocket {
    fn address(&self) -> io::Result<Listen> {
        Ok(match self {
            Self::Tcp(socket) => Listen::Tcp(socket.local_addr()?),
            Self::Unix(socket) => {
                let path = socket.local_addr()?.as_pathname().map(PathBuf::from);
                Listen::Unix(path.unwrap_or_else(|| "(without a path)".into()))
            }
        })
    }
}

impl PassedAddresses {
    /// The addresses that are listened on, when these were configured: those that were passed, if any.
    ///
    /// One of TCP speaks TLS if the configured one with this address does, or else the one with this port,
    /// or else all of them: what is meant to be encrypted must not turn into plain text because a
    /// unit spells its address in another way.
    pub(super) fn in_place_of(&self, configured: Vec<Listen>) -> Vec<Listen> {
        if self.callers.is_empty() {
            return configured;
        }
        let addresses = || {
            configured
                .iter()
                .filter_map(|listen| Some((listen, listen.address()?)))
        };
        let is_tls = |listen: &Listen| matches!(listen, Listen::Tls(_));
        let speaks_tls = |own: SocketAddr| {
            let same = addresses().find(|(_, address)| *address == own);
            let like = || addresses().find(|(_, address)| address.port() == own.port());
            match same.or_else(like) {
                Some((listen, _)) => is_tls(listen),
                None => {
                    addresses().next().is_some() && addresses().all(|(listen, _)| is_tls(listen))
                }
            }
        };
        let meant = |passed: &Listen| match passed {
            Listen::Tcp(address) if speaks_tls(*address) => Listen::Tls(*address),
            other => other.clone(),
        };
        self.callers.iter().map(meant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> Listen {
        Listen::Tcp(address.parse().unwrap())
    }

    fn tls(address: &str) -> Listen {
        Listen::Tls(address.parse().unwrap())
    }

    #[test]
    fn sockets_that_were_passed_take_the_place_of_what_is_configured_and_speak_what_that_speaks() {
        let passed = |callers: &[Listen]| PassedAddresses {
            callers: callers.to_vec(),
            admin: None,
        };
        let unix = Listen::Unix("/run/proxy.sock".into());
        let configured = vec![tcp("127.0.0.1:80"), tls("127.0.0.1:443")];
        for (callers, expected) in [
            (vec![], configured.clone()),
            (vec![unix.clone()], vec![unix.clone()]),
            (vec![tcp("127.0.0.1:443")], vec![tls("127.0.0.1:443")]),
            (
                vec![tcp("[::]:443"), tcp("[::]:80")],
                vec![tls("[::]:443"), tcp("[::]:80")],
            ),
            (vec![tcp("127.0.0.1:90")], vec![tcp("127.0.0.1:90")]),
        ] {
            assert_eq!(passed(&callers).in_place_of(configured.clone()), expected);
        }
        let only = vec![tls("127.0.0.1:443"), unix.clone()];
        let other = passed(&[tcp("127.0.0.1:90")]);
        assert_eq!(other.in_place_of(only), [tls("127.0.0.1:90")]);
        assert_eq!(other.in_place_of(vec![unix]), [tcp("127.0.0.1:90")]);
    }

    #[test]
    fn nothing_is_passed_without_a_process_that_it_is_for() {
        let variables = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "a:b:c")];
        let passed = PassedSockets::of_process(&Environment::from_pairs(variables)).unwrap();
        assert!(passed.callers.is_empty() && passed.admin.is_none());
    }
}
