//! An API gateway on this machine: for the demo, for tests, and for work without a network.
//!
//! It verifies requests as API Gateway does (signed headers, 15 minutes, stage, size, the lock
//! after repeated failures; tokens, app codes and API keys), with the gateway's own codes and
//! messages, and answers what it received. It shares nothing with the proxy but the verifier, so
//! that a request that it accepts carried a valid signature. Beside it there is a [`Cloud`]: the services that issue tokens and temporary keys.
//!
//! # What can go wrong
//!
//! It knows what is documented and reported of the gateway, and takes the stricter reading where
//! that is silent. What it accepts is therefore no promise of what the real one does.

mod accounts;
mod authority;
mod cloud;
mod key_store;
mod limits;
mod observer;
mod refusal;
mod serve;
mod verification;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio_rustls::TlsAcceptor;

pub use accounts::{Accounts, Federation, User};
pub use authority::Authority;
pub use cloud::{Cloud, FaultMode, POD_IDENTITY_PATH, Service};
use key_store::KeyStore;
pub use limits::Readings;
pub(crate) use observer::Observation;
pub(crate) use refusal::{Canonical, Outcome};
use serve::Services;
pub(crate) use serve::{accept, serve};
pub(crate) use verification::{header_pairs, target};

/// An emulated gateway that is bound to its address.
#[derive(Debug)]
pub struct Emulator {
    /// The address of the gateway, with TLS. IAM and STS answer there too.
    pub address: SocketAddr,
    /// The address of the cloud's services, with plain HTTP.
    pub cloud_address: SocketAddr,
    socket: std::net::TcpListener,
    cloud_socket: std::net::TcpListener,
    /// Issues its certificate. Callers have to trust its root.
    pub authority: Authority,
    services: Services,
}

/// Numbers of requests to an emulated gateway.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests whose head was read.
    pub requests: AtomicU64,
    /// Accepted requests.
    pub verified: AtomicU64,
    /// Requests that were refused because their temporary key had expired.
    pub refused_expired: AtomicU64,
    /// Requests that were refused because their token had expired.
    pub refused_expired_tokens: AtomicU64,
}

impl Emulator {
    /// Binds an address for the gateway and a loopback one for the cloud's services, and makes a
    /// certificate.
    ///
    /// # Errors
    ///
    /// The error of the system for an address.
    pub fn bind(address: SocketAddr, accounts: Accounts) -> io::Result<Self> {
        let (socket, address) = bound(address)?;
        // The services are plain HTTP, as the metadata service is, so they stay on this machine.
        let loopback = match address {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
        };
        let (cloud_socket, cloud_address) = bound(SocketAddr::new(loopback, 0))?;
        let store = Arc::new(Mutex::new(KeyStore::new(accounts)));
        Ok(Self {
            socket,
            address,
            cloud_socket,
            cloud_address,
            authority: Authority::new(),
            services: Services {
                cloud: Arc::new(Cloud::new(Arc::clone(&store))),
                store,
                counts: Arc::default(),
                readings: Readings::default(),
                observer: None,
            },
        })
    }

    /// Reads requests in this way where the documentation leaves it open.
    #[must_use]
    pub fn with_readings(mut self, readings: Readings) -> Self {
        self.services.readings = readings;
        self
    }

    /// Tells this observer what became of each request to the gateway.
    pub(crate) fn with_observer(mut self, observer: Sender<Observation>) -> Self {
        self.services.observer = Some(observer);
        self
    }

    /// The cloud's services, whose behaviour can be changed while they run.
    pub fn cloud(&self) -> Arc<Cloud> {
        Arc::clone(&self.services.cloud)
    }

    /// The numbers of requests, which change while the gateway runs.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.services.counts)
    }

    /// Serves until `stop` resolves. Requests in flight are dropped then.
    ///
    /// # Errors
    ///
    /// The error of the system for a socket.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let tls = self.authority.server_config(&names, rustls::ALL_VERSIONS);
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.alpn_protocols.insert(0, b"h2".to_vec());
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let services = Arc::new(self.services);
        let gateway = accept(TcpListener::from_std(self.socket)?, |stream| {
            serve::gateway(stream, acceptor.clone(), Arc::clone(&services))
        });
        let cloud = accept(TcpListener::from_std(self.cloud_socket)?, |stream| {
            serve::cloud(stream, Arc::clone(&services))
        });
        tokio::select! {
            () = gateway => {}
            () = cloud => {}
            () = stop => {}
        }
        Ok(())
    }
}

fn bound(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests;
