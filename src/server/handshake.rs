//! The beginning of a connection: the TLS handshake, then the first bytes, which show the protocol.
//!
//! With TLS, ALPN may select it. Otherwise HTTP/2 with prior knowledge begins with a fixed preface,
//! TLS on a plain port with a handshake record, and everything else is parsed as HTTP/1.1.

use std::io;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::accept::Accepted;
use crate::proxy::caller::Stream;

/// What a caller with prior knowledge of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;

/// A caller's stream: TCP, TLS over TCP, or unix.
pub(super) trait Transport: Stream {
    fn socket(&self) -> Option<SockRef<'_>>;
}

impl Transport for TcpStream {
    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(self))
    }
}

impl Transport for TlsStream<TcpStream> {
    fn socket(&self) -> Option<SockRef<'_>> {
        self.get_ref().0.socket()
    }
}

impl Transport for UnixStream {
    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(self))
    }
}

#[cfg(test)]
impl Transport for tokio::io::DuplexStream {
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    /// TLS on a plain port.
    Tls,
}

/// A stream, its protocol, and the bytes that were read to detect it.
pub(super) type Opened = (Box<dyn Transport>, Protocol, Bytes);

/// Completes the TLS handshake, if there is one, and detects the protocol. `None` if the caller ends
/// the connection first.
pub(super) async fn open(accepted: Accepted) -> io::Result<Option<Opened>> {
    let mut is_tls = false;
    let mut stream: Box<dyn Transport> = match accepted {
        Accepted::Tcp(stream, None) => Box::new(TcpStream::from_std(stream)?),
        Accepted::Tcp(stream, Some(acceptor)) => {
            let stream = acceptor.accept(TcpStream::from_std(stream)?).await?;
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return Ok(Some((Box::new(stream), Protocol::Http2, Bytes::new())));
            }
            is_tls = true;
            Box::new(stream)
        }
        Accepted::Unix(stream) | Accepted::Replay(stream, _) => {
            Box::new(UnixStream::from_std(stream)?)
        }
        #[cfg(test)]
        Accepted::Duplex(stream) => Box::new(stream),
    };
    // Most request heads fit, so that hyper does not have to read again.
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            // A part of the preface is no request.
            return Ok(None);
        }
        let protocol = match &bytes[..] {
            // Within TLS, it is a malformed request.
            [TLS_HANDSHAKE, ..] if !is_tls => Protocol::Tls,
            all if all.starts_with(PREFACE) => Protocol::Http2,
            part if PREFACE.starts_with(part) => continue,
            _ => Protocol::Http1,
        };
        return Ok(Some((stream, protocol, bytes.freeze())));
    }
}
