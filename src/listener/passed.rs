//! Sockets that were opened by whoever started the program, in place of those that it opens itself.
//!
//! They stay where they are when this process ends: what connects between two processes waits in the
//! queue of the socket, and the next one accepts it.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use socket2::SockRef;

use super::sockets::{Bound, Listeners, hold_little};
use super::tls::ServerTls;
use super::unix::Door;
use crate::config::{Listen, PassedSocket, UnixSocketConfig};

impl Listeners {
    /// Takes sockets that listen already; `listen` says what each of them speaks.
    ///
    /// # Errors
    ///
    /// What the system says of one that cannot be used.
    pub(super) fn take(
        sockets: Vec<PassedSocket>,
        listen: &[Listen],
        unix_socket: &UnixSocketConfig,
        tls: Option<&ServerTls>,
    ) -> io::Result<Self> {
        let mut listeners = Self::default();
        for (socket, listen) in sockets.into_iter().zip(listen) {
            match socket {
                PassedSocket::Tcp(socket) => {
                    let tls = tls.filter(|_| matches!(listen, Listen::Tls(_)));
                    let local = socket.local_addr()?;
                    listeners.add_bound(listen, local, own(socket)?, tls.cloned());
                }
                PassedSocket::Unix(socket) => {
                    socket.set_nonblocking(true)?;
                    let door = Arc::new(Door::of_others(unix_socket));
                    let path = match listen {
                        Listen::Unix(path) => path.as_path(),
                        Listen::Tcp(_) | Listen::Tls(_) => Path::new(""),
                    };
                    listeners.add_door(listen, path, socket, door);
                }
            }
        }
        Ok(listeners)
    }
}

/// An admin socket that listens already.
///
/// # Errors
///
/// What the system says if it cannot be used.
pub(super) fn take_admin(
    socket: PassedSocket,
    unix_socket: &UnixSocketConfig,
) -> io::Result<Bound> {
    match socket {
        PassedSocket::Tcp(socket) => Ok(Bound::Tcp(own(socket)?, None)),
        PassedSocket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            Ok(Bound::Unix(socket, Arc::new(Door::of_others(unix_socket))))
        }
    }
}

/// A socket of TCP as the proxy needs it.
fn own(socket: TcpListener) -> io::Result<TcpListener> {
    hold_little(&SockRef::from(&socket));
    socket.set_nonblocking(true)?;
    Ok(socket)
}
