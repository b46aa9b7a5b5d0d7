//! Idle connections to one origin. The one used last is taken first, so that a quiet pool shrinks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::is_quiet;
use crate::http1::Wire;

/// How long a connection may be idle. The gateway's own limit is not documented; common gateways
/// close after 60 seconds, and the proxy should be the first to let go.
const IDLE: Duration = Duration::from_secs(50);

/// How old a connection may get, so that a changed DNS answer takes effect.
const AGE: Duration = Duration::from_secs(600);

/// How many idle connections are kept.
const KEPT: usize = 256;

/// Idle connections to one origin, of one worker.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Least recently used first.
    idle: RefCell<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    opened: Instant,
    since: Instant,
}

impl Pool {
    /// The most recently used connection that is still good, with the time it was opened.
    pub(super) fn take(&self) -> Option<(Wire, Instant)> {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(mut connection) = idle.pop_back() {
            if connection.is_good(now) {
                return Some((connection.wire, connection.opened));
            }
        }
        None
    }

    pub(super) fn put(&self, wire: Wire, opened: Instant) {
        let since = Instant::now();
        if since - opened >= AGE {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() == KEPT {
            idle.pop_front();
        }
        idle.push_back(Idle {
            wire,
            opened,
            since,
        });
    }

    /// Drops what is no longer good.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle
            .borrow_mut()
            .retain_mut(|connection| connection.is_good(now));
    }
}

impl Idle {
    fn is_good(&mut self, now: Instant) -> bool {
        now - self.since < IDLE && now - self.opened < AGE && is_quiet(&mut self.wire)
    }
}
