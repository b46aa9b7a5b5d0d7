//! Opens connections: DNS, TCP, the egress proxy of the network if there is one, TLS.

mod egress;
mod happy_eyeballs;
mod resolve;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::tls::{AlpnOffer, HTTP2, TlsSettings, TlsSetupError};
use crate::config::{EgressProxy, Route, Scheme, UpstreamUrl};
use crate::error::Error;
pub(super) use egress::tunnel;
pub(crate) use resolve::Lookup;
pub use resolve::Resolver;

/// How connections are made: what is trusted, and where addresses come from.
#[derive(Clone, Debug)]
pub struct Network {
    /// Trust in gateways.
    pub tls: TlsSettings,
    /// Where addresses come from.
    pub resolver: Resolver,
}

impl Network {
    /// Whether both are clones of one network.
    #[must_use]
    pub fn same_config(&self, other: &Self) -> bool {
        self.tls.same_config(&other.tls) && self.resolver.same_config(&other.resolver)
    }

    /// Resolves the upstream of each route, and warns of names that have no address. A name server
    /// may come up later than the proxy, so that is no reason not to start.
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

/// How long each step of connecting took; `None` for a step that was not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTimes {
    /// The name lookup.
    pub dns: Option<Duration>,
    /// The TCP connection, and the tunnel through an egress proxy.
    pub tcp: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
}

/// Where connections go. It comes from the configuration alone, never from a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    egress: Option<EgressProxy>,
}

/// A connection that was just opened.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) transport: Transport,
    pub(crate) is_http2: bool,
    pub(crate) times: ConnectTimes,
}

/// The bytes of a connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Origin {
    /// The upstream of a route.
    ///
    /// # Errors
    ///
    /// [`TlsSetupError::ServerName`] if the host cannot be the name of a certificate.
    pub(crate) fn new(route: &Route) -> Result<Self, TlsSetupError> {
        Self::from_url(&route.upstream, route.egress.clone())
    }

    /// The origin of a URL, reached through the egress proxy if there is one.
    pub(super) fn from_url(
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

    /// Connects within `limit`, which covers every step. Concurrent calls share one `lookup`.
    ///
    /// # Errors
    ///
    /// [`Error::Dns`], [`Error::UpstreamUnreachable`], [`Error::EgressRefused`], [`Error::Tls`] or
    /// [`Error::ConnectTimeout`].
    pub(crate) async fn connect(
        &self,
        network: &Network,
        lookup: &Lookup,
        alpn: AlpnOffer,
        limit: Duration,
    ) -> Result<Connected, Error> {
        let started = Instant::now();
        let deadline = started + limit;
        let (host, port) = self.first_hop();
        let addresses = timeout_at(deadline, lookup.addresses(&network.resolver, host, port));
        let addresses = addresses
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(Error::Dns)?;
        let times = ConnectTimes {
            dns: Some(started.elapsed()),
            ..ConnectTimes::default()
        };
        let connecting = self.connect_to(&addresses, network, alpn, times);
        timeout_at(deadline, connecting)
            .await
            .map_err(|_| Error::ConnectTimeout)?
    }

    /// Connects to an origin that nothing else connects to; the caller bounds the time.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`], without [`Error::ConnectTimeout`].
    pub(super) async fn connect_once(&self, network: &Network) -> Result<Transport, Error> {
        let (host, port) = self.first_hop();
        let addresses = network.resolver.addresses(host, port).await;
        let addresses = addresses.map_err(Error::Dns)?;
        let times = ConnectTimes::default();
        let connected = self
            .connect_to(&addresses, network, AlpnOffer::Http1, times)
            .await?;
        Ok(connected.transport)
    }

    /// Connects over TCP to one of these addresses, and through the egress proxy if there is one.
    pub(super) async fn connect_tcp(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
        let tcp = happy_eyeballs::connect(addresses)
            .await
            .map_err(Error::UpstreamUnreachable)?;
        match &self.egress {
            Some(proxy) => tunnel(tcp, proxy, &self.host, self.port).await,
            None => Ok(tcp),
        }
    }

    async fn connect_to(
        &self,
        addresses: &[SocketAddr],
        network: &Network,
        alpn: AlpnOffer,
        mut times: ConnectTimes,
    ) -> Result<Connected, Error> {
        let started = Instant::now();
        let tcp = self.connect_tcp(addresses).await?;
        times.tcp = Some(started.elapsed());
        if !self.is_secure() {
            return Ok(Connected {
                transport: Transport::Tcp(tcp),
                is_http2: false,
                times,
            });
        }
        let started = Instant::now();
        let tls = network.tls.connect(self.server_name(), alpn, tcp).await;
        let tls = tls.map_err(Error::Tls)?;
        times.tls = Some(started.elapsed());
        Ok(Connected {
            is_http2: tls.get_ref().1.alpn_protocol() == Some(HTTP2),
            transport: Transport::Tls(Box::new(tls)),
            times,
        })
    }

    /// Host and port of the TCP connection: the upstream's, or those of the egress proxy.
    pub(super) fn first_hop(&self) -> (&str, u16) {
        match &self.egress {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&self.host, self.port),
        }
    }

    /// Whether the origin is reached over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
