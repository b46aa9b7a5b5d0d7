//! The sockets that callers connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::accept::Listening;
use super::tls::ServerTls;
use super::unix::{self, SocketAccess};
use crate::config::{AdminAddress, Listen, UnixSocketConfig};

/// Connections that the kernel holds until they are accepted.
pub(super) const BACKLOG: i32 = 1024;

/// How much of an answer the kernel may hold that is not on its way yet, in bytes. With more, a slow
/// reader's progress would show only now and then, and would cost memory for nothing.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// Sockets that callers can connect to.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The addresses as configured, and the socket of each.
    sockets: Vec<(Listen, BoundSocket)>,
    addresses: Vec<SocketAddr>,
    endpoints: Vec<String>,
}

/// A bound socket.
#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(TcpListener, Option<ServerTls>),
    Unix(UnixListener, Arc<SocketAccess>),
}

impl BoundSocket {
    /// Registers the socket with the runtime, to accept from it.
    pub(super) fn open(self) -> io::Result<Listening> {
        Ok(match self {
            Self::Tcp(socket, None) => Listening::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Self::Tcp(socket, Some(tls)) => Listening::Tls(
                tokio::net::TcpListener::from_std(socket)?,
                Arc::new(move || tls.acceptor()),
            ),
            Self::Unix(socket, access) => Listening::Unix(
                tokio::net::UnixListener::from_std(socket)?,
                Arc::new(move |uid| access.allows(uid)),
            ),
        })
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {source}; {} with {option}", self.remedy())]
pub struct BindError {
    endpoint: String,
    /// What the system says.
    pub source: io::Error,
    /// The option that names another one.
    pub option: &'static str,
    is_unix: bool,
}

impl BindError {
    fn tcp(address: SocketAddr, source: io::Error, option: &'static str) -> Self {
        Self {
            endpoint: address.to_string(),
            source,
            option,
            is_unix: false,
        }
    }

    fn unix(path: &Path, source: io::Error, option: &'static str) -> Self {
        Self {
            endpoint: format!("unix:{}", path.display()),
            source,
            option,
            is_unix: true,
        }
    }

    fn remedy(&self) -> &'static str {
        match (self.source.kind(), self.is_unix) {
            (io::ErrorKind::AddrInUse, false) => {
                "another program, perhaps another apig-proxy, has this port: stop it, or choose another port"
            }
            (io::ErrorKind::AddrInUse, true) => {
                "another program, perhaps another apig-proxy, listens there: stop it, or choose another path"
            }
            (io::ErrorKind::AlreadyExists, true) => {
                "what is there is not a socket: remove it, or choose another path"
            }
            (io::ErrorKind::PermissionDenied, false) => "choose a port above 1023",
            (_, false) => "choose an address of this machine",
            (_, true) => {
                "make its folder, let the user that runs the proxy write there, check [unix_socket], or choose another path"
            }
        }
    }
}

impl Listeners {
    /// Binds all addresses, so that the ports are known before anything is served: port 0 takes any free
    /// one.
    ///
    /// # Errors
    ///
    /// A [`BindError`] for the first address that cannot be bound.
    pub fn bind(
        listen: &[Listen],
        unix_socket: &UnixSocketConfig,
        tls: Option<&ServerTls>,
    ) -> Result<Self, BindError> {
        Self::default().rebind(listen, unix_socket, tls)
    }

    /// Binds other addresses. An address that was bound before keeps its socket, so that no caller is
    /// refused.
    ///
    /// # Errors
    ///
    /// A [`BindError`] for the first address that cannot be bound.
    pub fn rebind(
        &self,
        listen: &[Listen],
        unix_socket: &UnixSocketConfig,
        tls: Option<&ServerTls>,
    ) -> Result<Self, BindError> {
        let mut listeners = Self::default();
        for listen in listen {
            match listen {
                Listen::Tcp(address) => listeners.add_tcp(self, listen, *address, None)?,
                Listen::Tls(address) => listeners.add_tcp(self, listen, *address, tls.cloned())?,
                Listen::Unix(path) => listeners.add_unix(self, listen, path, unix_socket)?,
            }
        }
        Ok(listeners)
    }

    fn add_tcp(
        &mut self,
        before: &Self,
        listen: &Listen,
        address: SocketAddr,
        tls: Option<ServerTls>,
    ) -> Result<(), BindError> {
        let (local, socket) = match before.known(|known| known.address() == Some(address)) {
            Some(BoundSocket::Tcp(socket, _)) => kept(socket),
            Some(BoundSocket::Unix(..)) | None => listening(address),
        }
        .map_err(|source| BindError::tcp(address, source, "--listen"))?;
        self.add_tcp_socket(listen, local, socket, tls);
        Ok(())
    }

