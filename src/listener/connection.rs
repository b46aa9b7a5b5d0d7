//! One connection of a caller's: HTTP/1.1 over a socket, until either side ends it.

use std::cell::Cell;
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

use super::linger::Lingering;
use crate::proxy::{Pipeline, Proxy};

/// The most header fields of a request.
const HEADERS: usize = 100;

/// The most that is buffered of a body before it is taken, in bytes; more if a head may be longer.
const READ_BUFFER: usize = 64 * 1024;

/// Serves one connection. On `drain`, what is running is finished, and nothing more is taken.
pub(super) async fn serve(stream: TcpStream, pipeline: Rc<Pipeline>, drain: CancellationToken) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be served");
            return;
        }
    };
    let linger = Rc::new(Cell::new(false));
    let settings = pipeline.settings();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.timeouts().header_read)
        .max_headers(HEADERS)
        .max_header_size(settings.limits().header)
        .max_buf_size(READ_BUFFER.max(settings.limits().header))
        // A caller may close its sending side after a complete request, and still wants the answer.
        .half_close(true);
    let service = Proxy::layered(Rc::clone(&pipeline), Rc::clone(&linger));
    let io = TokioIo::new(Lingering::new(stream, linger));
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
