//! What is known of one request, from its head to the last byte of its answer.
//!
//! One [`RequestContext`] goes through all steps and ends up in the response body, whose drop counts the
//! request and writes its access record. Timing marks are always taken: metrics, access record and
//! whoever looks at a request later read the same ones.
//!
//! # What can go wrong
//!
//! A request may be dropped at any await, because the caller went away or the process ends. It is
//! counted all the same, by the drop.

#[cfg(test)]
mod tests;
mod timings;
mod upload;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Version, request};
use tokio::time::Instant;

pub(super) use timings::timed;
pub use timings::{AttemptReason, AttemptTimings, Timings};
use upload::Upload;

use super::caller::CallerConnection;
use super::guard::Visitor;
use super::headers;
use crate::telemetry::access::{self, End, Record};
use crate::telemetry::metrics::{NO_ROUTE, Outcome, RequestLabels, WorkerMetrics, method_label};

/// The status that a request is counted with whose caller went away; nginx logs the same.
const CALLER_GONE: u16 = 499;

/// The status that a request is counted with which was dropped when the process ended.
const CUT_OFF: u16 = 503;

/// One request.
pub struct RequestContext {
    metrics: Rc<WorkerMetrics>,
    pub(super) caller: Rc<CallerConnection>,
    request_id: u128,
    method: &'static str,
    /// Whether the answer has no body, because the request was HEAD.
    pub(super) is_head: bool,
    /// The version of HTTP that the caller speaks.
    pub(super) version: Version,
    /// Whether the caller sent `TE: trailers`.
    pub(super) takes_trailers: bool,
    /// Whether the caller speaks gRPC, which wants errors in trailers.
    pub(super) is_grpc: bool,
    /// The `Host` by which the caller called, once the guard has let it through.
    pub(super) host: OnceCell<HeaderValue>,
    /// The listed origin of the web page that called.
    pub(super) origin: OnceCell<HeaderValue>,
    /// The label of the route in the metrics.
    route: Cell<&'static str>,
    gateway_refused: Cell<bool>,
    answer: Cell<Option<(u16, Outcome)>>,
    end: Cell<Option<End>>,
    pub(super) upload: Upload,
    bytes_sent: Cell<u64>,
    timings: RefCell<Timings>,
    record: Option<Record>,
}

impl RequestContext {
    /// Begins to count a request.
    pub(super) fn begin(
        metrics: Rc<WorkerMetrics>,
        caller: Rc<CallerConnection>,
        head: &request::Parts,
    ) -> Rc<Self> {
        let record = access::is_wanted().then(|| Record::new(head));
        let method = method_label(head.method.as_str());
        let mut context = Self::new(metrics, caller, method, record);
        context.is_head = head.method == Method::HEAD;
        context.version = head.version;
        context.takes_trailers = headers::lists(&head.headers, &http::header::TE, "trailers");
        context.is_grpc = headers::is_grpc(&head.headers);
        Rc::new(context)
    }

    /// Begins to count something that came instead of a request.
    pub(super) fn begin_malformed(
        metrics: Rc<WorkerMetrics>,
        caller: Rc<CallerConnection>,
    ) -> Rc<Self> {
        let record = access::is_wanted().then(Record::default);
        Rc::new(Self::new(metrics, caller, method_label(""), record))
    }

    fn new(
        metrics: Rc<WorkerMetrics>,
        caller: Rc<CallerConnection>,
        method: &'static str,
        record: Option<Record>,
    ) -> Self {
        metrics.started();
        Self {
            metrics,
            caller,
            request_id: fastrand::u128(..),
            method,
            is_head: false,
            version: Version::HTTP_11,
            takes_trailers: false,
            is_grpc: false,
            host: OnceCell::new(),
            origin: OnceCell::new(),
            route: Cell::new(NO_ROUTE),
            gateway_refused: Cell::default(),
            answer: Cell::default(),
            end: Cell::default(),
            upload: Upload::default(),
            bytes_sent: Cell::default(),
            timings: RefCell::new(Timings {
                head_read: Instant::now(),
                body_read: None,
                memory_wait: Duration::ZERO,
                credential_wait: Duration::ZERO,
                key_wait: Duration::ZERO,
                connection_wait: Duration::ZERO,
                attempts: Vec::new(),
                last_byte: None,
            }),
            record,
        }
    }

