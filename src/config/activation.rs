//! Socket activation: sockets that systemd has opened for the program.
//!
//! They replace `listen`, and `admin` if one has the name `admin` (`LISTEN_FDNAMES`). The rules for
//! configured addresses apply to theirs too.
//!
//! # What can go wrong
//!
//! A descriptor that is not a listening socket is an error at startup; a port that is never served
//! would look like a hung proxy. `LISTEN_PID` of another process means that the variables were
//! inherited, and no socket was passed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use socket2::SockRef;

use super::environment::Environment;
use super::listen::{AdminAddress, Listen};

/// The sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct ActivatedSockets {
    /// For clients.
    pub callers: Vec<ActivatedSocket>,
    /// For the admin listener.
    pub admin: Option<ActivatedSocket>,
}

/// A listening socket.
#[derive(Debug)]
pub enum ActivatedSocket {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, with or without a path.
    Unix(UnixListener),
}

/// The addresses of the sockets.
#[derive(Clone, Debug, Default)]
pub struct ActivatedAddresses {
    callers: Vec<Listen>,
    pub(super) admin: Option<AdminAddress>,
}

/// Why a socket cannot be used, and what to correct.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ActivationError(String);

impl ActivatedSockets {
    /// Takes the passed sockets. Call it once, before other threads start: the variables are
    /// removed from the environment, for the programs that this one might start.
    ///
    /// # Errors
    ///
    /// An [`ActivationError`] if a socket cannot be served.
    pub fn from_env(environment: &Environment) -> Result<Self, ActivationError> {
        let error = |message: &str| Err(ActivationError(message.to_owned()));
        let mut sockets = Self::default();
        // Without `LISTEN_PID` the descriptors may be meant for another process.
        if environment.text("LISTEN_PID").is_none() {
            return Ok(sockets);
        }
        // The crate reads the environment by itself: it alone may make a socket of a descriptor,
        // which is unsafe.
        let mut descriptors = ListenFd::from_env();
        let names = environment.text("LISTEN_FDNAMES");
        let names: Option<Vec<&str>> = names.map(|names| names.split(':').collect());
        let count = descriptors.len();
        if count > 0 && names.as_ref().is_some_and(|names| names.len() != count) {
            return error(
                "LISTEN_FDNAMES names another number of sockets than LISTEN_FDS passes; correct what starts the program",
            );
        }
        for number in 0..count {
            let Some(socket) = take(&mut descriptors, number) else {
                return error(&format!(
                    "socket {number} of LISTEN_FDS is no listening socket of TCP, nor a unix stream socket; correct ListenStream= \
                     and Accept=no"
                ));
            };
            let is_admin = names.as_ref().is_some_and(|names| names[number] == "admin");
            if !is_admin {
                sockets.callers.push(socket);
            } else if sockets.admin.replace(socket).is_some() {
                return error(
                    "only one of the sockets of LISTEN_FDS may have the name admin; correct FileDescriptorName=",
                );
            }
        }
        Ok(sockets)
    }

    /// The addresses of the sockets.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn addresses(&self) -> io::Result<ActivatedAddresses> {
        let callers = self.callers.iter().map(ActivatedSocket::address);
        let admin = self
            .admin
            .as_ref()
            .map(ActivatedSocket::address)
            .transpose()?;
        Ok(ActivatedAddresses {
            callers: callers.collect::<io::Result<_>>()?,
            admin: admin.map(|admin| match admin {
                Listen::Tcp(address) | Listen::Tls(address) => AdminAddress::Tcp(address),
                Listen::Unix(path) => AdminAddress::Unix(path),
            }),
        })
    }
}

fn take(descriptors: &mut ListenFd, number: usize) -> Option<ActivatedSocket> {
    let is_listening = |socket: SockRef<'_>| socket.is_listener().unwrap_or(false);
    if let Ok(Some(socket)) = descriptors.take_tcp_listener(number) {
        return is_listening(SockRef::from(&socket)).then_some(ActivatedSocket::Tcp(socket));
    }
    let socket = descriptors.take_unix_listener(number).ok().flatten()?;
    is_listening(SockRef::from(&socket)).then_some(ActivatedSocket::Unix(socket))
}

impl ActivatedSocket {
    fn address(&self) -> io::Result<Listen> {
        Ok(match self {
            Self::Tcp(socket) => Listen::Tcp(socket.local_addr()?),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                Listen::Unix(
                    address
                        .as_pathname()
                        .map_or_else(|| "(without a path)".into(), PathBuf::from),
                )
            }
        })
    }
}

impl ActivatedAddresses {
    /// The addresses of the sockets, if there are some, or else the configured ones.
    ///
    /// A TCP socket serves TLS if the configured address that equals its own does, or else the one
    /// with its port, or else all of them: encrypted traffic must not become plain because a unit
    /// spells its address in another way.
    pub(super) fn in_place_of(&self, configured: Vec<Listen>) -> Vec<Listen> {
        if self.callers.is_empty() {
            return configured;
        }
        let with_address =
            |listen: &Listen| Some((listen.address()?, matches!(listen, Listen::Tls(_))));
        let addresses: Vec<(SocketAddr, bool)> =
            configured.iter().filter_map(with_address).collect();
        let is_tls = |own: SocketAddr| {
            let same = addresses.iter().find(|(address, _)| *address == own);
            let same = same.or_else(|| {
                addresses
                    .iter()
                    .find(|(address, _)| address.port() == own.port())
            });
            let are_all = || !addresses.is_empty() && addresses.iter().all(|(_, is_tls)| *is_tls);
            same.map_or_else(are_all, |(_, is_tls)| *is_tls)
        };
        let sockets = self.callers.iter().map(|socket| match socket {
            Listen::Tcp(address) if is_tls(*address) => Listen::Tls(*address),
            other => other.clone(),
        });
        sockets.collect()
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
        let passed = |callers: &[Listen]| ActivatedAddresses {
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
        let passed = ActivatedSockets::from_env(&Environment::from_pairs(variables)).unwrap();
        assert!(passed.callers.is_empty() && passed.admin.is_none());
    }
}
