//! Opens connections: DNS, TCP, the egress proxy of the network if there is one, TLS.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;

use super::happy_eyeballs;
use super::resolve::Resolver;
use super::tls::TlsSettings;
use crate::config::{EgressProxy, Route, Scheme, UpstreamUrl};
use crate::error::{Cause, Error};

/// The most that is read of the response of an egress proxy, in bytes.
const MAX_CONNECT_ANSWER: usize = 16 * 1024;

/// How connections are made. Clones are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Trust in gateways.
    pub tls: TlsSettings,
    /// Where addresses come from.
    pub resolver: Resolver,
}

impl Network {
    /// Resolves the upstream of each route, and warns of names that have no address. A name server
    /// may come up later than the proxy, so that is no reason not to start. Cloud services are left
    /// out: there may be thousands, of which few are used.
    pub(crate) async fn look_ahead(&self, routes: &[Route], limit: Duration) {
        let mut known = HashSet::new();
        for route in routes.iter().filter(|route| route.service.is_none()) {
            let origin = Origin::new(&route.upstream);
            let (host, port) = origin.first_hop();
            if known.insert(host.to_owned())
                && let Err(error) = within(limit, self.resolver.addresses(host, port)).await
            {
                tracing::warn!(
                    %error,
                    "{host} cannot be resolved; requests to it are answered with 502 until it can: check upstream, HTTPS_PROXY and DNS"
                );
            }
        }
    }
}

/// Runs a lookup for at most this long.
async fn within<T>(limit: Duration, lookup: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let found = timeout(limit, lookup).await;
    found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// How long each step of connecting took; `None` for a step that was not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectTimes {
    /// The name lookup.
    pub(crate) dns: Option<Duration>,
    /// The TCP connection, and the tunnel through an egress proxy.
    pub(crate) tcp: Option<Duration>,
    /// The TLS handshake.
    pub(crate) tls: Option<Duration>,
}

/// The bytes of a connection, with or without TLS.
pub(super) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Where connections go. It comes from the configuration alone, never from a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Without a path.
    url: UpstreamUrl,
    server_name: ServerName<'static>,
}

impl Origin {
    /// The origin of a URL.
    pub(super) fn new(url: &UpstreamUrl) -> Self {
        let server_name = ServerName::try_from(url.host.clone());
        let server_name = server_name.expect("a certificate can be for the host of a URL");
        let mut url = url.clone();
        url.base_path.clear();
        url.ends_with_slash = false;
        Self { url, server_name }
    }

    /// Connects within `limit`, which covers every step, to one of the addresses of
    /// [`Self::first_hop`].
    pub(super) async fn connect(
        &self,
        network: &Network,
        addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>,
        offers_http2: bool,
        limit: Duration,
    ) -> Result<(Transport, ConnectTimes), Error> {
        let started = Instant::now();
        let addresses = within(limit, addresses).await;
        let addresses = addresses.map_err(|error| self.unresolved(error))?;
        let resolved = Instant::now();
        let mut times = ConnectTimes {
            dns: Some(resolved - started),
            ..ConnectTimes::default()
        };
        let connecting = async {
            let tcp = self.connect_tcp(&addresses).await?;
            let connected = Instant::now();
            times.tcp = Some(connected - resolved);
            if !self.is_secure() {
                return Ok((Either::Left(tcp), times));
            }
            let name = self.server_name.clone();
            let tls = network.tls.connect(name, offers_http2, tcp).await;
            let tls = Box::new(tls?);
            times.tls = Some(connected.elapsed());
            Ok((Either::Right(tls), times))
        };
        let connected = timeout_at(started + limit, connecting).await;
        connected.map_err(|_| Error::ConnectTimeout)?
    }

    /// Connects over TCP to one of these addresses, and through the egress proxy if there is one.
    async fn connect_tcp(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
        let tcp = happy_eyeballs::connect(addresses).await;
        match &self.url.egress {
            None => tcp.map_err(Error::UpstreamUnreachable),
            Some(proxy) => {
                let tcp = tcp.map_err(Error::EgressUnreachable)?;
                let (host, port) = self.url.destination();
                tunnel(tcp, proxy, host, port).await
            }
        }
    }

    /// The error for a first hop whose name was not found.
    fn unresolved(&self, error: io::Error) -> Error {
        match &self.url.egress {
            None => Error::Dns(error),
            Some(_) => Error::EgressUnreachable(error),
        }
    }

    /// Host and port of the TCP connection: the upstream's, or those of the egress proxy.
    pub(super) fn first_hop(&self) -> (&str, u16) {
        match &self.url.egress {
            Some(proxy) => (&proxy.host, proxy.port),
            None => self.url.destination(),
        }
    }

    /// True if the origin is reached over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme == Scheme::Https
    }
}

/// A probe of one upstream, for `check`, which reports each step of connecting.
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

/// Asks the egress proxy at the other end of `tcp` for a tunnel to a host. The result is used like a
/// direct connection.
async fn tunnel(
    tcp: TcpStream,
    proxy: &EgressProxy,
    host: &str,
    port: u16,
) -> Result<TcpStream, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_CONNECT_ANSWER);
    let handshake = builder.handshake(TokioIo::new(tcp)).await;
    let (mut sender, connection) = handshake.map_err(unusable)?;
    let _task = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let authority = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let mut request = Request::connect(&authority).header(HOST, &authority);
    if let Some(authorization) = &proxy.authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(unusable)?;
    let answer = sender.send_request(request).await.map_err(unusable)?;
    if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(Error::EgressPassword);
    }
    if !answer.status().is_success() {
        let status = answer.status().as_u16();
        return Err(Error::EgressRefused { status });
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(unusable)?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        // The gateway says nothing before it is spoken to.
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(unusable("the egress proxy sent more than its answer")),
    }
}

/// The error for an egress proxy that does not behave like one.
fn unusable(cause: impl Into<Cause>) -> Error {
    Error::EgressUnreachable(io::Error::other(cause))
}