    /// The proxy's id of the request, as 32 hexadecimal digits.
    pub(super) fn request_id(&self) -> String {
        format!("{:032x}", self.request_id)
    }

    /// Sets who called, and by which name.
    pub(super) fn called_by(&self, visitor: &Visitor<'_>) {
        let host = HeaderValue::from_str(visitor.host).ok();
        let origin = visitor
            .origin
            .and_then(|origin| HeaderValue::from_str(origin).ok());
        for (cell, value) in [(&self.host, host), (&self.origin, origin)] {
            if let Some(value) = value {
                cell.get_or_init(|| value);
            }
        }
    }

    /// Sets the route, by its label in the metrics.
    pub(super) fn routed(&self, route: &'static str) {
        self.route.set(route);
    }

    /// Reads and changes the timing marks.
    pub(super) fn time<T>(&self, change: impl FnOnce(&mut Timings) -> T) -> T {
        change(&mut self.timings.borrow_mut())
    }

    /// Records an attempt that is about to be sent.
    pub(super) fn attempt(&self, attempt: AttemptTimings) {
        self.metrics.signed(attempt.signing);
        self.time(|timings| timings.attempts.push(attempt));
    }

    /// Records that the head of an answer has come; returns how long the gateway took.
    pub(super) fn gateway_answered(&self) {
        let now = Instant::now();
        let took = self.time(|timings| {
            let attempt = timings.attempts.last_mut()?;
            attempt.first_byte = Some(now);
            attempt.sent = self.upload.finished.get();
            Some(now - attempt.signed)
        });
        if let Some(took) = took {
            self.metrics.gateway_answered(took);
        }
    }

    /// Records that the gateway refused the request in its own name, and with which code.
    pub(super) fn gateway_error(&self, code: &str) {
        self.metrics.gateway_error(code);
    }

    /// Records the answer that is passed on.
    pub(super) fn relayed(&self, status: u16, gateway_refused: bool, gateway_id: Option<&[u8]>) {
        self.gateway_refused.set(gateway_refused);
        if let (Some(record), Some(id)) = (&self.record, gateway_id) {
            record.gateway_request_id(id);
        }
        self.answered(status, Outcome::relayed(status, gateway_refused));
    }

    /// Counts the request with its answer. To be called before the answer is written, so that whoever has
    /// read it finds it counted.
    pub(super) fn answered(&self, status: u16, outcome: Outcome) {
        self.answer.set(Some((status, outcome)));
        self.metrics.count(RequestLabels {
            route: self.route.get(),
            method: self.method,
            code: status,
            outcome: outcome.name(),
        });
    }

    /// Whether it has been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.answer.get().is_some()
    }

    /// Counts bytes of the answer's body that go to the caller.
    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_sent.set(self.bytes_sent.get() + bytes as u64);
    }

    /// Sets what a WebSocket has moved: bytes from the caller, and bytes to it.
    pub(super) fn tunnelled(&self, received: u64, sent: u64) {
        self.upload.received.set(received);
        self.bytes_sent.set(sent);
    }

    /// Records how the answer ended.
    pub(super) fn ended(&self, end: End) {
        self.end.set(Some(end));
        self.time(|timings| timings.last_byte = Some(Instant::now()));
    }

    /// Records that the answer was dropped before its end.
    pub(super) fn ended_early(&self) {
        self.ended(if self.metrics.is_cut_off() {
            End::CutOff
        } else {
            End::CallerGone
        });
    }

    /// Whether it is known how the answer ended.
    pub(super) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        if !self.is_answered() {
            let (status, outcome) = if self.metrics.is_cut_off() {
                (CUT_OFF, Outcome::CutOff)
            } else {
                (CALLER_GONE, Outcome::CallerGone)
            };
            self.answered(status, outcome);
        }
        let timings = self.timings.get_mut();
        let total = timings.head_read.elapsed();
        self.metrics.finished(total);
        if let (Some(record), Some((status, outcome))) = (&self.record, self.answer.get()) {
            record.write(&access::Finished {
                request_id: self.request_id,
                route: self.route.get(),
                status,
                outcome,
                end: self.end.get().unwrap_or_default(),
                bytes: (self.upload.received.get(), self.bytes_sent.get()),
                durations: timings.durations(total),
                attempts: timings.attempts.len(),
            });
        }
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}
