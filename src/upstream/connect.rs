//! Opens connections: name lookup, TCP, TLS, HTTP/1.1.

use std::io;

use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::{TlsSettings, TlsSetupError};
use crate::config::{Scheme, UpstreamUrl};
use crate::error::Error;

/// The most that is buffered of an answer before it is passed on, in bytes. hyper's own limit of
/// 400 KiB would be reached by every connection that carries large bodies.
const READ_BUFFER: usize = 64 * 1024;

/// Longest head of an answer, in bytes.
const HEAD: usize = 64 * 1024;

/// Where connections go. It comes from the configuration alone, never from a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
}

impl Origin {
    pub(super) fn new(url: &UpstreamUrl) -> Result<Self, TlsSetupError> {
        let server_name =
            ServerName::try_from(url.host.clone()).map_err(|_| TlsSetupError::ServerName)?;
        Ok(Self {
            scheme: url.scheme,
            host: url.host.clone(),
            port: url.port,
            server_name,
        })
    }

    /// Opens a connection and leaves it to a task of the worker's, which ends with the connection.
    pub(super) async fn connect<B>(&self, tls: &TlsSettings) -> Result<SendRequest<B>, Error>
    where
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let tcp = self.connect_tcp().await?;
        match self.scheme {
            Scheme::Http => handshake(tcp).await,
            Scheme::Https => {
                let stream = tls
                    .connect(self.server_name.clone(), tcp)
                    .await
                    .map_err(Error::Tls)?;
                handshake(stream).await
            }
        }
    }

    async fn connect_tcp(&self) -> Result<TcpStream, Error> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(Error::Dns)?;
        let mut failure = None;
        for address in addresses {
            match TcpStream::connect(address)
                .await
                .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
            {
                Ok(tcp) => return Ok(tcp),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.map_or_else(
            || {
                Error::Dns(io::Error::new(
                    io::ErrorKind::NotFound,
                    "the name has no address",
                ))
            },
            Error::UpstreamUnreachable,
        ))
    }
}

async fn handshake<S, B>(stream: S) -> Result<SendRequest<B>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .max_header_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Error::UpstreamReset)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the gateway ended");
        }
    });
    Ok(sender)
}