    pub(super) fn add_tcp_socket(
        &mut self,
        listen: &Listen,
        local: SocketAddr,
        socket: TcpListener,
        tls: Option<ServerTls>,
    ) {
        let scheme = if tls.is_some() { "https" } else { "http" };
        self.endpoints.push(format!("{scheme}://{local}"));
        self.addresses.push(local);
        let bound = BoundSocket::Tcp(socket, tls);
        self.sockets.push((listen.clone(), bound));
    }

    fn add_unix(
        &mut self,
        before: &Self,
        listen: &Listen,
        path: &Path,
        config: &UnixSocketConfig,
    ) -> Result<(), BindError> {
        let bound = match before.known(|known| known == listen) {
            Some(BoundSocket::Unix(socket, access)) => socket
                .try_clone()
                .map(|socket| (socket, Arc::clone(access))),
            Some(BoundSocket::Tcp(..)) | None => {
                unix::bind(path, config).map(|(socket, access)| (socket, Arc::new(access)))
            }
        };
        let (socket, access) = bound.map_err(|source| BindError::unix(path, source, "--listen"))?;
        self.add_unix_socket(listen, path, socket, access);
        Ok(())
    }

    pub(super) fn add_unix_socket(
        &mut self,
        listen: &Listen,
        path: &Path,
        socket: UnixListener,
        access: Arc<SocketAccess>,
    ) {
        self.endpoints.push(format!("unix:{}", path.display()));
        let bound = BoundSocket::Unix(socket, access);
        self.sockets.push((listen.clone(), bound));
    }

    fn known(&self, is_it: impl Fn(&Listen) -> bool) -> Option<&BoundSocket> {
        let found = self.sockets.iter().find(|(listen, _)| is_it(listen));
        found.map(|(_, bound)| bound)
    }

    /// Duplicates of the sockets, to accept from. A socket is open until both are dropped.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptors.
    pub(super) fn duplicate(&self) -> io::Result<Vec<BoundSocket>> {
        let clone = |(_, bound): &(Listen, BoundSocket)| match bound {
            BoundSocket::Tcp(socket, tls) => Ok(BoundSocket::Tcp(socket.try_clone()?, tls.clone())),
            BoundSocket::Unix(socket, access) => {
                Ok(BoundSocket::Unix(socket.try_clone()?, Arc::clone(access)))
            }
        };
        self.sockets.iter().map(clone).collect()
    }

    /// The bound addresses of TCP, in the order in which they were given.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All endpoints, as callers write them.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }
}

/// Binds the admin address; it is returned with the port that was taken.
pub(super) fn bind_admin(
    address: &AdminAddress,
    unix_socket: &UnixSocketConfig,
) -> Result<(AdminAddress, BoundSocket), BindError> {
    match address {
        AdminAddress::Tcp(address) => listening(*address)
            .map(|(local, socket)| (AdminAddress::Tcp(local), BoundSocket::Tcp(socket, None)))
            .map_err(|source| BindError::tcp(*address, source, "--admin")),
        AdminAddress::Unix(path) => unix::bind(path, unix_socket)
            .map(|(socket, access)| (address.clone(), BoundSocket::Unix(socket, Arc::new(access))))
            .map_err(|source| BindError::unix(path, source, "--admin")),
    }
}

/// A duplicate of a socket that listens already.
fn kept(socket: &TcpListener) -> io::Result<(SocketAddr, TcpListener)> {
    Ok((socket.local_addr()?, socket.try_clone()?))
}

/// Bounds what the kernel holds of answers. Connections have it from the socket that accepts them. Without
/// it they only take more memory.
pub(super) fn hold_little(socket: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

fn listening(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that a restart is not refused while connections of the last run time out.
    socket.set_reuse_address(true)?;
    hold_little(&SockRef::from(&socket));
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from(socket);
    Ok((socket.local_addr()?, socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named_with_what_to_do() {
        let unix = UnixSocketConfig {
            mode: 0o600,
            owner: None,
            group: None,
            allowed_uids: Vec::new(),
        };
        let any = [Listen::Tcp("127.0.0.1:0".parse().unwrap())];
        let first = Listeners::bind(&any, &unix, None).unwrap();
        let taken = first.addresses()[0];
        let error = Listeners::bind(&[taken.into()], &unix, None);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(&taken.to_string()) && error.ends_with("with --listen"),
            "{error}"
        );
        let error = bind_admin(&AdminAddress::Tcp(taken), &unix).unwrap_err();
        let error = error.to_string();
        assert!(error.ends_with("with --admin"), "{error}");
    }
}
