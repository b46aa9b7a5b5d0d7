//! A caller's stream, its beginning and its end.
//!
//! It begins with the TLS handshake, then the first bytes tell the protocol.
//! With TLS, ALPN may settle it. Otherwise HTTP/2 with prior knowledge begins with a fixed preface,
//! TLS on a plain port with a handshake record, and all else is HTTP/1.1 or refused as such.
//!
//! It ends so that the caller reads its response. When a socket is closed while the caller is still
//! sending, the system resets the connection, and an answer that the caller has not read yet is lost:
//! it sees a broken pipe instead of a `413`. So the sending side is closed first, and what still comes
//! is read and discarded, within bounds.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::accept::Accepted;
use crate::proxy::caller::Stream;

/// What a caller with prior knowledge of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;

/// A caller's stream: TCP, TLS over TCP, or unix.
pub(super) trait Transport: Stream {
    /// The socket below it.
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

/// A stream, its protocol, and the bytes that were read to tell it.
pub(super) type Opened = (Box<dyn Transport>, Protocol, Bytes);

/// Completes the TLS handshake, if there is one, and tells the protocol. `None` if the caller ends
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
    // Most request heads come with the first read, so that hyper does not have to read again.
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            // A part of the preface is no request.
            return Ok(None);
        }
        let protocol = match &bytes[..] {
            // Within TLS, it is just no HTTP.
            [TLS_HANDSHAKE, ..] if !is_tls => Protocol::Tls,
            all if all.starts_with(PREFACE) => Protocol::Http2,
            part if PREFACE.starts_with(part) => continue,
            _ => Protocol::Http1,
        };
        return Ok(Some((stream, protocol, bytes.freeze())));
    }
}

/// How many bytes are discarded, and how long that may take.
pub(super) type LingerLimits = (u64, Duration);

/// The caller may still be sending a body.
pub(super) const UNREAD_BODY: LingerLimits = (16 * 1024 * 1024, Duration::from_secs(10));

/// Nothing more is expected. A stray line end, or the next request, may be on its way all the same.
pub(super) const COMPLETE: LingerLimits = (16 * 1024 * 1024, Duration::from_secs(1));

/// The guard refused the caller, so it gets little.
pub(super) const AFTER_REFUSAL: LingerLimits = (64 * 1024, Duration::from_secs(1));

/// Closes the sending side, then reads until the caller closes too, within the limits.
pub(super) async fn linger(mut stream: Box<dyn Transport>, (bytes, time): LingerLimits) {
    let discarding = async {
        if stream.shutdown().await.is_ok() {
            // The caller may reset the connection.
            let _ = copy(&mut stream.take(bytes), &mut sink()).await;
        }
    };
    if timeout(time, discarding).await.is_err() {
        tracing::debug!("a caller that did not close after its answer was disconnected");
    }
}
