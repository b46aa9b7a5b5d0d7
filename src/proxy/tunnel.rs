//! After the handshake of a WebSocket: bytes both ways, until both sides have ended or both are silent.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
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
    let mut directions = Directions::default();
    let mut idle = IdleTimer::new(idle);
    let traffic = Rc::clone(caller.borrow().traffic());
    poll_fn(|cx| {
        let caller = &mut caller.borrow_mut().wire;
        let Some(gateway) = connection.wire() else {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::Unsupported).into()));
        };
        let before = directions.moved();
        let copied = directions.poll_copy(caller, gateway, cx);
        traffic.set(directions.up.moved, directions.down.moved);
        if copied?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if directions.moved() != before {
            idle.stop();
        }
        idle.poll_expired(cx).map(|()| Err(TunnelEnded::Idle))
    })
    .await
}

/// Both directions of a tunnel.
#[derive(Debug, Default)]
struct Directions {
    up: Direction,
    down: Direction,
}

impl Directions {
    fn moved(&self) -> u64 {
        self.up.moved + self.down.moved
    }

    /// Ready when both sides have ended and know of each other.
    fn poll_copy(
        &mut self,
        caller: &mut Wire,
        gateway: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let up = self.up.poll_copy(caller, gateway, cx);
        let down = self.down.poll_copy(gateway, caller, cx);
        // Only now, so that what one side has sent before it broke still goes to the other.
        let (up, down) = (up?, down?);
        ready!(up);
        down.map(Ok)
    }
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use tokio::io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
    };

    use super::*;
    use crate::http1::Transport;

    /// A side that has said something and takes nothing any more.
    #[derive(Debug)]
    struct Broken(DuplexStream);

    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Transport for Broken {
        fn reset_on_close(&mut self) {}

        fn end_on_close(&mut self) {}

        fn has_failed(&mut self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn what_a_side_sent_before_it_broke_goes_to_the_other() {
        let (near_caller, mut caller) = duplex(1024);
        let (near_gateway, mut gateway) = duplex(1024);
        caller.write_all(b"more").await.unwrap();
        gateway.write_all(b"last words").await.unwrap();
        let (mut near, mut broken) = (Wire::new(near_caller), Wire::new(Broken(near_gateway)));
        let mut directions = Directions::default();
        let ended = poll_fn(|cx| directions.poll_copy(&mut near, &mut broken, cx)).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(near);
        let mut heard = String::new();
        caller.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
    }
}
