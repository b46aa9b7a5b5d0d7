//! One request, from its head to the last byte of its answer.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::Meter;
use super::labels::{Method, Outcome, RequestLabels};
use crate::telemetry::access::{End, Ended, Record};

/// What a caller that went away is counted as: nobody has sent it, and nginx and others log the same.
const CALLER_GONE: u16 = 499;

/// What a request is counted as that was dropped when the process ended: nobody has sent it either.
const CUT_OFF: u16 = 503;

/// A request in flight. It lands when the last reference to it is dropped, which the answer holds
/// until its last byte was written. Then its record is written, if there is one.
#[derive(Debug)]
pub struct Flight {
    meter: Rc<Meter>,
    started: Instant,
    request_id: u128,
    method: Method,
    route: Cell<Option<usize>>,
    is_refused: Cell<bool>,
    answer: Cell<Option<(u16, Outcome)>>,
    end: Cell<End>,
    record: Option<Record>,
}

impl Flight {
    pub(super) fn begin(meter: Rc<Meter>, method: &str, record: Option<Record>) -> Self {
        meter.take_off();
        Self {
            meter,
            started: Instant::now(),
            request_id: fastrand::u128(..),
            method: Method::of(method),
            route: Cell::default(),
            is_refused: Cell::default(),
            answer: Cell::default(),
            end: Cell::default(),
            record,
        }
    }

    /// The proxy's name for the request.
    #[must_use]
    pub fn request_id(&self) -> u128 {
        self.request_id
    }

    /// Takes note of the route that was found, by its number.
    pub fn on_route(&self, route: usize) {
        self.route.set(Some(route));
    }

    /// Takes note that the gateway refuses it in its own name.
    pub fn refused(&self) {
        self.is_refused.set(true);
    }

    /// Waits for something that others have at the moment, and takes note of how long. The future is pinned by
    /// the caller, or it would be there twice, in each request that is in flight.
    pub async fn queued<T>(&self, mut waited_for: Pin<&mut impl Future<Output = T>>) -> T {
        let Some(record) = &self.record else {
            return waited_for.await;
        };
        // What is there at once, as it nearly always is, needs no clock.
        if let Some(had) = waited_for.as_mut().now_or_never() {
            return had;
        }
        let begun = Instant::now();
        let had = waited_for.await;
        record.queued(begun.elapsed());
        had
    }

    /// Takes note of how long it took to make a signature, which is for one attempt.
    pub fn signed(&self, took: Duration) {
        self.meter.signed(took);
        self.record.iter().for_each(|record| record.signed(took));
    }

    /// Takes note of how long the gateway took for the head of an answer.
    pub fn gateway_answered(&self, took: Duration) {
        self.meter.gateway_answered(took);
        let records = self.record.iter();
        records.for_each(|record| record.gateway_answered(took));
    }

    /// Takes note of the name that the gateway gave it, if it did.
    pub fn gateway_request_id(&self, id: Option<&[u8]>) {
        if let (Some(record), Some(id)) = (&self.record, id) {
            record.gateway_request_id(id);
        }
    }

    /// Counts it with an answer that came from the gateway.
    pub fn relayed(&self, status: u16) {
        self.answered(status, Outcome::relayed(status, self.is_refused.get()));
    }

    /// Counts it with its answer. To be called before that is written, so that whoever has read an
    /// answer finds it counted.
    pub fn answered(&self, code: u16, outcome: Outcome) {
        self.answer.set(Some((code, outcome)));
        self.meter.count(&RequestLabels {
            route: self.route.get(),
            method: self.method,
            code,
            outcome,
        });
    }

    /// Takes note of how far its answer came.
    pub fn ended(&self, end: End) {
        self.end.set(end);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.answer.get().is_none() {
            let (code, outcome) = if self.meter.is_cut_off() {
                (CUT_OFF, Outcome::CutOff)
            } else {
                (CALLER_GONE, Outcome::CallerGone)
            };
            self.answered(code, outcome);
        }
        let total = self.started.elapsed();
        self.meter.land(total);
        if let (Some(record), Some((status, outcome))) = (&self.record, self.answer.get()) {
            record.write(&Ended {
                request_id: self.request_id,
                route: &self.meter.route_name(self.route.get()),
                status,
                outcome,
                end: self.end.get(),
                total,
            });
        }
    }
}
