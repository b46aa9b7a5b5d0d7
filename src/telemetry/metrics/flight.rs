//! One request, from its head to the last byte of its answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::Meter;
use super::labels::{Method, Outcome, RequestLabels};

/// What a caller that went away is counted as: nobody has sent it, and nginx and others log the same.
const CALLER_GONE: u16 = 499;

/// A request in flight. It lands when the last reference to it is dropped, which the answer holds
/// until its last byte was written.
#[derive(Debug)]
pub struct Flight {
    meter: Rc<Meter>,
    started: Instant,
    method: Method,
    route: Cell<Option<usize>>,
    is_refused: Cell<bool>,
    is_counted: Cell<bool>,
}

impl Flight {
    pub(super) fn begin(meter: Rc<Meter>, method: &str) -> Self {
        meter.take_off();
        Self {
            meter,
            started: Instant::now(),
            method: Method::of(method),
            route: Cell::default(),
            is_refused: Cell::default(),
            is_counted: Cell::default(),
        }
    }

    /// Takes note of the route that was found, by its number.
    pub fn on_route(&self, route: usize) {
        self.route.set(Some(route));
    }

    /// Takes note that the gateway refuses it in its own name.
    pub fn refused(&self) {
        self.is_refused.set(true);
    }

    /// Counts it with an answer that came from the gateway.
    pub fn relayed(&self, status: u16) {
        self.answered(status, Outcome::relayed(status, self.is_refused.get()));
    }

    /// Counts it with its answer. To be called before that is written, so that whoever has read an
    /// answer finds it counted.
    pub fn answered(&self, code: u16, outcome: Outcome) {
        self.is_counted.set(true);
        self.meter.count(&RequestLabels {
            route: self.route.get(),
            method: self.method,
            code,
            outcome,
        });
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_counted.get() {
            self.answered(CALLER_GONE, Outcome::CallerGone);
        }
        self.meter.land(self.started.elapsed());
    }
}
