//! The sockets of callers: TCP, TLS over TCP, unix.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::proxy::caller::Stream;

/// A caller's socket.
pub(super) trait Transport: Stream {
    /// Whether closing resets the connection instead of ending it in good order.
    fn set_reset_on_close(&self, reset: bool);

    /// Whether the connection has failed. Only shows a reset, and nobody is asked.
    fn has_failed(&self) -> bool;
}

impl Transport for TcpStream {
    fn set_reset_on_close(&self, reset: bool) {
        // If it cannot be set, the connection is closed in the ordinary way.
        let _ = SockRef::from(self).set_linger(reset.then_some(Duration::ZERO));
    }

    fn has_failed(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

impl Transport for UnixStream {
    fn set_reset_on_close(&self, _: bool) {
        // Unix sockets have no reset. Their callers rely on a length or chunks.
    }

    fn has_failed(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

#[cfg(test)]
impl Transport for tokio::io::DuplexStream {
    fn set_reset_on_close(&self, _: bool) {}

    fn has_failed(&self) -> bool {
        false
    }
}

impl Transport for TlsStream<TcpStream> {
    fn set_reset_on_close(&self, reset: bool) {
        self.get_ref().0.set_reset_on_close(reset);
    }

    fn has_failed(&self) -> bool {
        self.get_ref().0.has_failed()
    }
}
