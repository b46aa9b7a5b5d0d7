//! Through the proxy of a corporate network: `CONNECT`, and then the connection is as if it were direct.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::EgressProxy;
use crate::error::Error;
use crate::http1::{ResponseHead, Scanner, push_field};

/// Longest head of an answer of such a proxy, in bytes.
const HEAD: usize = 16 * 1024;

/// Asks the proxy at the other end of `stream` for a connection to a host.
///
/// # Errors
///
/// [`Error::EgressRefused`] if it answers anything but success, [`Error::UpstreamUnreachable`] if it does
/// not answer as a proxy does.
pub(super) async fn open(
    stream: &mut TcpStream,
    proxy: &EgressProxy,
    host: &str,
    port: u16,
) -> Result<(), Error> {
    let status = ask(stream, proxy, host, port)
        .await
        .map_err(Error::UpstreamUnreachable)?;
    if (200..300).contains(&status) {
        Ok(())
    } else {
        Err(Error::EgressRefused { status })
    }
}

async fn ask(
    stream: &mut TcpStream,
    proxy: &EgressProxy,
    host: &str,
    port: u16,
) -> io::Result<u16> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\n").into_bytes();
    push_field(&mut head, "host", format!("{host}:{port}").as_bytes());
    if let Some(authorization) = &proxy.authorization {
        push_field(&mut head, "proxy-authorization", authorization.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await?;
    read_status(stream).await
}

/// Reads the head of the answer. The gateway says nothing before it is spoken to, so nothing may follow.
async fn read_status(stream: &mut TcpStream) -> io::Result<u16> {
    let invalid = |malformed| io::Error::new(io::ErrorKind::InvalidData, malformed);
    let mut scanner = Scanner::default();
    let mut came = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut came).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(span) = scanner.find(&came, HEAD).map_err(invalid)? else {
            continue;
        };
        if span.end < came.len() {
            let message = "the proxy of the network sent more than its answer";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let head = came.freeze().slice(span.start..);
        return Ok(ResponseHead::parse(&head).map_err(invalid)?.status);
    }
}
