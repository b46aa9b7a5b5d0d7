//! One request to the embedded gateway, as notes of the inspector.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Uri, Version, request};
use tokio::time::Instant;

use crate::credentials::Credentials;
use crate::emulator::{Answered, ObservedEvent};
use crate::inspect::capture::{Caller, Capture};
use crate::inspect::note::{
    AttemptResponse, AttemptSent, AttemptTimes, Event, Relayed, RequestEnd, RoutedTo, Side, Times,
};
use crate::inspect::recorder::WorkerRecorder;
use crate::mistakes::explain;
use crate::signature::{PayloadHash, Presented, ReceivedRequest};

/// The longest body of a request whose signature is explained.
const MAX_EXPLAINED: usize = 64 * 1024;

/// A request that is recorded.
pub(super) struct RecordedRequest {
    capture: Box<Capture>,
    start: Instant,
    head: request::Parts,
    /// Bytes of the two bodies.
    lengths: [u64; 2],
    /// When the signature was checked, and the response was sent.
    checked: Option<Duration>,
    answered: Option<Duration>,
    status: u16,
    /// The beginning of the request's body, to explain a wrong signature.
    body: Vec<u8>,
    keys: Rc<[Credentials]>,
}

impl RecordedRequest {
    /// Begins to record; `None` while recording is paused.
    pub(super) fn begin(
        worker: &Rc<WorkerRecorder>,
        keys: &Rc<[Credentials]>,
        id: u128,
        head: request::Parts,
    ) -> Option<Self> {
        let (head, start, keys) = (as_http1(head), Instant::now(), Rc::clone(keys));
        let caller = Caller {
            listener: "tls",
            replay_of: None,
            listener_route: None,
        };
        let capture = worker.capture((id, start), caller, &head, |_| {})?;
        Some(Self {
            capture,
            start,
            head,
            lengths: [0, 0],
            checked: None,
            answered: None,
            status: 0,
            body: Vec::new(),
            keys,
        })
    }

    /// Adds what has happened.
    pub(super) fn add(&mut self, event: ObservedEvent) {
        match event {
            ObservedEvent::Hashed(hash) => self.hashed(hash),
            ObservedEvent::RequestBody(data) => self.body(Side::In, &data),
            ObservedEvent::ResponseBody(data) => self.body(Side::Out, &data),
            ObservedEvent::Answered(answered) => self.answered(*answered),
            ObservedEvent::Received(_) | ObservedEvent::Ended => {}
        }
    }

    fn body(&mut self, side: Side, data: &Bytes) {
        self.lengths[side as usize] += data.len() as u64;
        if side == Side::In {
            let room = MAX_EXPLAINED.saturating_sub(self.body.len());
            self.body.extend_from_slice(&data[..data.len().min(room)]);
        }
        self.capture.body(side, data);
    }

    /// What is verified, as the only attempt: its canonical request is the one that the gateway
    /// computes.
    fn hashed(&mut self, body_hash: String) {
        self.checked = Some(self.start.elapsed());
        let value = |name: &str| self.head.headers.get(name).map(HeaderValue::as_bytes);
        let text =
            |name: &str| String::from_utf8_lossy(value(name).unwrap_or_default()).into_owned();
        self.capture.note(Event::Routed(Box::new(RoutedTo {
            route: "/",
            caller: String::new(),
            upstream: format!("https://{}", text("host")),
            stage: text("x-stage"),
            body_hash,
        })));
        let is_key = value("authorization").is_some_and(|value| !value.starts_with(b"Bearer "));
        let auth = match () {
            () if value("x-auth-token").is_some() => "token",
            () if value("x-apig-appcode").is_some() => "app-code",
            () if is_key => "key",
            () => "api-key",
        };
        let line = (&self.head.method, &self.head.uri, self.head.version);
        let head = self.capture.request(line, &self.head.headers);
        self.capture.note(Event::Attempt(Box::new(AttemptSent {
            reason: "verification",
            auth,
            credential_left: None,
            is_http2: self.head.version == Version::HTTP_2,
            connect: None,
            head,
            signed_target: None,
            clock_offset: 0,
        })));
    }

    fn answered(&mut self, answered: Answered) {
        self.answered = Some(self.start.elapsed());
        let head = &answered.head;
        self.status = head.status.as_u16();
        self.capture.answers(&head.headers);
        let code = if answered.outcome.contains('.') {
            answered.outcome
        } else {
            ""
        };
        let text = || {
            self.capture
                .response((head.status, None, self.head.version), &head.headers)
        };
        if self.checked.is_some() {
            let echo = answered.canonical.as_deref().unwrap_or_default();
            self.capture.note(Event::Response(Box::new(AttemptResponse {
                status: self.status,
                head: text(),
                code: code.to_owned(),
                echo: self.capture.canonical(&echo.replace('\n', "|")),
            })));
        }
        let id = head.headers.get("x-request-id").map(HeaderValue::as_bytes);
        self.capture.note(Event::Relayed(Box::new(Relayed {
            status: self.status,
            head: text(),
            code: code.to_owned(),
            message: String::new(),
            hint: answered
                .canonical
                .and_then(|expected| self.mistake(&expected))
                .unwrap_or_default(),
            gateway_request_id: String::from_utf8_lossy(id.unwrap_or_default()).into_owned(),
        })));
    }

    /// What the signer of a refused request did differently.
    fn mistake(&self, canonical: &str) -> Option<String> {
        let authorization = self.head.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let access_key = Presented::parse(authorization).ok()?.access_key;
        let key = self.keys.iter().find(|key| key.access_key == access_key)?;
        let is_whole = self.lengths[Side::In as usize] == self.body.len() as u64;
        let headers = self.head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers: Vec<_> = headers.collect();
        let request = ReceivedRequest {
            method: self.head.method.as_str(),
            target: &self.head.uri.to_string(),
            headers: &headers,
            body: &PayloadHash::EMPTY,
        };
        let found = is_whole.then(|| explain(&request, &self.body, canonical, key))?;
        Some(format!("{}; {}", found.text, found.hint))
    }

    /// Tells that all that belongs to the request is gone.
    pub(super) fn end(self) {
        let total = self.start.elapsed();
        let (outcome, end) = match (self.answered, self.status) {
            (None, _) => ("caller_gone", "caller_gone"),
            (_, ..400) => ("ok", "whole"),
            (_, 400..500) => ("client_error", "whole"),
            _ => ("gateway_error", "whole"),
        };
        let attempt = |signed| AttemptTimes {
            signing: Duration::ZERO,
            signed,
            sent: Some(signed),
            first_byte: self.answered,
        };
        let [bytes_in, bytes_out] = self.lengths;
        self.capture.ended(RequestEnd {
            status: self.status,
            outcome,
            end,
            bytes_in,
            bytes_out,
            times: Times {
                body_read: self.checked,
                attempts: self.checked.map(attempt).into_iter().collect(),
                last_byte: Some(total),
                total,
            },
        });
    }
}

/// The head as HTTP/1.1 has it, with `Host` and the path alone.
fn as_http1(mut head: request::Parts) -> request::Parts {
    let host = head.uri.authority().map(|authority| authority.as_str());
    if let Some(Ok(host)) = host.map(HeaderValue::from_str) {
        head.headers.insert(HOST, host);
    }
    if let Some(target) = head.uri.path_and_query() {
        head.uri = Uri::from(target.clone());
    }
    head
}
