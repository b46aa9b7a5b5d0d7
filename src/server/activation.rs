//! Socket activation: sockets that the program's starter has opened, instead of addresses to bind.
//!
//! They stay where they are when this process ends: what connects between two processes waits in the
//! queue of the socket, and the next one accepts it.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use socket2::SockRef;

use super::sockets::{BoundSocket, Listeners, hold_little};
use super::tls::ServerTls;
use super::unix::SocketAccess;
use crate::config::{ActivatedSocket, Listen, UnixSocketConfig};

impl Listeners {
    /// Takes sockets that listen already; `listen` says what each of them speaks.
    ///
    /// # Errors
    ///
    /// What the system says of one that cannot be used.
    pub(super) fn activated(
        sockets: Vec<ActivatedSocket>,
        listen: &[Listen],
        unix_socket: &UnixSocketConfig,
        tls: Option<&ServerTls>,
    ) -> io::Result<Self> {
        let mut listeners = Self::default();
        for (socket, listen) in sockets.into_iter().zip(listen) {
            match socket {
                ActivatedSocket::Tcp(socket) => {
                    let tls = tls.filter(|_| matches!(listen, Listen::Tls(_)));
                    let local = socket.local_addr()?;
                    listeners.add_tcp_socket(listen, local, own(socket)?, tls.cloned());
                }
                ActivatedSocket::Unix(socket) => {
                    socket.set_nonblocking(true)?;
                    let access = Arc::new(SocketAccess::activated(unix_socket));
                    let path = match listen {
                        Listen::Unix(path) => path.as_path(),
                        Listen::Tcp(_) | Listen::Tls(_) => Path::new(""),
                    };
                    listeners.add_unix_socket(listen, path, socket, access);
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
pub(super) fn activated_admin(
    socket: ActivatedSocket,
    unix_socket: &UnixSocketConfig,
) -> io::Result<BoundSocket> {
    match socket {
        ActivatedSocket::Tcp(socket) => Ok(BoundSocket::Tcp(own(socket)?, None)),
        ActivatedSocket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            Ok(BoundSocket::Unix(
                socket,
                Arc::new(SocketAccess::activated(unix_socket)),
            ))
        }
    }
}

/// A socket of TCP as the proxy needs it.
fn own(socket: TcpListener) -> io::Result<TcpListener> {
    hold_little(&SockRef::from(&socket));
    socket.set_nonblocking(true)?;
    Ok(socket)
}
