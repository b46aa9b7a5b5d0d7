//! Opens connections: name lookup, TCP, TLS.

use std::io;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::tls::{TlsSettings, TlsSetupError};
use crate::config::{Scheme, UpstreamUrl};
use crate::error::Error;
use crate::http1::Wire;

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

    /// Opens a connection.
    pub(super) async fn connect(&self, tls: &TlsSettings) -> Result<Wire, Error> {
        let tcp = self.connect_tcp().await?;
        match self.scheme {
            Scheme::Http => Ok(Wire::new(tcp)),
            Scheme::Https => tls
                .connect(self.server_name.clone(), tcp)
                .await
                .map(Wire::new)
                .map_err(Error::Tls),
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
