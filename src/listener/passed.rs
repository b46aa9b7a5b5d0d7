//! Sockets that were opened by whoever started the program, in place of those that it opens itself.
//!
//! They stay where they are when this process ends: what connects between two processes waits in the
//! queue of the socket, and the next one accepts it.

use std::io;
use std::net::TcpListener;

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
                    listeners.add_bound(socket.local_addr()?, own(socket)?, tls.cloned());
                }
                PassedSocket::Unix(socket) => {
                    socket.set_nonblocking(true)?;
                    let door = Door::of_others(unix_socket);
                    listeners.sockets.push(Bound::Unix(socket, door));
                    let path = match listen {
                        Listen::Unix(path) => path.display().to_string(),
                        Listen::Tcp(_) | Listen::Tls(_) => String::new(),
                    };
                    listeners.endpoints.push(format!("unix:{path}"));
                }
            }
        }
        Ok(listeners)
    }
}

/// A socket of TCP as the proxy needs it.
pub(super) fn own(socket: TcpListener) -> io::Result<TcpListener> {
    hold_little(&SockRef::from(&socket));
    socket.set_nonblocking(true)?;
    Ok(socket)
}
