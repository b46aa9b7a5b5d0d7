//! Tells what a caller speaks, before hyper reads anything.
//!
//! With TLS, ALPN may settle it. Otherwise the first bytes do: HTTP/2 with prior knowledge begins with a
//! fixed preface, TLS on a plain port with a handshake record, and all else is HTTP/1.1 or refused as such.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use super::accept::Accepted;
use super::transport::Transport;
use crate::proxy::guard::ListenerKind;

/// What a caller that knows the server speaks HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    Tls,
}

/// A connection that is ready for HTTP.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Transport>,
    pub(super) listener: ListenerKind,
    pub(super) protocol: Protocol,
    /// What was read to tell the protocol.
    pub(super) sniffed: Bytes,
}

/// Completes the TLS handshake, if there is one, and tells the protocol. `None` if the caller ends the
/// connection first.
pub(super) async fn open(accepted: Accepted) -> io::Result<Option<Opened>> {
    let (stream, listener, is_http2): (Box<dyn Transport>, _, _) = match accepted {
        Accepted::Tcp(stream) => {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            (Box::new(stream), ListenerKind::Tcp, false)
        }
        Accepted::Unix(stream) => {
            let stream = tokio::net::UnixStream::from_std(stream)?;
            (Box::new(stream), ListenerKind::Unix, false)
        }
        Accepted::Tls(stream, acceptor) => {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let stream = acceptor.accept(stream).await?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            (Box::new(stream), ListenerKind::Tls, is_http2)
        }
        #[cfg(test)]
        Accepted::Duplex(stream) => (Box::new(stream), ListenerKind::Tcp, false),
    };
    let mut opened = Opened {
        stream,
        listener,
        protocol: Protocol::Http2,
        sniffed: Bytes::new(),
    };
    if is_http2 {
        return Ok(Some(opened));
    }
    let Some((protocol, sniffed)) = sniff(&mut opened.stream).await? else {
        return Ok(None);
    };
    opened.protocol = match protocol {
        // Within TLS, it is just no HTTP.
        Protocol::Tls if listener == ListenerKind::Tls => Protocol::Http1,
        protocol => protocol,
    };
    opened.sniffed = sniffed;
    Ok(Some(opened))
}

/// Reads until it is clear what the caller speaks.
async fn sniff(stream: &mut Box<dyn Transport>) -> io::Result<Option<(Protocol, Bytes)>> {
    // Most request heads come with the first read, so that hyper does not have to read again.
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            // A part of the preface is no request.
            return Ok(None);
        }
        let protocol = match &bytes[..] {
            [TLS_HANDSHAKE, ..] => Protocol::Tls,
            all if all.starts_with(PREFACE) => Protocol::Http2,
            part if PREFACE.starts_with(part) => continue,
            _ => Protocol::Http1,
        };
        return Ok(Some((protocol, bytes.freeze())));
    }
}
