//! How hyper is configured.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

/// How many bytes of a body hyper reads ahead at most. A connection may hold two such pieces. Twice as much makes
/// streamed uploads 3 % faster.
const READ_AHEAD: usize = 64 * 1024;

pub(super) fn http1_builder(max_header: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The end of a caller's stream means that the caller has gone.
        .half_close(false)
        .max_header_size(max_header)
        .max_buf_size(READ_AHEAD.max(max_header))
        // The registry tells heads from idle connections; this timer does not.
        .header_read_timeout(None)
        // Answers have the gateway's date.
        .auto_date_header(false);
    builder
}

pub(super) fn http2_builder() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .auto_date_header(false);
    builder
}

/// Runs HTTP/2 streams as tasks of the worker's thread. They end with their connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
