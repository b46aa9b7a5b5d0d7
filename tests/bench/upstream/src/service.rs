//! HTTP/1.1 and HTTP/2, by hyper.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::statistics::STATISTICS;
use crate::{ECHO, JSON, REQUEST_ID, STATS};

const STREAMS: u32 = 1000;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

pub(crate) async fn serve(stream: TlsStream<TcpStream>) -> hyper::Result<()> {
    let service = service_fn(respond);
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        return connection.await;
    }
    http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    if head.headers.contains_key(AUTHORIZATION) {
        STATISTICS.authorized.add(1);
    }
    let mut hash = (head.uri.path() == ECHO).then(Sha256::new);
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            length += data.len() as u64;
            if let Some(hash) = &mut hash {
                hash.update(data);
            }
        }
    }
    STATISTICS.requests.add(1);
    STATISTICS.body_bytes.add(length);
    let body = if let Some(hash) = hash {
        let headers: String = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let hash = hex::encode(hash.finalize());
        let (method, uri) = (&head.method, &head.uri);
        format!("{method} {uri}\n{headers}\nbody_len={length}\nbody_sha256={hash}\n").into()
    } else if head.uri.path() == STATS {
        STATISTICS.to_json().into()
    } else {
        Bytes::from_static(JSON.as_bytes())
    };
    let response = Response::builder()
        .header("server", "bench")
        .header(CONTENT_TYPE, "application/json")
        .header("x-request-id", REQUEST_ID)
        .body(Full::new(body));
    Ok(response.expect("these headers are valid"))
}
