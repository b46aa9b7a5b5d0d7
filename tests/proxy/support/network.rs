//! Networks that misbehave: names, addresses, and the way between the proxy and an upstream.

use std::io;
use std::net::{SocketAddr, TcpListener};

use apig_proxy::config::UpstreamTls;
use apig_proxy::upstream::{Network, Resolver, TlsSettings};

use super::authority;
use super::scene::pause;

/// The name that upstreams of tests have beside their address.
pub(crate) const NAME: &str = "gateway.test";

/// Trust in the certificates of the tests.
pub(crate) fn upstream_tls() -> UpstreamTls {
    UpstreamTls {
        extra_roots: vec![authority::root()],
        client: None,
    }
}

/// A network in which names have the addresses that `lookup` says.
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

/// What a lookup finds.
pub(crate) enum Addresses {
    Are(Vec<SocketAddr>),
    Unknown,
    /// It does not come to an end.
    Never,
}

/// An address where nobody listens.
pub(crate) fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// An address that swallows everything: its queue of connections is full. It does so until it is dropped.
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
        // Until the first of them stand in the queue.
        pause(std::time::Duration::from_millis(50));
        hole
    }
}
