//! What has arrived so far, over all threads.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Statistics {
    pub(crate) connections: Counter,
    pub(crate) full_handshakes: Counter,
    pub(crate) requests: Counter,
    pub(crate) body_bytes: Counter,
    /// Requests with `Authorization`.
    pub(crate) authorized: Counter,
}

pub(crate) static STATISTICS: Statistics = Statistics {
    connections: Counter(AtomicU64::new(0)),
    full_handshakes: Counter(AtomicU64::new(0)),
    requests: Counter(AtomicU64::new(0)),
    body_bytes: Counter(AtomicU64::new(0)),
    authorized: Counter(AtomicU64::new(0)),
};

impl Statistics {
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!({
            "connections": self.connections.get(),
            "full_handshakes": self.full_handshakes.get(),
            "requests": self.requests.get(),
            "body_bytes": self.body_bytes.get(),
            "authorized": self.authorized.get(),
        })
        .to_string()
    }
}
