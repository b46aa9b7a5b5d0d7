//! A close that lets the caller read its response.
//!
//! When a socket is closed while the caller is still sending, the system resets the connection, and
//! a response that the caller has not read yet is lost: it sees a broken pipe instead of a `413`. So
//! the sending side is closed first, and what still arrives is read and discarded, within limits.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::time::timeout;

use super::handshake::Transport;
use super::registry::{ConnectionState, Phase};

/// How many bytes are discarded, and how long that may take.
pub(super) type LingerLimits = (u64, Duration);

/// The caller may still be sending a body.
pub(super) const UNREAD_BODY: LingerLimits = (16 * 1024 * 1024, Duration::from_secs(10));

/// Nothing more is expected. A stray line end, or the next request, may be on its way all the same.
pub(super) const COMPLETE: LingerLimits = (16 * 1024 * 1024, Duration::from_secs(1));

/// The guard refused the caller, so little is read.
pub(super) const AFTER_REFUSAL: LingerLimits = (64 * 1024, Duration::from_secs(1));

/// Closes the sending side, then reads until the caller closes too, within the limits, or until the
/// connection is closed to make room.
pub(super) async fn linger(
    mut stream: Box<dyn Transport>,
    (bytes, time): LingerLimits,
    state: &ConnectionState,
) {
    state.enter(Phase::Lingering);
    let discarding = async {
        if stream.shutdown().await.is_ok() {
            // The caller may reset the connection.
            let _ = copy(&mut stream.take(bytes), &mut sink()).await;
        }
    };
    if let Ok(Err(_)) = state.unless_closed(timeout(time, discarding)).await {
        tracing::debug!("a caller that did not close after its response was disconnected");
    }
}
