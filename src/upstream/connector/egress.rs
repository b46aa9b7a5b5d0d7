//! Tunnels through the egress proxy of a corporate network: `CONNECT`, then the connection is as if it were direct.

use std::io;
use std::pin::pin;

use bytes::Bytes;
use http::Request;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::EgressProxy;
use crate::error::Error;

/// The most that is read of the proxy's answer, in bytes.
const MAX_ANSWER_HEAD: usize = 16 * 1024;

/// Asks the proxy at the other end of `tcp` for a tunnel to a host.
///
/// # Errors
///
/// [`Error::EgressRefused`] if its answer is not 2xx, [`Error::UpstreamUnreachable`] if it does not answer
/// as a proxy does.
pub(in crate::upstream) async fn tunnel(
    tcp: TcpStream,
    proxy: &EgressProxy,
    host: &str,
    port: u16,
) -> Result<TcpStream, Error> {
    let broken = |error| Error::UpstreamUnreachable(io::Error::other(error));
    let request = connect_request(proxy, host, port)
        .map_err(|error| Error::UpstreamUnreachable(io::Error::other(error)))?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_ANSWER_HEAD);
    let handshake = builder.handshake(TokioIo::new(tcp)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    let mut connection = pin!(connection.without_shutdown());
    let mut answer = pin!(sender.send_request(request));
    let (answer, finished) = tokio::select! {
        biased;
        answer = &mut answer => (answer, None),
        // The connection ends with the answer; both are there then.
        finished = &mut connection => (answer.await, Some(finished)),
    };
    let status = answer.map_err(broken)?.status();
    if !status.is_success() {
        let status = status.as_u16();
        return Err(Error::EgressRefused { status });
    }
    let parts = match finished {
        Some(parts) => parts,
        None => connection.await,
    };
    let parts = parts.map_err(broken)?;
    // The gateway says nothing before it is spoken to.
    if !parts.read_buf.is_empty() {
        let message = "the egress proxy sent more than its answer";
        let error = io::Error::new(io::ErrorKind::InvalidData, message);
        return Err(Error::UpstreamUnreachable(error));
    }
    Ok(parts.io.into_inner())
}

fn connect_request(
    proxy: &EgressProxy,
    host: &str,
    port: u16,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let request = Request::connect(&authority).header(HOST, &authority);
    let request = match &proxy.authorization {
        Some(authorization) => request.header(PROXY_AUTHORIZATION, authorization),
        None => request,
    };
    request.body(Empty::new())
}
