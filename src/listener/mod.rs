//! Where callers come in: sockets, worker threads, and how both end.
//!
//! One thread accepts and hands each connection to the worker that has the fewest. A worker is a
//! single-threaded runtime with its own pipeline and its own pool of upstream connections, so that
//! nothing on the way of a request is locked or moved between threads. Measured on two cores against
//! one multi-threaded runtime, that gives 30 to 40 % more requests per second.
//!
//! # What can go wrong
//!
//! Accepting fails while the process has no file descriptors left; that must neither end the listener
//! nor make it spin, so it waits a moment. A caller that never closes its end must not hold up the end
//! of the process: draining has a limit.

mod closing;
mod connection;
mod exchange;
mod presence;
mod server;
mod workers;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

pub use server::{Ended, ServeError, Server, SetupError};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Sockets that callers can connect to.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", self.remedy())]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

impl BindError {
    fn remedy(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                "; another program, perhaps another apig-proxy, has this port: stop it, or choose another port with --listen"
            }
            io::ErrorKind::PermissionDenied => "; choose a port above 1023 with --listen",
            _ => "; choose an address of this machine with --listen",
        }
    }
}

impl Listeners {
    /// Binds all addresses, so that the ports are known (port 0 takes any that is free) before
    /// anything is served.
    ///
    /// # Errors
    ///
    /// A [`BindError`] for the first address that cannot be had.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let mut listeners = Self {
            sockets: Vec::new(),
            addresses: Vec::new(),
        };
        for address in addresses {
            let bound = bind(*address).and_then(|socket| Ok((socket.local_addr()?, socket)));
            let (local, socket) = bound.map_err(|source| BindError {
                address: *address,
                source,
            })?;
            listeners.addresses.push(local);
            listeners.sockets.push(socket);
        }
        Ok(listeners)
    }

    /// The bound addresses, in the order in which they were given.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that a restart is not refused while connections of the last run time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named_with_what_to_do() {
        let first = Listeners::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let taken = first.addresses()[0];
        let error = Listeners::bind(&[taken]).unwrap_err().to_string();
        assert!(
            error.contains(&taken.to_string()) && error.contains("--listen"),
            "{error}"
        );
    }
}
