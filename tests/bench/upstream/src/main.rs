//! The upstream behind the compared proxies: a TLS server that costs little.
//!
//! Every request is answered with the same small JSON document once its body has been read.
//! `/__stats` reports what has arrived so far, and `/__echo` the request itself. Each thread has
//! a runtime and a listening socket of its own.
#![forbid(unsafe_code)]

mod service;
mod statistics;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, HandshakeKind, ServerConfig};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::statistics::STATISTICS;

/// The body of every response.
const JSON: &str = concat!(
    r#"{"request_id":"7c1d5a7e0f6b4b0f9f5c2f0f7d1a2b3c","status":"ACTIVE","items":["#,
    r#"{"id":1,"name":"alpha","size":1024},{"id":2,"name":"beta","size":2048}],"#,
    r#""total":2,"region":"cn-north-4","message":"success ok"}"#
);
const REQUEST_ID: &str = "7c1d5a7e0f6b4b0f9f5c2f0f7d1a2b3c";
const STATS: &str = "/__stats";
const ECHO: &str = "/__echo";
const BACKLOG: i32 = 4096;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    address: SocketAddr,
    /// Folder with `server.pem` and `server.key`.
    #[arg(long)]
    certificates: PathBuf,
    /// `h2` offers HTTP/2 beside HTTP/1.1.
    #[arg(long, value_enum, default_value = "h1")]
    alpn: Alpn,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Alpn {
    H1,
    H2,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let tls = TlsAcceptor::from(Arc::new(tls(&arguments.certificates, arguments.alpn)?));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads)
            .map(|_| scope.spawn(|| run(arguments.address, &tls)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a thread does not panic"))
    })
}

fn tls(folder: &Path, alpn: Alpn) -> anyhow::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem"))
        .context("cannot read server.pem")?;
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))
        .context("cannot read server.key")?;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // One cipher suite, so that encryption costs every proxy the same.
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = match alpn {
        Alpn::H1 => vec![b"http/1.1".to_vec()],
        Alpn::H2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// Accepts and serves connections; one of several threads that share the address.
fn run(address: SocketAddr, tls: &TlsAcceptor) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = listen(address)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let tls = tls.clone();
            tokio::task::spawn_local(async move {
                // A connection that breaks off is the client's business.
                let _ = serve(stream, tls).await;
            });
        }
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn serve(stream: TcpStream, tls: TlsAcceptor) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    STATISTICS.connections.add(1);
    let stream = tls.accept(stream).await?;
    let connection = stream.get_ref().1;
    if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
        STATISTICS.full_handshakes.add(1);
    }
    service::serve(stream).await.map_err(std::io::Error::other)
}
