//! The sockets that callers connect to: bound here, or passed by systemd (socket activation).
//!
//! A reload keeps the socket of each address that stays, and passed sockets outlive the process. So
//! connections in the accept queue are not lost.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::accept::Listening;
use super::tls::server_tls;
use super::unix::{self, SocketAccess};
use super::{BACKLOG, SetupError};
use crate::config::{ActivatedSocket, Config, Listen, ListenRules, UnixSocketConfig, Watched};

/// How much of a response the kernel may hold unsent, in bytes. With more, it would take memory,
/// and a slow reader's progress would show only now and then.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// A socket that listens.
#[derive(Clone, Debug)]
pub(super) struct BoundSocket {
    /// The address as configured.
    listen: Listen,
    rules: ListenRules,
    socket: Arc<Socket>,
    /// For unix sockets only.
    access: Option<Arc<SocketAccess>>,
}

impl BoundSocket {
    /// Uses a passed socket that listens at this address, or binds it; port 0 is any free port.
    /// Errors name the option.
    pub(super) fn bind(
        passed: Option<ActivatedSocket>,
        listen: &Listen,
        unix_socket: &UnixSocketConfig,
        option: &str,
    ) -> Result<Self, SetupError> {
        let failed = |error| bind_error(listen, &error, option);
        let (socket, access) = match (passed, listen) {
            (Some(passed), Listen::Unix(_)) => {
                let access = SocketAccess::without_file(unix_socket);
                (passed.socket, Some(access))
            }
            (Some(passed), Listen::Tcp(_) | Listen::Tls(_)) => {
                limit_unsent(&passed.socket);
                (passed.socket, None)
            }
            (None, Listen::Tcp(address) | Listen::Tls(address)) => {
                (bind_tcp(*address).map_err(failed)?, None)
            }
            (None, Listen::Unix(path)) => {
                let (socket, access) = unix::bind(path, unix_socket).map_err(failed)?;
                (socket, Some(access))
            }
        };
        socket.set_nonblocking(true).map_err(SetupError::socket)?;
        Ok(Self {
            listen: listen.clone(),
            rules: ListenRules::default(),
            socket: Arc::new(socket),
            access: access.map(Arc::new),
        })
    }

    /// Registers a duplicate with the runtime. The socket is open until both are dropped. `tls` is for
    /// an address with `https://`.
    pub(super) fn open(&self, tls: Option<&Watched<TlsAcceptor>>) -> io::Result<Listening> {
        let socket = self.socket.try_clone()?;
        if let Some(access) = &self.access {
            let socket = UnixListener::from_std(socket.into())?;
            return Ok(Listening::Unix(socket, Arc::clone(access)));
        }
        let tls = tls.filter(|_| matches!(self.listen, Listen::Tls(_)));
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Listening::Tcp(socket, tls.cloned()))
    }

    fn is_at(&self, listen: &Listen) -> bool {
        let address = listen.address();
        self.listen == *listen || (address.is_some() && self.listen.address() == address)
    }

    /// The bound address, if it is one of TCP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The bound address of the admin listener.
    pub(super) fn admin_address(&self) -> Listen {
        let bound = self.address().map(Listen::Tcp);
        bound.unwrap_or_else(|| self.listen.clone())
    }

    /// The endpoint, as callers write it. `shown` makes an address of it from the bound one.
    pub(super) fn endpoint(&self, shown: fn(SocketAddr) -> SocketAddr) -> String {
        let bound = |configured| shown(self.address().unwrap_or(configured));
        match &self.listen {
            Listen::Tcp(address) => format!("http://{}", bound(*address)),
            Listen::Tls(address) => format!("https://{}", bound(*address)),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// Why an address cannot be listened on.
fn bind_error(listen: &Listen, error: &io::Error, option: &str) -> SetupError {
    let is_unix = matches!(listen, Listen::Unix(_));
    let hint = match (error.kind(), is_unix) {
        (io::ErrorKind::AddrInUse, _) => {
            "another program, perhaps another apig-proxy, listens there; stop it, or choose another address"
        }
        (io::ErrorKind::AlreadyExists, true) => {
            "a file that is not a socket is there: remove it, or choose another path"
        }
        (io::ErrorKind::PermissionDenied, false) => "choose a port above 1023",
        (_, false) => "choose an address of this machine",
        (_, true) => {
            "make its folder, let the user that runs the proxy write there, check [unix_socket], or choose another path"
        }
    };
    let text = format!("cannot listen on {listen}: {error}\nhint: {hint} with `{option}`");
    SetupError::Bind(text)
}

/// All sockets for callers.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) sockets: Vec<BoundSocket>,
    pub(super) tls: Option<Watched<TlsAcceptor>>,
}

impl Listeners {
    /// Takes the passed sockets, or if there are none, binds the addresses of `listen`. An address
    /// of these listeners keeps its socket.
    pub(super) fn bind(
        &self,
        passed: Vec<ActivatedSocket>,
        config: &Config,
    ) -> Result<Self, SetupError> {
        let tls = config.tls.as_ref().map(server_tls).transpose();
        let tls = tls.map_err(SetupError::ServerTls)?;
        let (mut sockets, mut passed) = (Vec::new(), passed.into_iter());
        for (at, listen) in config.listen.iter().enumerate() {
            let mut socket = match self.sockets.iter().find(|socket| socket.is_at(listen)) {
                Some(kept) => kept.clone(),
                None => BoundSocket::bind(passed.next(), listen, &config.unix_socket, "--listen")?,
            };
            socket.listen = listen.clone();
            socket.rules = config.listen_rules.get(at).copied().unwrap_or_default();
            sockets.push(socket);
        }
        Ok(Self { sockets, tls })
    }

    /// The bound addresses of TCP, in the order of the configuration.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.sockets.iter();
        sockets.filter_map(BoundSocket::address).collect()
    }

    /// Duplicates of all sockets, ready to be accepted from, with their rules.
    pub(super) fn open(&self) -> Result<Vec<(Listening, ListenRules)>, SetupError> {
        let open = |socket: &BoundSocket| Ok((socket.open(self.tls.as_ref())?, socket.rules));
        let sockets: io::Result<_> = self.sockets.iter().map(open).collect();
        sockets.map_err(SetupError::socket)
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let (domain, protocol) = (Domain::for_address(address), Some(Protocol::TCP));
    let socket = Socket::new(domain, Type::STREAM, protocol)?;
    // So that a restart is not refused while connections of the last run time out.
    socket.set_reuse_address(true)?;
    limit_unsent(&socket);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Limits what the kernel holds of responses; accepted connections inherit it. A failure only costs
/// memory.
fn limit_unsent(socket: &Socket) {
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}
