//! How much of one request's body has come, and how much of its answer's body has gone.
//!
//! It lies beside the connection and not in it, so that whoever records a request can read it when the
//! connection is being taken down.

use std::cell::Cell;

/// Bytes of the bodies of one request, or of the WebSocket that it began.
#[derive(Debug, Default)]
pub struct Traffic {
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl Traffic {
    /// Begins with the next request.
    pub fn begin(&self) {
        self.set(0, 0);
    }

    /// Takes note of bytes that came from the caller.
    pub(super) fn receive(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// Takes note of bytes that go to the caller.
    pub fn send(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// Takes note of bytes that were to go to the caller, and did not.
    pub fn lose(&self, bytes: usize) {
        self.sent.set(self.sent.get().saturating_sub(bytes as u64));
    }

    /// Sets both, for who counts by itself.
    pub fn set(&self, received: u64, sent: u64) {
        self.received.set(received);
        self.sent.set(sent);
    }

    /// Bytes that came from the caller.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// Bytes that were written to the caller, or to what the system holds for it.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }
}
