//! The state of one request, from its head to the last byte of its response.
//!
//! One [`RequestContext`] goes through all steps and ends up in the response body. Its drop counts
//! the request and writes its access record, so a request that is dropped at an await, because the
//! caller disconnected or the process ends, is counted too.

mod finish;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderValue, Method, Version, request, response};
use tokio::time::Instant;

use crate::inspect::capture::Capture;
use crate::inspect::note::{AttemptTimes, Side, Times};
use crate::proxy::caller::{CallerConnection, Identified};
use crate::proxy::guard::Admitted;
use crate::proxy::headers;
use crate::proxy::upload_progress::Upload;
use crate::telemetry::access_log::{self, Record, ResponseEnd};
use crate::telemetry::metrics::{NO_ROUTE, Outcome, RequestLabels, WorkerMetrics, method_label};

/// One request.
pub(crate) struct RequestContext {
    pub(in crate::proxy) metrics: Rc<WorkerMetrics>,
    pub(in crate::proxy) caller: Rc<CallerConnection>,
    pub(in crate::proxy) id: u128,
    pub(in crate::proxy) method: &'static str,
    /// True for HEAD, whose answer has no body.
    pub(in crate::proxy) is_head: bool,
    /// The length of its body; `None` if the caller has declared none.
    pub(in crate::proxy) length: Option<u64>,
    /// The version of HTTP that the caller speaks.
    pub(in crate::proxy) version: Version,
    /// True if the caller sent `TE: trailers`.
    pub(in crate::proxy) takes_trailers: bool,
    /// True for gRPC, which wants errors in trailers.
    pub(in crate::proxy) is_grpc: bool,
    /// The `Host` by which the caller called, once the guard has let it through.
    pub(in crate::proxy) host: OnceCell<HeaderValue>,
    /// The listed origin of the web page that called.
    pub(in crate::proxy) origin: OnceCell<HeaderValue>,
    /// The known caller, which a signature may still have to prove.
    pub(in crate::proxy) identified: OnceCell<Identified>,
    /// The route of the cloud service that the `Host` names.
    pub(in crate::proxy) service: Cell<Option<usize>>,
    /// The label of the route in the metrics.
    pub(in crate::proxy) route: Cell<&'static str>,
    pub(in crate::proxy) answer: Cell<Option<(u16, Outcome)>>,
    pub(in crate::proxy) end: Cell<Option<ResponseEnd>>,
    pub(in crate::proxy) upload: Upload,
    /// Bytes of the response's body that went to the caller.
    pub(in crate::proxy) bytes_sent: Cell<u64>,
    pub(in crate::proxy) head_read: Instant,
    times: RefCell<Times>,
    /// How long it waited for memory, a credential, the breaker of its key, or a connection.
    queued: Cell<Duration>,
    record: Option<Record>,
    /// Empty unless the inspector records the request.
    pub(in crate::proxy) capture: OnceCell<Box<Capture>>,
}

impl RequestContext {
    /// Starts to count a request; one without a head could not be read.
    pub(in crate::proxy) fn begin(
        metrics: Rc<WorkerMetrics>,
        caller: Rc<CallerConnection>,
        head: Option<&request::Parts>,
        length: Option<u64>,
    ) -> Rc<Self> {
        metrics.started();
        let id = caller.replay.map(|replay| replay.id);
        let id = id.unwrap_or_else(|| fastrand::u128(..));
        caller.last_request.set(id);
        let record = || head.map_or_else(Record::default, Record::new);
        Rc::new(Self {
            metrics,
            caller,
            id,
            method: method_label(head.map_or("", |head| head.method.as_str())),
            is_head: head.is_some_and(|head| head.method == Method::HEAD),
            length,
            version: head.map_or(Version::HTTP_11, |head| head.version),
            takes_trailers: head
                .is_some_and(|head| headers::lists(&head.headers, &http::header::TE, "trailers")),
            is_grpc: head.is_some_and(|head| headers::is_grpc(&head.headers)),
            host: OnceCell::new(),
            origin: OnceCell::new(),
            identified: OnceCell::new(),
            service: Cell::default(),
            route: Cell::new(NO_ROUTE),
            answer: Cell::default(),
            end: Cell::default(),
            upload: Upload::default(),
            bytes_sent: Cell::default(),
            head_read: Instant::now(),
            times: RefCell::default(),
            queued: Cell::default(),
            record: access_log::is_wanted().then(record),
            capture: OnceCell::new(),
        })
    }

    /// The proxy's id of the request, as 32 hexadecimal digits.
    pub(in crate::proxy) fn request_id(&self) -> impl fmt::Display + use<> {
        let id = self.id;
        fmt::from_fn(move |f| write!(f, "{id:032x}"))
    }

    /// What the inspector gets of the request, if it is recorded.
    pub(in crate::proxy) fn capture(&self) -> Option<&Capture> {
        self.capture.get().map(|capture| &**capture)
    }

