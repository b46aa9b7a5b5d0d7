//! An API gateway on this machine: for the demo, for tests, and for work without a network.
//!
//! It verifies requests as API Gateway does (signed headers, 15 minutes, stage, size, the lock after
//! repeated failures; tokens, app codes and API keys), with the gateway's own codes and messages, and
//! answers what it received, or forwards the request to a [`Backend`]. It works from what came over the wire and shares nothing with the proxy but
//! the verifier, so a request that it accepts carried a right signature.
//!
//! Beside it there is a [`Cloud`]: the services that issue tokens and temporary keys, which the gateway
//! then knows until they expire.
//!
//! # What can go wrong
//!
//! It knows what is documented and reported of the gateway. Where that is silent it takes the
//! stricter reading, so what it accepts is not a promise of what the real one does.

mod accounts;
mod authentication;
mod authority;
mod backend;
mod cloud;
mod drawing;
mod judgement;
mod known;
mod lockout;
mod reading;
mod refusal;
mod reply;
mod serving;
mod time;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::credentials::Credentials;
pub use accounts::{Accounts, Federation, Limits, MetadataTokens, User};
pub use authority::Authority;
pub use backend::{Backend, BackendUrlError};
pub use cloud::{Cloud, Mood, POD_IDENTITY_PATH, Service};
use judgement::Gateway;
use known::Known;
pub use time::{Clock, Now};

/// An emulated gateway that is bound to its address.
#[derive(Debug)]
pub struct Emulator {
    socket: std::net::TcpListener,
    address: SocketAddr,
    authority: Authority,
    gateway: Arc<Gateway>,
    cloud_socket: std::net::TcpListener,
    cloud_address: SocketAddr,
    cloud: Arc<Cloud>,
    counts: Arc<Counts>,
    backend: Option<Backend>,
}

/// What an emulated gateway has seen so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests whose head came.
    pub requests: AtomicU64,
    /// Requests that were accepted.
    pub verified: AtomicU64,
    /// Requests that were refused because their temporary key had expired.
    pub refused_expired: AtomicU64,
    /// Requests that were refused because their token had expired.
    pub refused_expired_tokens: AtomicU64,
}

impl Emulator {
    /// Binds an address, makes a certificate for it, and takes requests signed with these keys.
    ///
    /// # Errors
    ///
    /// What the system says of the address.
    pub fn bind(address: SocketAddr, keys: &[Credentials], now: Now) -> io::Result<Self> {
        let accounts = Accounts {
            keys: keys.to_vec(),
            ..Accounts::default()
        };
        Self::bind_with(address, accounts, now)
    }

    /// Binds an address and a loopback one for the cloud's services, makes a certificate, and knows these
    /// accounts.
    ///
    /// # Errors
    ///
    /// What the system says of the addresses.
    pub fn bind_with(
        address: SocketAddr,
        accounts: Accounts,
        clock: impl Into<Clock>,
    ) -> io::Result<Self> {
        let clock = clock.into();
        let (socket, address) = bound(address)?;
        // The services are plain HTTP, as the metadata service is, so they stay on this machine.
        let loopback = match address {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
        };
        let (cloud_socket, cloud_address) = bound(SocketAddr::new(loopback, 0))?;
        let known = Arc::new(Known::new(&accounts));
        let counts = Arc::<Counts>::default();
        let gateway = Gateway::new(
            Arc::clone(&known),
            accounts.limits,
            clock.clone(),
            Arc::clone(&counts),
        );
        Ok(Self {
            socket,
            address,
            authority: Authority::new(),
            gateway: Arc::new(gateway),
            cloud_socket,
            cloud_address,
            cloud: Arc::new(Cloud::new(accounts, known, clock)),
            counts,
            backend: None,
        })
    }

    /// Forwards requests that were verified to this backend, instead of answering what was received.
    #[must_use]
    pub fn with_backend(mut self, backend: Option<Backend>) -> Self {
        self.backend = backend;
        self
    }

    /// Where the gateway listens, with TLS. IAM and STS answer there too.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the cloud's services listen, with plain HTTP.
    #[must_use]
    pub fn cloud_address(&self) -> SocketAddr {
        self.cloud_address
    }

    /// The cloud's services, whose behaviour can be changed while they run.
    #[must_use]
    pub fn cloud(&self) -> Arc<Cloud> {
        Arc::clone(&self.cloud)
    }

    /// The root that a caller has to trust.
    #[must_use]
    pub fn root(&self) -> CertificateDer<'static> {
        self.authority.root()
    }

    /// The root, in PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// What the gateway has seen, counted on while it runs.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Serves until `stop` resolves. Requests that run then are dropped.
    ///
    /// # Errors
    ///
    /// What the system says of the sockets.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let tls = self.authority.server_config(&names, rustls::ALL_VERSIONS);
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.alpn_protocols.insert(0, b"h2".to_vec());
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let socket = TcpListener::from_std(self.socket)?;
        let cloud_socket = TcpListener::from_std(self.cloud_socket)?;
        let gateway = serving::accept(socket, |stream| {
            serving::gateway(
                stream,
                acceptor.clone(),
                Arc::clone(&self.gateway),
                Arc::clone(&self.cloud),
                self.backend,
            )
        });
        let cloud = serving::accept(cloud_socket, |stream| {
            serving::cloud(stream, Arc::clone(&self.cloud))
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
