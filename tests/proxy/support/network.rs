//! Networks that misbehave: names, addresses, and the way between the proxy and an upstream.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use apig_proxy::config::UpstreamTls;
use apig_proxy::upstream::{Network, Resolver, TlsSettings};

use super::authority;
use super::scene::{pause, wait_until};

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

/// A way to an upstream that can be interrupted.
pub(crate) struct Cable {
    pub(crate) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cable = Self {
            address: listener.local_addr().unwrap(),
            is_cut: Arc::default(),
            streams: Arc::default(),
        };
        cable.lay(listener, upstream);
        cable
    }

    fn lay(&self, listener: TcpListener, upstream: SocketAddr) {
        let (address, is_cut, streams) = (
            self.address,
            Arc::clone(&self.is_cut),
            Arc::clone(&self.streams),
        );
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            let mut listener = Some(listener);
            loop {
                if is_cut.load(Ordering::SeqCst) {
                    listener = None;
                } else if listener.is_none() {
                    listener = TcpListener::bind(address).ok();
                    if let Some(listener) = &listener {
                        listener.set_nonblocking(true).unwrap();
                    }
                }
                let accepted = listener.as_ref().map(TcpListener::accept);
                match accepted {
                    Some(Ok((near, _))) => {
                        near.set_nonblocking(false).unwrap();
                        let far = TcpStream::connect(upstream).unwrap();
                        let mut streams = streams.lock().unwrap();
                        streams.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                        copy(near.try_clone().unwrap(), far.try_clone().unwrap());
                        copy(far, near);
                    }
                    _ => pause(std::time::Duration::from_millis(2)),
                }
            }
        });
    }

    /// Ends all connections, and lets no new ones through.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        wait_until("connections are refused", || {
            TcpStream::connect(self.address).is_err()
        });
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
        wait_until("connections are accepted", || {
            TcpStream::connect(self.address).is_ok()
        });
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
