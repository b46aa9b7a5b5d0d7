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
    /// Takes the passed sockets. Call it once, before other threads start: the variables are
    /// removed from the environment, for the programs that this one might start.
    ///
    /// # Errors
    ///
    /// Why a socket cannot be served, and what to correct.
    pub fn from_env(environment: &Environment) -> Result<Self, String> {
        let mut sockets = Self::default();
        // Without `LISTEN_PID` the descriptors may be meant for another process.
        if environment.text("LISTEN_PID").is_none() {
            return Ok(sockets);
        }
        // The crate reads the environment by itself: it alone may make a socket of a descriptor,
        // which is unsafe.
        let mut descriptors = ListenFd::from_env();
        let names = environment.text("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        for number in 0..descriptors.len() {
            let socket = take(&mut descriptors, number).ok_or_else(|| {
                format!(
                    "socket {number} of LISTEN_FDS is no listening socket of TCP, nor a unix stream socket\n\
                     hint: correct `ListenStream=`, and set `Accept=no`"
                )
            })?;
            match names.next() {
                Some("admin") if sockets.admin.is_none() => sockets.admin = Some(socket),
                _ => sockets.callers.push(socket),
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

/// The addresses of activated sockets, if there are some, or else the configured ones.
///
/// A TCP socket serves TLS if the configured address with its port does, or else if all of them do:
/// encrypted traffic must not become plain because a unit spells its address in another way.
pub(super) fn in_place_of(configured: Vec<Listen>, activated: &[Listen]) -> Vec<Listen> {
    if activated.is_empty() {
        return configured;
    }
    let is_tls = |listen: &&Listen| matches!(listen, Listen::Tls(_));
    let mut addresses = configured
        .iter()
        .filter(|listen| listen.address().is_some());
    let all_tls = addresses.clone().next().is_some() && addresses.all(|listen| is_tls(&listen));
    let replaced = activated.iter().map(|socket| {
        let port = |listen: &Listen| listen.address().map(|address| address.port());
        let mut same_port = configured
            .iter()
            .filter(|own| port(own) == port(socket))
            .peekable();
        match socket {
            Listen::Tcp(own) if same_port.peek().map_or(all_tls, is_tls) => Listen::Tls(*own),
            socket => socket.clone(),
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
}
