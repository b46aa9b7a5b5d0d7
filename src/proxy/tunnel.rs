//! After the handshake of a WebSocket: bytes both ways, until both sides have ended or both are silent.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::http1::{Caller, IdleTimer, Wire};
use crate::upstream::Connection;

/// How a tunnel ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelEnded {
    /// Nothing came from either side for `timeouts.idle`.
    #[error("nothing came from either side for too long (timeouts.idle)")]
    Idle,
    /// One side broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Passes bytes on between a caller and the gateway. What was read with the heads goes first. When one
/// side ends, the other is told, and may still send; `idle` bounds how long neither does.
///
/// # Errors
///
/// [`TunnelEnded`], unless both sides have ended in good order.
///
/// # Cancel safety
///
/// Dropping the future closes the connection to the gateway.
pub async fn tunnel(
    caller: &RefCell<Caller>,
    mut connection: Connection,
    idle: Duration,
) -> Result<(), TunnelEnded> {
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut idle = IdleTimer::new(idle);
    poll_fn(|cx| {
        let (caller, gateway) = (&mut caller.borrow_mut().wire, connection.wire());
        let before = up.moved + down.moved;
        let is_up_over = up.poll_copy(caller, gateway, cx)?.is_ready();
        let is_down_over = down.poll_copy(gateway, caller, cx)?.is_ready();
        if is_up_over && is_down_over {
            return Poll::Ready(Ok(()));
        }
        if up.moved + down.moved != before {
            idle.stop();
        }
        idle.poll_expired(cx).map(|()| Err(TunnelEnded::Idle))
    })
    .await
}

/// One direction of a tunnel.
#[derive(Debug, Default)]
struct Direction {
    moved: u64,
    /// Whether the source has ended, and whether the other side was told.
    is_ended: bool,
    is_closed: bool,
}

impl Direction {
    /// Ready when the source has ended and the other side knows.
    fn poll_copy(
        &mut self,
        from: &mut Wire,
        to: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_closed {
            let bytes = from.input().split().freeze();
            self.moved += bytes.len() as u64;
            to.queue(bytes);
            ready!(to.poll_flush(cx))?;
            if self.is_ended {
                ready!(to.poll_shutdown(cx))?;
                self.is_closed = true;
            } else {
                self.is_ended = ready!(from.poll_fill(cx))? == 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}
