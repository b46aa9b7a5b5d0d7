//! What the program counts, and how it is told to Prometheus.
//!
//! Workers share nothing while they count: each has a [`Meter`] of its own, with atomics that it alone
//! writes to, and only [`Metrics::text`] adds them up. So a request costs a few additions in
//! memory that is in the worker's own cache. A label is a route's prefix, a known method, a status, a code
//! from a fixed list, or a host of the configuration: never something that a caller sends.
//!
//! # What can go wrong
//!
//! The codes of the gateway come from outside, so there may be 64 of them, and the others count as one.
//! Numbers that are read while requests run belong to slightly different moments.

mod families;
mod histogram;
mod labels;
mod tally;
mod text;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use families::{FAMILIES, Family, Kind};
use histogram::Histogram;
pub use labels::Outcome;
pub(crate) use labels::{MethodLabel, RequestLabels};
use tally::{Series, Tally};
pub use text::{CONTENT_TYPE, Connections, Credential, State};

/// The label of requests that were answered before a route was found. No prefix is like it.
const NO_ROUTE: &str = "none";

/// How many codes of the gateway are told apart.
const CODES: usize = 64;

const fn us(microseconds: u64) -> Duration {
    Duration::from_micros(microseconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Upper bounds for requests and answers: from what the proxy itself needs to `timeouts.response`.
#[rustfmt::skip]
const LONG: &[Duration] = &[
    ms(1), us(2500), ms(5), ms(10), ms(25), ms(50), ms(100), ms(250), ms(500),
    ms(1000), ms(2500), ms(5000), ms(10_000), ms(30_000), ms(60_000), ms(300_000),
];

/// Upper bounds for signatures, which take some microseconds.
#[rustfmt::skip]
const SHORT: &[Duration] = &[
    us(2), us(5), us(10), us(25), us(50), us(100), us(250), us(500), us(1000), us(10_000),
];

/// What all workers have counted.
#[derive(Debug)]
pub struct Metrics {
    /// The label of each route, by the number that it was given.
    routes: Arc<Mutex<Vec<Arc<str>>>>,
    requests: Arc<Series<RequestLabels>>,
    gateway_errors: Arc<Series<String>>,
    shards: Mutex<Vec<Arc<Shard>>>,
}

impl Metrics {
    /// Nothing was counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            routes: Arc::default(),
            requests: Arc::new(Series::new()),
            gateway_errors: Arc::new(Series::bounded(CODES, "other".to_owned())),
            shards: Mutex::default(),
        }
    }

    /// The number by which requests of a route are counted, which is told apart by its prefix. A route that
    /// was known before a configuration was read again keeps its number.
    #[must_use]
    pub fn route(&self, prefix: &str) -> usize {
        let label = if prefix.is_empty() { "/" } else { prefix };
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = routes.iter().position(|known| **known == *label);
        known.unwrap_or_else(|| {
            routes.push(label.into());
            routes.len() - 1
        })
    }

    /// A meter for one more worker.
    #[must_use]
    pub fn meter(&self) -> Meter {
        let shard = Arc::new(Shard::new());
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.push(Arc::clone(&shard));
        Meter {
            routes: Arc::clone(&self.routes),
            known_routes: RefCell::default(),
            is_cut_off: Cell::new(false),
            shard,
            requests: Tally::of(&self.requests),
            gateway_errors: Tally::of(&self.gateway_errors),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What one worker counts by.
#[derive(Debug)]
pub struct Meter {
    routes: Arc<Mutex<Vec<Arc<str>>>>,
    /// Those that were there when one was last looked for in vain.
    known_routes: RefCell<Vec<Arc<str>>>,
    /// Whether what has no answer yet gets none, since the process ends.
    is_cut_off: Cell<bool>,
    shard: Arc<Shard>,
    requests: Tally<RequestLabels>,
    gateway_errors: Tally<String>,
}

impl Meter {
    /// Counts requests that have no answer yet as cut off from now on.
    pub fn cut_off(&self) {
        self.is_cut_off.set(true);
    }

    /// Whether the process ends, so that requests without an answer get none.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.get()
    }

    /// What a route is called, by its number.
    pub(crate) fn route_name(&self, route: Option<usize>) -> Arc<str> {
        let Some(route) = route else {
            return NO_ROUTE.into();
        };
        let mut known = self.known_routes.borrow_mut();
        if known.len() <= route {
            let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            known.clone_from(&routes);
        }
        known.get(route).map_or_else(|| NO_ROUTE.into(), Arc::clone)
    }

    /// Counts a signature, and how long it took.
    pub fn signed(&self, took: Duration) {
        self.shard.signing.observe(took);
    }

    /// Counts the head of an answer, and how long the gateway took for it.
    pub fn gateway_answered(&self, took: Duration) {
        self.shard.upstream.observe(took);
    }

    /// Counts an error in the gateway's own name.
    pub fn gateway_error(&self, code: &str) {
        self.gateway_errors.count(code);
    }

    /// Counts a request that begins.
    pub(crate) fn started(&self) {
        self.shard.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that has ended.
    pub(crate) fn finished(&self, took: Duration) {
        self.shard.request.observe(took);
        self.shard.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an answer.
    pub(crate) fn count(&self, labels: &RequestLabels) {
        self.requests.count(labels);
    }
}

/// The numbers of one worker that are there from the beginning, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    in_flight: AtomicU64,
    request: Histogram,
    upstream: Histogram,
    signing: Histogram,
}

impl Shard {
    fn new() -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            request: Histogram::new(LONG),
            upstream: Histogram::new(LONG),
            signing: Histogram::new(SHORT),
        }
    }
}

#[cfg(test)]
mod tests;
