//! Socket activation: sockets that systemd has opened for the program.
//!
//! They replace `listen`, and `admin` if one has the name `admin` (`LISTEN_FDNAMES`). The rules for
//! configured addresses apply to theirs too.
//!
//! # What can go wrong
//!
//! A descriptor that is not a listening socket is an error at startup: a port that is never served
//! would look like a hung proxy. If `LISTEN_PID` is that of another process, the variables were
//! inherited, and no socket was passed.

use std::path::PathBuf;

use listenfd::ListenFd;
use socket2::Socket;

use super::address::Listen;
use super::environment::Environment;

/// The sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct ActivatedSockets {
    /// For clients.
    pub callers: Vec<ActivatedSocket>,
    /// For the admin listener.
    pub admin: Option<ActivatedSocket>,
}

/// A listening socket, of TCP or a unix socket.
#[derive(Debug)]
pub struct ActivatedSocket {
    /// The socket.
    pub socket: Socket,
    /// Its address.
    pub listen: Listen,
}

impl ActivatedSockets {
    /// Takes the passed sockets. Call it once, before other threads start: it removes the variables
    /// from the environment, so that child processes do not inherit them.
    ///
    /// # Errors
    ///
    /// Why a socket cannot be served, and what to correct.
    pub fn from_env(environment: &Environment) -> Result<Self, String> {
        const NAMES: &str = "LISTEN_FDNAMES does not have one name for each socket of LISTEN_FDS\n\
            hint: correct the program that passes the sockets";
        const ADMIN: &str = "more than one socket of LISTEN_FDS has the name admin\n\
            hint: correct `FileDescriptorName=`";
        let mut sockets = Self::default();
        // Without `LISTEN_PID` the descriptors may be meant for another process.
        if environment.text("LISTEN_PID").is_none() {
            return Ok(sockets);
        }
        // The crate reads the environment itself, because only it may convert a descriptor to a
        // socket, which is unsafe.
        let mut descriptors = ListenFd::from_env();
        let names = environment.text("LISTEN_FDNAMES");
        let names: Option<Vec<&str>> = names.map(|names| names.split(':').collect());
        let count = descriptors.len();
        if count > 0 && names.as_ref().is_some_and(|names| names.len() != count) {
            return Err(NAMES.to_owned());
        }
        for number in 0..count {
            let Some(socket) = take(&mut descriptors, number) else {
                return Err(format!(
                    "socket {number} of LISTEN_FDS is neither a listening TCP socket nor a listening unix stream socket\n\
                     hint: correct `ListenStream=`, and set `Accept=no`"
                ));
            };
            let is_admin = names.as_ref().is_some_and(|names| names[number] == "admin");
            if !is_admin {
                sockets.callers.push(socket);
            } else if sockets.admin.replace(socket).is_some() {
                return Err(ADMIN.to_owned());
            }
        }
        Ok(sockets)
    }
}

fn take(descriptors: &mut ListenFd, number: usize) -> Option<ActivatedSocket> {
    let tcp = descriptors.take_tcp_listener(number).ok().flatten();
    let (socket, listen) = if let Some(socket) = tcp {
        let listen = Listen::Tcp(socket.local_addr().ok()?);
        (Socket::from(socket), listen)
    } else {
        let socket = descriptors.take_unix_listener(number).ok()??;
        let address = socket.local_addr().ok()?;
        let path = address.as_pathname().map(PathBuf::from);
        let listen = Listen::Unix(path.unwrap_or_else(|| "(without a path)".into()));
        (Socket::from(socket), listen)
    };
    let is_listening = socket.is_listener().unwrap_or(false);
    is_listening.then_some(ActivatedSocket { socket, listen })
}

/// The addresses of activated sockets, or the configured ones if no socket was passed.
///
/// A TCP socket serves TLS if the configured address that equals its own does, or else the one with
/// its port, or else all of them: encrypted traffic must not become plain because a unit spells its
/// address in another way.
pub(super) fn in_place_of(configured: Vec<Listen>, activated: &[Listen]) -> Vec<Listen> {
    if activated.is_empty() {
        return configured;
    }
    let with_tls = |listen: &Listen| Some((listen.address()?, matches!(listen, Listen::Tls(_))));
    let addresses: Vec<_> = configured.iter().filter_map(with_tls).collect();
    let replaced = activated.iter().map(|socket| {
        let Listen::Tcp(own) = socket else {
            return socket.clone();
        };
        let equal = addresses.iter().find(|(address, _)| address == own);
        let has_port = |(address, _): &&(_, _)| std::net::SocketAddr::port(address) == own.port();
        let is_tls = match equal.or_else(|| addresses.iter().find(has_port)) {
            Some((_, is_tls)) => *is_tls,
            None => !addresses.is_empty() && addresses.iter().all(|(_, is_tls)| *is_tls),
        };
        if is_tls {
            Listen::Tls(*own)
        } else {
            socket.clone()
        }
    });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activated_sockets_replace_configured_addresses_and_serve_tls_where_those_do() {
        let listen = |text: &str| -> Vec<Listen> {
            text.split_whitespace()
                .map(|text| text.parse().unwrap())
                .collect()
        };
        let both = "127.0.0.1:80 https://127.0.0.1:443";
        for (configured, activated, expected) in [
            (both, "", both),
            (both, "unix:/run/x", "unix:/run/x"),
            (both, "127.0.0.1:443", "https://127.0.0.1:443"),
            (both, "[::]:443 [::]:80", "https://[::]:443 [::]:80"),
            (both, "127.0.0.1:90", "127.0.0.1:90"),
            (
                "https://127.0.0.1:443 unix:/run/x",
                "127.0.0.1:90",
                "https://127.0.0.1:90",
            ),
            ("unix:/run/x", "127.0.0.1:90", "127.0.0.1:90"),
        ] {
            assert_eq!(
                in_place_of(listen(configured), &listen(activated)),
                listen(expected)
            );
        }
    }

    #[test]
    fn nothing_is_passed_without_a_process_that_it_is_for() {
        let variables = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "a:b:c")];
        let passed = ActivatedSockets::from_env(&Environment::from_pairs(variables)).unwrap();
        assert!(passed.callers.is_empty() && passed.admin.is_none());
    }
}
