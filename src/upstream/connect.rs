//! Opens connections: name lookup, TCP, the proxy of the network if there is one, TLS.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::resolve::{Lookup, Resolver};
use super::tls::{HTTP2, TlsSettings, TlsSetupError};
use super::{race, tunnel};
use crate::config::{EgressProxy, Route, Scheme, UpstreamUrl};
use crate::error::Error;
use crate::http1::Wire;

/// How connections are made: what is trusted, and who knows names.
#[derive(Clone, Debug)]
pub struct Network {
    /// Trust in gateways.
    pub tls: TlsSettings,
    /// Where addresses come from.
    pub resolver: Resolver,
}

impl Network {
    /// Whether it is the same network, and not one that was made in the same way.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.tls.is_as(&other.tls) && self.resolver.is_as(&other.resolver)
    }

    /// Looks up where routes lead, and warns of names that cannot be found. A name server may come up
    /// later than the proxy, so that is no reason not to start.
    pub async fn look_ahead(&self, routes: &[Route], limit: Duration) {
        let origins = routes.iter().filter_map(|route| Origin::new(route).ok());
        let mut known = HashSet::new();
        for origin in origins {
            let (host, port) = origin.first_hop();
            if !known.insert(host.to_owned()) {
                continue;
            }
            let found = timeout(limit, self.resolver.addresses(host, port)).await;
            let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if let Err(error) = found {
                tracing::warn!(
                    %error,
                    "{host} cannot be found now; requests to it are answered with 502 until it can: check upstream, HTTPS_PROXY and DNS"
                );
            }
        }
    }
}

/// Where connections go. It comes from the configuration alone, never from a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    egress: Option<EgressProxy>,
}

/// A connection that was just opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) wire: Wire,
    pub(super) at: Instant,
}

/// What the gateway is offered to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Http1,
    /// HTTP/2, and HTTP/1.1 if it does not know that.
    Both,
}

/// A connection that was just opened, with what the gateway speaks on it.
pub(super) enum Made {
    Http1(Opened),
    Http2(Box<TlsStream<TcpStream>>),
}

impl Origin {
    pub(super) fn new(route: &Route) -> Result<Self, TlsSetupError> {
        Self::to(&route.upstream, route.egress.clone())
    }

    /// Where a URL leads, on the way through the proxy of the network if there is one.
    pub(super) fn to(
        url: &UpstreamUrl,
        egress: Option<EgressProxy>,
    ) -> Result<Self, TlsSetupError> {
        let server_name =
            ServerName::try_from(url.host.clone()).map_err(|_| TlsSetupError::ServerName)?;
        Ok(Self {
            scheme: url.scheme,
            host: url.host.clone(),
            port: url.port,
            server_name,
            egress,
        })
    }

    /// Opens a TCP connection, through the proxy of the network if there is one. How long it takes is up to
    /// the caller.
    pub(super) async fn dial(&self, network: &Network) -> Result<TcpStream, Error> {
        let (host, port) = self.first_hop();
        let addresses = network.resolver.addresses(host, port).await;
        let tcp = race::connect(&addresses.map_err(Error::Dns)?).await;
        self.through(tcp.map_err(Error::UpstreamUnreachable)?).await
    }

    /// Opens a connection within `limit`.
    pub(super) async fn open(
        &self,
        network: &Network,
        lookup: &Lookup,
        offer: Offer,
        limit: Duration,
    ) -> Result<Made, Error> {
        let deadline = Instant::now() + limit;
        let (host, port) = self.first_hop();
        let addresses = timeout_at(deadline, lookup.addresses(&network.resolver, host, port));
        let addresses = addresses
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(Error::Dns)?;
        let connecting = async {
            let tcp = race::connect(&addresses)
                .await
                .map_err(Error::UpstreamUnreachable)?;
            self.prepare(network, offer, tcp).await
        };
        timeout_at(deadline, connecting)
            .await
            .map_err(|_| Error::ConnectTimeout)?
    }

    /// Host and port that TCP connects to.
    pub(super) fn first_hop(&self) -> (&str, u16) {
        match &self.egress {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&self.host, self.port),
        }
    }

    /// The proxy of the network, with the host and port that it is asked for.
    pub(super) fn behind(&self) -> Option<(&EgressProxy, &str, u16)> {
        Some((self.egress.as_ref()?, &self.host, self.port))
    }

    /// Whether TLS is spoken.
    pub(super) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// A TCP connection as it is once the proxy of the network was passed.
    async fn through(&self, mut tcp: TcpStream) -> Result<TcpStream, Error> {
        if let Some((proxy, host, port)) = self.behind() {
            tunnel::open(&mut tcp, proxy, host, port).await?;
        }
        Ok(tcp)
    }

    async fn prepare(
        &self,
        network: &Network,
        offer: Offer,
        tcp: TcpStream,
    ) -> Result<Made, Error> {
        let tcp = self.through(tcp).await?;
        if self.scheme == Scheme::Http {
            return Ok(Made::Http1(Opened::new(Wire::new(tcp))));
        }
        let stream = network.tls.connect(self.server_name(), offer, tcp).await;
        let stream = stream.map_err(Error::Tls)?;
        Ok(if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
            Made::Http2(Box::new(stream))
        } else {
            Made::Http1(Opened::new(Wire::new(stream)))
        })
    }
}

impl Opened {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            at: Instant::now(),
        }
    }
}
