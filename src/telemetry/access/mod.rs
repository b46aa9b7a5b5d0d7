//! The access record: one line of the log for each request, when it has ended.
//!
//! Its own target, so that it can be switched off by itself (`log.access`), and its own module beside
//! the metrics, because it holds what metrics must not: the path, and names that others gave.
//!
//! # What can go wrong
//!
//! Everything in it that is text was chosen by somebody else. So it is kept as visible ASCII of a
//! bounded length, inside the memory that a request has anyway: recording allocates nothing, and
//! nothing of a long request stays in memory for it. Values of queries are never kept.

mod short;
mod trace;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tracing::Level;

use self::short::Short;
use super::metrics::Outcome;
use crate::http1::Traffic;
pub use trace::trace_id;

/// The target of the record's events.
pub const TARGET: &str = "apig_proxy::access";

/// Whether anybody wants the records. Asked for each request, so that one that nobody reads costs nothing.
#[must_use]
pub fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// How far an answer that was begun has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Not to its end, and neither side is to blame: the process ends.
    #[default]
    CutOff,
    /// To its last byte.
    Whole,
    /// Not to its end, since the caller has gone.
    CallerGone,
    /// Not to its end, since the gateway's side broke.
    BrokenOff,
}

/// What is said of a request as it came.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The method; empty if the request could not be read.
    pub method: &'a str,
    /// The path without the query; empty if there is none.
    pub path: &'a str,
    /// The value of its only `traceparent`.
    pub traceparent: Option<&'a [u8]>,
    /// What its bodies move.
    pub traffic: Rc<Traffic>,
}

/// What is known of a request when it has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'a> {
    pub(super) request_id: u128,
    pub(super) route: &'a str,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    pub(super) end: End,
    pub(super) total: Duration,
}

/// What the record of one request will say.
#[derive(Debug)]
pub struct Record {
    method: Short<16>,
    path: Short<256>,
    trace_id: Option<u128>,
    gateway_request_id: RefCell<Short<64>>,
    traffic: Rc<Traffic>,
    queued: Cell<Duration>,
    signing: Cell<Duration>,
    upstream: Cell<Duration>,
    attempts: Cell<u64>,
}

impl Record {
    /// Begins the record of a request.
    #[must_use]
    pub fn of(asked: Asked<'_>) -> Self {
        Self {
            method: Short::of(asked.method.as_bytes()),
            path: Short::of(asked.path.as_bytes()),
            trace_id: asked.traceparent.and_then(trace_id),
            gateway_request_id: RefCell::default(),
            traffic: asked.traffic,
            queued: Cell::default(),
            signing: Cell::default(),
            upstream: Cell::default(),
            attempts: Cell::default(),
        }
    }

    /// Takes note of a time that was spent waiting for room or for a connection.
    pub(super) fn queued(&self, took: Duration) {
        self.queued.set(self.queued.get() + took);
    }

    /// Takes note of an attempt, which has been signed.
    pub(super) fn signed(&self, took: Duration) {
        self.signing.set(self.signing.get() + took);
        self.attempts.set(self.attempts.get() + 1);
    }

    /// Takes note of how long the gateway took for the head of an answer.
    pub(super) fn gateway_answered(&self, took: Duration) {
        self.upstream.set(self.upstream.get() + took);
    }

    /// Takes note of the name that the gateway gave the request.
    pub(super) fn gateway_request_id(&self, id: &[u8]) {
        *self.gateway_request_id.borrow_mut() = Short::of(id);
    }

    /// Writes the record.
    pub(super) fn write(&self, ended: &Ended<'_>) {
        tracing::info!(
            target: TARGET,
            request_id = %Id(Some(ended.request_id)),
            route = %ended.route,
            method = %self.method,
            path = %self.path,
            status = u64::from(ended.status),
            code = %Code(ended.outcome),
            outcome = %ended.outcome(),
            bytes_in = self.traffic.received(),
            bytes_out = self.traffic.sent(),
            queue_us = micros(self.queued.get()),
            sign_us = micros(self.signing.get()),
            upstream_us = micros(self.upstream.get()),
            total_us = micros(ended.total),
            attempts = self.attempts.get(),
            trace_id = %Id(self.trace_id),
            gateway_request_id = %self.gateway_request_id.borrow(),
            "access"
        );
    }
}

impl Ended<'_> {
    /// The outcome that was counted, unless the answer did not come to its end after that.
    fn outcome(&self) -> &'static str {
        match (self.outcome, self.end) {
            (Outcome::CallerGone | Outcome::CutOff, _) | (_, End::Whole) => self.outcome.name(),
            (_, End::CallerGone) => Outcome::CallerGone.name(),
            (_, End::BrokenOff) => "broken_off",
            (_, End::CutOff) => Outcome::CutOff.name(),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// An id as 32 hexadecimal digits; nothing for none.
struct Id(Option<u128>);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "{id:032x}"),
            None => Ok(()),
        }
    }
}

/// The code of an answer of the proxy's own, as the caller got it; nothing for others.
struct Code(Outcome);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Proxy(code) => write!(f, "PROXY.{code}"),
            _ => Ok(()),
        }
    }
}
