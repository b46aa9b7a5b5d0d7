//! Idle connections to one origin. The one used last is taken first, so that a quiet pool shrinks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

/// How long a connection may be idle. The gateway's own limit is not documented; common gateways
/// close after 60 seconds, and the proxy should be the first to let go.
const IDLE: Duration = Duration::from_secs(50);

/// How old a connection may get, so that a changed DNS answer takes effect.
const AGE: Duration = Duration::from_secs(600);

/// How many idle connections are kept.
const KEPT: usize = 256;

/// Idle connections to one origin, of one worker.
pub(super) struct Pool<B> {
    /// Least recently used first.
    idle: RefCell<VecDeque<Idle<B>>>,
}

struct Idle<B> {
    sender: SendRequest<B>,
    opened: Instant,
    since: Instant,
}

impl<B> Pool<B> {
    /// The most recently used connection that is still good, with the time it was opened.
    pub(super) fn take(&self) -> Option<(SendRequest<B>, Instant)> {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(connection) = idle.pop_back() {
            if connection.is_good(now) {
                return Some((connection.sender, connection.opened));
            }
        }
        None
    }

    pub(super) fn put(&self, sender: SendRequest<B>, opened: Instant) {
        let connection = Idle {
            sender,
            opened,
            since: Instant::now(),
        };
        if connection.is_good(connection.since) {
            let mut idle = self.idle.borrow_mut();
            if idle.len() == KEPT {
                idle.pop_front();
            }
            idle.push_back(connection);
        }
    }

    /// Drops what is no longer good.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle
            .borrow_mut()
            .retain(|connection| connection.is_good(now));
    }
}

impl<B> Idle<B> {
    fn is_good(&self, now: Instant) -> bool {
        !self.sender.is_closed() && now - self.since < IDLE && now - self.opened < AGE
    }
}

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Self {
            idle: RefCell::default(),
        }
    }
}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.idle.borrow().len())
            .finish()
    }
}
