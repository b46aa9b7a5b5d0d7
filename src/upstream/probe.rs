//! Tests each step of the connection to an upstream, for `check`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::net::TcpStream;
use tokio::time::timeout;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::connector::{Network, Origin};
use super::tls::{AlpnOffer, TlsSetupError};
use crate::config::Route;
use crate::error::Error;

/// A look at one upstream.
#[derive(Debug)]
pub struct Probe {
    origin: Origin,
    network: Network,
    limit: Duration,
}

/// What TLS with an upstream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secured {
    /// The version of TLS, like `TLS 1.3`.
    pub version: &'static str,
    /// When the first certificate of the chain to expire does so, in seconds since 1970.
    pub valid_until: Option<i64>,
}

impl Probe {
    /// A look at the upstream of a route, of which each step may take so long.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::ServerName`] if the host cannot be the name of a certificate.
    pub fn new(network: Network, route: &Route, limit: Duration) -> Result<Self, TlsSetupError> {
        let origin = Origin::new(route)?;
        Ok(Self {
            origin,
            network,
            limit,
        })
    }

    /// The host that is looked up and connected to: the upstream's, or that of the network's proxy.
    #[must_use]
    pub fn host(&self) -> &str {
        self.origin.first_hop().0
    }

    /// Looks the host up.
    ///
    /// # Errors
    ///
    /// [`Error::Dns`].
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = self.origin.first_hop();
        let found = timeout(self.limit, self.network.resolver.addresses(host, port)).await;
        found
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(Error::Dns)
    }

    /// Connects to one of these addresses, and through the network's proxy if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::UpstreamUnreachable`], [`Error::EgressRefused`] or [`Error::ConnectTimeout`].
    pub async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
        let connecting = self.origin.connect_tcp(addresses);
        timeout(self.limit, connecting)
            .await
            .map_err(|_| Error::ConnectTimeout)?
    }

    /// Speaks TLS; `None` if the upstream is spoken to in plain HTTP.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] or [`Error::ConnectTimeout`].
    pub async fn secure(&self, tcp: TcpStream) -> Result<Option<Secured>, Error> {
        if !self.origin.is_secure() {
            return Ok(None);
        }
        let name = self.origin.server_name();
        let stream = timeout(
            self.limit,
            self.network.tls.connect(name, AlpnOffer::Http1, tcp),
        )
        .await
        .map_err(|_| Error::ConnectTimeout)?
        .map_err(Error::Tls)?;
        let session = stream.get_ref().1;
        let version = session.protocol_version();
        let chain = session.peer_certificates().unwrap_or_default();
        let ends = chain.iter().filter_map(|certificate| {
            let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
            Some(certificate.validity().not_after.timestamp())
        });
        Ok(Some(Secured {
            version: match version {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                _ => "TLS",
            },
            valid_until: ends.min(),
        }))
    }
}
