//! Tests each step of the connection to an upstream, for `check`.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connector::{Network, Origin, within};
use crate::config::Route;
use crate::error::Error;

/// A probe of one upstream.
#[derive(Debug)]
pub(crate) struct Probe {
    origin: Origin,
    network: Network,
    limit: Duration,
}

impl Probe {
    /// A probe of the upstream of a route, of which each step may take `limit`.
    pub(crate) fn new(network: Network, route: &Route, limit: Duration) -> Self {
        Self {
            origin: Origin::new(&route.upstream),
            network,
            limit,
        }
    }

    /// The host that is looked up and connected to: the upstream's, or that of the network's proxy.
    pub(crate) fn host(&self) -> &str {
        self.origin.first_hop().0
    }

    /// Looks the host up.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = self.origin.first_hop();
        let lookup = self.network.resolver.addresses(host, port);
        let found = within(self.limit, lookup).await;
        found.map_err(|error| self.origin.unresolved(error))
    }

    /// Connects to one of these addresses, and through the network's proxy if there is one.
    pub(crate) async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
        let connecting = self.origin.connect_tcp(addresses);
        let connected = timeout(self.limit, connecting).await;
        connected.map_err(|_| Error::ConnectTimeout)?
    }

    /// Performs the TLS handshake and returns the version, like `TLS 1.3`; `None` for plain HTTP.
    pub(crate) async fn secure(&self, tcp: TcpStream) -> Result<Option<&'static str>, Error> {
        if !self.origin.is_secure() {
            return Ok(None);
        }
        let name = self.origin.server_name.clone();
        let connecting = self.network.tls.connect(name, false, tcp);
        let connected = timeout(self.limit, connecting).await;
        let stream = connected.map_err(|_| Error::ConnectTimeout)??;
        Ok(Some(match stream.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        }))
    }
}
