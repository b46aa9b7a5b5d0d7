//! An API gateway on this machine: for the demo, for tests, and for work without a network.
//!
//! It verifies requests as API Gateway does (signed headers, 15 minutes, stage, size, the lock after
//! repeated failures), with the gateway's own codes and messages, and answers what it received. It
//! works from what came over the wire and shares nothing with the proxy but the verifier, so a request
//! that it accepts carried a right signature.
//!
//! # What can go wrong
//!
//! It knows what is documented and reported of the gateway. Where that is silent it takes the
//! stricter reading, so what it accepts is not a promise of what the real one does.

mod authority;
mod judgement;
mod lockout;
mod reply;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::credentials::Credentials;
pub use authority::Authority;
use judgement::Gateway;

/// How long a caller may take for a TLS handshake, and for a head.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long accepting pauses after it failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The time, in seconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// An emulated gateway that is bound to its address.
#[derive(Debug)]
pub struct Emulator {
    socket: std::net::TcpListener,
    address: SocketAddr,
    authority: Authority,
    gateway: Arc<Gateway>,
    counts: Arc<Counts>,
}

/// What an emulator has seen so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests whose head came.
    pub requests: AtomicU64,
    /// Requests that were verified.
    pub verified: AtomicU64,
}

impl Emulator {
    /// Binds an address, makes a certificate for it, and takes requests signed with these keys.
    ///
    /// # Errors
    ///
    /// What the system says of the address.
    pub fn bind(address: SocketAddr, keys: &[Credentials], now: Now) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let gateway = Arc::new(Gateway::new(keys, now));
        Ok(Self {
            socket,
            address,
            authority: Authority::new(),
            gateway,
            counts: Arc::default(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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

    /// What it has seen, counted on while it runs.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Serves until `stop` resolves. Requests that run then are dropped.
    ///
    /// # Errors
    ///
    /// What the system says of the socket.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let acceptor =
            TlsAcceptor::from(self.authority.server_config(&names, rustls::ALL_VERSIONS));
        let socket = TcpListener::from_std(self.socket)?;
        let mut connections = tokio::task::JoinSet::new();
        let accepting = async {
            loop {
                while connections.try_join_next().is_some() {}
                match socket.accept().await {
                    Ok((stream, _)) => {
                        let served = serve(
                            stream,
                            acceptor.clone(),
                            Arc::clone(&self.gateway),
                            Arc::clone(&self.counts),
                        );
                        connections.spawn(served);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the gateway could not accept a connection");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = stop => {}
        }
        Ok(())
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    gateway: Arc<Gateway>,
    counts: Arc<Counts>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
        tracing::debug!("a TLS handshake with the gateway failed");
        return;
    };
    let service =
        service_fn(move |request| answer(Arc::clone(&gateway), Arc::clone(&counts), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // More than the gateway takes, so that its own limits answer and not the parser's.
        .max_header_size(512 * 1024)
        .max_buf_size(512 * 1024)
        .max_headers(1000)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the gateway ended early");
    }
}

async fn answer(
    gateway: Arc<Gateway>,
    counts: Arc<Counts>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    counts.requests.fetch_add(1, Ordering::Relaxed);
    let judged = gateway.judge(request).await;
    if judged.is_ok() {
        counts.verified.fetch_add(1, Ordering::Relaxed);
    }
    Ok(reply::response(judged))
}

#[cfg(test)]
mod tests;
