//! One HTTP/1.1 exchange on one connection, with listeners of this machine.
//!
//! Not the clients of `upstream`: those pool, sign and use TLS.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest response that is read, in bytes.
const MAX_RESPONSE: usize = 512 * 1024;

/// Sends the request and reads the whole response.
///
/// # Errors
///
/// If the connection fails, or what is received is not HTTP or too long.
pub(super) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Bytes>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let response = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_RESPONSE).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    tokio::pin!(connection, response);
    tokio::select! {
        response = &mut response => response,
        // The response knows why the connection ended.
        _ = &mut connection => response.await,
    }
}
