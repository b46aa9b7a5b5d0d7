//! Name resolution and unreachable addresses.

use std::io;
use std::net::{SocketAddr, TcpListener};

use apig_proxy::config::UpstreamTls;
use apig_proxy::upstream::{Network, Resolver, TlsSettings};

use super::authority;
use super::scene::pause;

/// The host name of upstreams, beside their address.
pub(crate) const NAME: &str = "gateway.test";

/// The settings that trust the certificates of the tests.
pub(crate) fn upstream_tls() -> UpstreamTls {
    UpstreamTls {
        extra_roots: vec![authority::root()],
        client: None,
    }
}

/// A network whose names are resolved by `lookup`.
pub(crate) fn network(lookup: impl Fn(&str) -> Addresses + Send + Sync + 'static) -> Network {
    Network {
        tls: TlsSettings::new(&upstream_tls()).unwrap(),
        resolver: Resolver::new(move |host, _| {
            let found = lookup(&host);
            async move {
                match found {
                    Addresses::Are(addresses) => Ok(addresses),
                    Addresses::Unknown => Err(io::Error::other("name or service not known")),
                    Addresses::Never => std::future::pending().await,
                }
            }
        }),
    }
}

/// The result of a lookup.
pub(crate) enum Addresses {
    Are(Vec<SocketAddr>),
    Unknown,
    /// The lookup does not return.
    Never,
}

/// An address without a listener.
pub(crate) fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// An address that drops SYN packets, since its accept queue is full, until this is dropped.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: socket2::Socket,
    _queued: Vec<socket2::Socket>,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let tcp = || {
            socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::STREAM,
                Some(socket2::Protocol::TCP),
            )
            .unwrap()
        };
        let listener = tcp();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let queued = std::iter::repeat_with(|| {
            let socket = tcp();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        });
        let hole = Self {
            address,
            _listener: listener,
            _queued: queued.take(8).collect(),
        };
        // Let the queue fill.
        pause(std::time::Duration::from_millis(50));
        hole
    }
}
