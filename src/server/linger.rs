//! A close that lets the caller read its answer.
//!
//! When a socket is closed while the caller is still sending, the system resets the connection, and an
//! answer that the caller has not read yet is lost: it sees a broken pipe instead of a `413`. So the sending
//! side is closed first, and what still comes is read and discarded, within bounds.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::transport::Transport;

/// How much is discarded, and how long that may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LingerLimits {
    bytes: usize,
    time: Duration,
}

impl LingerLimits {
    /// The caller may still be sending a body.
    pub(super) const UNREAD_BODY: Self = Self {
        bytes: 16 * 1024 * 1024,
        time: Duration::from_secs(10),
    };

    /// Nothing more is expected. A stray line end, or the next request, may be on its way all the same.
    pub(super) const COMPLETE: Self = Self {
        bytes: 16 * 1024 * 1024,
        time: Duration::from_secs(1),
    };

    /// The guard refused the caller, so it gets little.
    pub(super) const REFUSED: Self = Self {
        bytes: 64 * 1024,
        time: Duration::from_secs(1),
    };
}

/// Closes the sending side, then reads until the caller closes too, within the limits.
pub(super) async fn linger(mut stream: Box<dyn Transport>, limits: LingerLimits) {
    let discarding = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let (mut buffer, mut left) = (vec![0; 16 * 1024], limits.bytes);
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => left = left.saturating_sub(count),
                Ok(_) | Err(_) => return,
            }
        }
    };
    if timeout(limits.time, discarding).await.is_err() {
        tracing::debug!("a caller that did not close after its answer was disconnected");
    }
}
