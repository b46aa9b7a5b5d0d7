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

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use http::request;
use tracing::Level;

use self::short::Short;
use super::metrics::Outcome;
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

/// What the record of one request will say of it as it came.
#[derive(Debug)]
pub struct Record {
    method: Short<16>,
    path: Short<256>,
    trace_id: Option<u128>,
    gateway_request_id: RefCell<Short<64>>,
}

/// What is known of a request when it has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) request_id: u128,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) end: End,
    /// Bytes of the bodies: from the caller, and to it.
    pub(crate) bytes: (u64, u64),
    pub(crate) durations: Durations,
    pub(crate) attempts: usize,
}

/// How long the parts of a request took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durations {
    /// Waiting for room, a credential or a connection.
    pub(crate) queued: Duration,
    pub(crate) signing: Duration,
    /// Waiting for the heads of answers.
    pub(crate) upstream: Duration,
    pub(crate) total: Duration,
}

impl Record {
    /// Begins the record of a request.
    pub(crate) fn new(head: &request::Parts) -> Self {
        let mut traceparents = head.headers.get_all("traceparent").iter();
        let only = traceparents
            .next()
            .filter(|_| traceparents.next().is_none());
        Self {
            method: Short::of(head.method.as_str().as_bytes()),
            path: Short::of(head.uri.path().as_bytes()),
            trace_id: only.and_then(|value| trace_id(value.as_bytes())),
            gateway_request_id: RefCell::default(),
        }
    }

    /// Begins the record of something that could not be read as a request.
    pub(crate) fn unreadable() -> Self {
        Self {
            method: Short::default(),
            path: Short::default(),
            trace_id: None,
            gateway_request_id: RefCell::default(),
        }
    }

    /// Sets the id that the gateway gave the request.
    pub(crate) fn gateway_request_id(&self, id: &[u8]) {
        *self.gateway_request_id.borrow_mut() = Short::of(id);
    }

    /// Writes the record.
    pub(crate) fn write(&self, finished: &Finished<'_>) {
        let durations = finished.durations;
        tracing::info!(
            target: TARGET,
            request_id = %Id(Some(finished.request_id)),
            route = %finished.route,
            method = %self.method,
            path = %self.path,
            status = u64::from(finished.status),
            code = %Code(finished.outcome),
            outcome = %finished.outcome(),
            bytes_in = finished.bytes.0,
            bytes_out = finished.bytes.1,
            queue_us = micros(durations.queued),
            sign_us = micros(durations.signing),
            upstream_us = micros(durations.upstream),
            total_us = micros(durations.total),
            attempts = finished.attempts as u64,
            trace_id = %Id(self.trace_id),
            gateway_request_id = %self.gateway_request_id.borrow(),
            "access"
        );
    }
}

impl Finished<'_> {
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