    /// Sets the origin of the calling page, the `Host` of the request and the service that it names.
    pub(in crate::proxy) fn called_by(&self, admitted: &Admitted<'_>) {
        let value = |text| HeaderValue::from_str(text).ok();
        // The guard runs once.
        let _ = value(admitted.host).map(|host| self.host.set(host));
        let origin = admitted.origin.and_then(value);
        let _ = origin.map(|origin| self.origin.set(origin));
        self.service.set(admitted.service);
    }

    /// The route that the listener or the `Host` selects. Callers leave out its prefix.
    pub(in crate::proxy) fn selected_route(&self) -> Option<usize> {
        self.caller.rules.route.or_else(|| self.service.get())
    }

    /// True if the signature of the caller covers the body, which is held to be verified.
    pub(in crate::proxy) fn awaits_proof(&self) -> bool {
        let caller = self.identified.get();
        caller.is_some_and(|caller| caller.needs_body)
    }

    /// The known caller, once its proof is complete.
    fn proven_caller(&self) -> Option<&Identified> {
        self.identified
            .get()
            .filter(|caller| caller.is_proven.get())
    }

    /// The name of the known caller; empty without one.
    pub(in crate::proxy) fn caller_name(&self) -> &str {
        self.proven_caller()
            .map_or("", |caller| &caller.caller.name)
    }

    /// Awaits a future and records the time. A future that is ready at once, the usual case, costs
    /// no clock reading. The caller pins the future; by value, it would take its size twice in each
    /// request.
    pub(in crate::proxy) async fn waited<T>(
        &self,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        if let Some(output) = future.as_mut().now_or_never() {
            return output;
        }
        let begun = Instant::now();
        let output = future.await;
        self.queued.set(self.queued.get() + begun.elapsed());
        output
    }

    /// Records that the caller's body was read to its end: nothing of this request is left on the
    /// connection.
    pub(in crate::proxy) fn body_read(&self) {
        self.times.borrow_mut().body_read = Some(self.head_read.elapsed());
        self.caller.request_is_read.set(true);
        if let Some(capture) = self.capture() {
            capture.body_ended(Side::In, true);
        }
    }

    /// Counts bytes of the caller's body.
    pub(in crate::proxy) fn received(&self, data: &[u8]) {
        self.upload.receive(data.len());
        if let Some(capture) = self.capture() {
            capture.body(Side::In, data);
        }
    }

    /// Records an attempt that is about to be sent.
    pub(in crate::proxy) fn attempt(&self, attempt: AttemptTimes) {
        self.metrics.signed(attempt.signing);
        self.times.borrow_mut().attempts.push(attempt);
    }

    /// Records that the whole request of the last attempt was handed to hyper.
    pub(in crate::proxy) fn request_sent(&self) {
        self.upload.is_finished.set(true);
        self.upload.wake();
        if let Some(attempt) = self.times.borrow_mut().attempts.last_mut() {
            attempt.sent.get_or_insert_with(|| self.head_read.elapsed());
        }
    }

    /// Records that the head of a response arrived.
    pub(in crate::proxy) fn gateway_answered(&self) {
        if let Some(attempt) = self.times.borrow_mut().attempts.last_mut() {
            let now = self.head_read.elapsed();
            attempt.first_byte = Some(now);
            self.metrics.gateway_answered(now - attempt.signed);
        }
    }

    /// Records the response that is passed on.
    pub(in crate::proxy) fn relayed(&self, head: &response::Parts, gateway_refused: bool) {
        let (status, id) = (head.status.as_u16(), head.headers.get("x-request-id"));
        if let (Some(record), Some(id)) = (&self.record, id) {
            record.gateway_request_id(id.as_bytes());
        }
        self.answered(status, Outcome::relayed(status, gateway_refused));
    }

    /// Counts the request with its response. Call it before the response is written, so that
    /// whoever has read it finds it counted.
    pub(in crate::proxy) fn answered(&self, status: u16, outcome: Outcome) {
        self.answer.set(Some((status, outcome)));
        self.metrics.count(RequestLabels {
            route: self.route.get(),
            method: self.method,
            code: status,
            outcome: outcome.name(),
            caller: self.proven_caller().map_or("", |caller| caller.label),
        });
    }

    /// Counts bytes of the response's body that go to the caller.
    pub(in crate::proxy) fn sent(&self, data: &[u8]) {
        self.bytes_sent
            .set(self.bytes_sent.get() + data.len() as u64);
        if let Some(capture) = self.capture() {
            capture.body(Side::Out, data);
        }
    }

    /// Records how the response ended.
    pub(in crate::proxy) fn ended(&self, end: ResponseEnd) {
        self.end.set(Some(end));
        self.times.borrow_mut().last_byte = Some(self.head_read.elapsed());
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestContext({:032x})", self.id)
    }
}
