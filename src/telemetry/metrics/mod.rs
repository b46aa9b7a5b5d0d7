//! Counters and histograms of requests, and their exposition in the Prometheus text format.
//!
//! A worker keeps the handle of each counter that it has used, since looking one up takes a lock.
//! The lock of a histogram is held for a few nanoseconds, less than 1 % of a request's
//! instructions. A label is a route's prefix, a known method, a status, a code from a fixed list, a
//! host of the configuration, or the name of a known caller: never a caller's value.
//!
//! # What can go wrong
//!
//! Error codes of the gateway come from outside: 64 of them have a label of their own, all others
//! share one. Numbers that are read while requests run belong to slightly different moments.

mod families;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::lock::lock;
pub use families::{CONTENT_TYPE, Family, Sample, families};

/// The route label of requests that were answered before a route was found. No prefix equals it.
pub(crate) const NO_ROUTE: &str = "none";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestLabels {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) code: u16,
    pub(crate) outcome: &'static str,
    /// The caller, where callers are known; else empty, and the label is left out.
    pub(crate) caller: &'static str,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("route", self.route), ("method", self.method)].encode(encoder)?;
        [("code", self.code)].encode(encoder)?;
        [("outcome", self.outcome)].encode(encoder)?;
        let caller = (!self.caller.is_empty()).then_some(("caller", self.caller));
        caller.as_slice().encode(encoder)
    }
}

/// The label of a method; all methods that are not in common use share one.
pub(crate) fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or("other")
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The status is below 400.
    Ok,
    /// The service behind the gateway answered with a status from 400 to 499.
    ClientError,
    /// The gateway itself refused the request, or the status is 500 or above.
    GatewayError,
    /// The proxy answered with this error code.
    Proxy(&'static str),
    /// The caller disconnected before the response.
    CallerGone,
    /// The process ended before the response.
    CutOff,
}

impl Outcome {
    /// The outcome of a relayed response; `refused` by the gateway itself or not.
    pub fn relayed(status: u16, refused: bool) -> Self {
        match status {
            ..400 => Self::Ok,
            400..500 if !refused => Self::ClientError,
            _ => Self::GatewayError,
        }
    }

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::GatewayError => "gateway_error",
            Self::Proxy(code) => code,
            Self::CallerGone => "caller_gone",
            Self::CutOff => "cut_off",
        }
    }
}

/// How many error codes of the gateway have a label of their own.
const MAX_ERROR_CODES: u64 = 64;

/// How many callers have a label of their own.
const MAX_CALLERS: usize = 64;

/// Bucket bounds for requests and responses, in seconds: from the proxy's own share up to
/// `timeouts.response`.
const LONG: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1200.0,
];

/// Bucket bounds for signatures, which take microseconds, in seconds.
const SHORT: [f64; 10] = [
    2e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 10e-3,
];

/// The metrics of all workers.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: family::Family<RequestLabels, Counter>,
    request_duration: Histogram,
    upstream_duration: Histogram,
    signing_duration: Histogram,
    in_flight: Gauge,
    gateway_errors: family::Family<[(&'static str, String); 1], Counter>,
    /// How many error codes of the gateway have been seen.
    error_codes: Counter,
    routes: Arc<Mutex<Vec<&'static str>>>,
    callers: Arc<Mutex<Vec<&'static str>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: family::Family::default(),
            request_duration: Histogram::new(LONG),
            upstream_duration: Histogram::new(LONG),
            signing_duration: Histogram::new(SHORT),
            in_flight: Gauge::default(),
            gateway_errors: family::Family::default(),
            error_codes: Counter::default(),
            routes: Arc::default(),
            callers: Arc::default(),
        }
    }
}

impl Metrics {
    /// The label of a route, by its prefix.
    ///
    /// It lives as long as the process, and so do the counters with it. Each prefix is kept once,
    /// however often the configuration is reloaded.
    pub fn route_label(&self, prefix: &str) -> &'static str {
        let prefix = if prefix.is_empty() { "/" } else { prefix };
        kept(&self.routes, prefix, usize::MAX)
    }

    /// The label of a caller, by its name; all beyond the first 64 share one.
    pub fn caller_label(&self, name: &str) -> &'static str {
        kept(&self.callers, name, MAX_CALLERS)
    }

    /// The metrics of one more worker.
    pub fn worker(&self) -> WorkerMetrics {
        WorkerMetrics {
            all: self.clone(),
            requests: RefCell::default(),
            is_cut_off: Cell::new(false),
        }
    }
}

/// A name that lives as long as the process, of at most `max` names; all others are `other`.
fn kept(names: &Mutex<Vec<&'static str>>, name: &str, max: usize) -> &'static str {
    let mut names = lock(names);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    if names.len() >= max {
        return "other";
    }
    let name: &'static str = name.to_owned().leak();
    names.push(name);
    name
}

/// The metrics of one worker.
#[derive(Debug)]
pub struct WorkerMetrics {
    all: Metrics,
    /// The counters of requests that this worker has used.
    requests: RefCell<BTreeMap<RequestLabels, Counter>>,
    is_cut_off: Cell<bool>,
}

impl WorkerMetrics {
    /// Counts unanswered requests as cut off from now on.
    pub fn cut_off(&self) {
        self.is_cut_off.set(true);
    }

    /// True once the process ends, so that unanswered requests stay unanswered.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.get()
    }

    /// Counts a signature, with the time it took.
    pub fn signed(&self, took: Duration) {
        self.all.signing_duration.observe(took.as_secs_f64());
    }

    /// Counts the head of a response, with the time the gateway took.
    pub fn gateway_answered(&self, took: Duration) {
        self.all.upstream_duration.observe(took.as_secs_f64());
    }

    /// Counts an error that the gateway itself returned.
    pub fn gateway_error(&self, code: &str) {
        let errors = &self.all.gateway_errors;
        let mut labels = [("error_code", code.to_owned())];
        let is_known = errors.get(&labels).is_some();
        if !is_known && self.all.error_codes.inc() >= MAX_ERROR_CODES {
            "other".clone_into(&mut labels[0].1);
        }
        errors.get_or_create(&labels).inc();
    }

    pub(crate) fn started(&self) {
        self.all.in_flight.inc();
    }

    pub(crate) fn finished(&self, took: Duration) {
        self.all.request_duration.observe(took.as_secs_f64());
        self.all.in_flight.dec();
    }

    pub(crate) fn count(&self, labels: RequestLabels) {
        let create = || self.all.requests.get_or_create_owned(&labels);
        let mut known = self.requests.borrow_mut();
        known.entry(labels).or_insert_with(create).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_64_error_codes_all_others_are_counted_as_one() {
        let metrics = Metrics::default();
        let workers = [metrics.worker(), metrics.worker()];
        for number in 0..1000 {
            workers[0].gateway_error(&format!("APIG.{number:04}"));
        }
        workers[1].gateway_error("APIG.0063");
        workers[1].gateway_error("APIG.0064");
        let text = metrics.text(Vec::new());
        assert_eq!(
            text.matches("\napig_proxy_gateway_errors_total{").count(),
            65
        );
        for line in ["APIG.0000\"} 1", "APIG.0063\"} 2", "other\"} 937"] {
            let line = format!("\napig_proxy_gateway_errors_total{{error_code=\"{line}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
