//! One request to the embedded gateway, as notes of the inspector.

use std::rc::Rc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Uri, Version, request};

use crate::credentials::Credentials;
use crate::emulator::{Answered, Observation, ObservedBody};
use crate::inspect::capture::Capture;
use crate::inspect::note::{
    AttemptResponse, AttemptSent, AttemptTimes, Caller, Event, Relayed, RequestEnd, RoutedTo, Side,
    Times,
};
use crate::inspect::recorder::WorkerRecorder;
use crate::signature::{PayloadHash, Presented, ReceivedRequest};
use crate::signing_mistakes::explain;

/// Records a request, unless recording is paused. Its verification counts as the only attempt, with
/// the canonical request that the gateway computed.
pub(super) fn record(worker: &Rc<WorkerRecorder>, keys: &[Credentials], seen: Observation) {
    let (head, start) = (as_http1(seen.head), seen.start);
    let caller = Caller {
        listener: "tls",
        ..Caller::default()
    };
    let id = fastrand::u128(..);
    let Some(capture) = worker.capture((id, start), caller, &head, |_| {}) else {
        return;
    };
    let [sent, received] = &seen.bodies;
    body(&capture, Side::In, sent);
    let hashed = seen.hashed.map(|(at, hash)| {
        attempt(&capture, &head, hash);
        at - start
    });
    if let Some(answer) = &seen.answered {
        let hint = answer.canonical.as_deref();
        let hint = hint.and_then(|canonical| mistake(&head, sent, keys, canonical));
        answered(&capture, answer, head.version, hashed.is_some(), hint);
    }
    body(&capture, Side::Out, received);
    let answered = seen.answered.as_ref();
    let status = answered.map_or(0, |answer| answer.head.status.as_u16());
    let (outcome, end) = outcome(status);
    capture.ended(RequestEnd {
        status,
        outcome,
        end,
        bytes_in: sent.length as u64,
        bytes_out: received.length as u64,
        times: times(
            hashed,
            answered.map(|answer| answer.at - start),
            start.elapsed(),
        ),
    });
}

/// The outcome of a request with this status, and how it ended; 0 stands for no response.
fn outcome(status: u16) -> (&'static str, &'static str) {
    match status {
        0 => ("caller_gone", "caller_gone"),
        1..400 => ("ok", "whole"),
        400..500 => ("client_error", "whole"),
        _ => ("gateway_error", "whole"),
    }
}

/// The times of a request: when its body was hashed, when its response was sent, and how long it took.
fn times(hashed: Option<Duration>, answered: Option<Duration>, total: Duration) -> Times {
    let attempt = hashed.map(|signed| AttemptTimes {
        signing: Duration::ZERO,
        signed,
        sent: Some(signed),
        first_byte: answered,
    });
    Times {
        body_read: hashed,
        attempts: attempt.into_iter().collect(),
        last_byte: Some(total),
        total,
    }
}

fn body(capture: &Capture, side: Side, body: &ObservedBody) {
    capture.body(side, &body.kept);
    capture.bytes(side, body.length - body.kept.len());
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

fn attempt(capture: &Capture, head: &request::Parts, body_hash: String) {
    let headers = &head.headers;
    capture.note(Event::Routed(Box::new(RoutedTo {
        route: "/",
        upstream: format!("https://{}", text(headers, "host")),
        stage: text(headers, "x-stage"),
        body_hash,
        ..RoutedTo::default()
    })));
    let authorization = text(headers, "authorization");
    let auth = match () {
        () if headers.contains_key("x-auth-token") => "token",
        () if headers.contains_key("x-apig-appcode") => "app-code",
        () if authorization.is_empty() || authorization.starts_with("Bearer ") => "api-key",
        () => "key",
    };
    capture.note(Event::Attempt(Box::new(AttemptSent {
        reason: "verification",
        auth,
        is_http2: head.version == Version::HTTP_2,
        head: capture.request((&head.method, &head.uri, head.version), headers),
        ..AttemptSent::default()
    })));
}

fn answered(
    capture: &Capture,
    answer: &Answered,
    version: Version,
    is_verified: bool,
    hint: Option<String>,
) {
    let (status, headers) = (answer.head.status, &answer.head.headers);
    capture.answers(headers);
    let code = if answer.outcome.contains('.') {
        answer.outcome
    } else {
        ""
    };
    let head = || capture.response((status, None, version), headers);
    if is_verified {
        let echo = answer.canonical.as_deref().unwrap_or_default();
        capture.note(Event::Response(Box::new(AttemptResponse {
            status: status.as_u16(),
            head: head(),
            code: code.to_owned(),
            echo: capture.canonical(&echo.replace('\n', "|")),
        })));
    }
    capture.note(Event::Relayed(Box::new(Relayed {
        status: status.as_u16(),
        head: head(),
        code: code.to_owned(),
        hint: hint.unwrap_or_default(),
        gateway_request_id: text(headers, "x-request-id"),
        ..Relayed::default()
    })));
}

/// The mistake of whoever signed a refused request.
fn mistake(
    head: &request::Parts,
    body: &ObservedBody,
    keys: &[Credentials],
    canonical: &str,
) -> Option<String> {
    let authorization = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let access_key = Presented::parse(authorization).ok()?.access_key;
    let key = keys.iter().find(|key| key.access_key == access_key)?;
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Vec<_> = headers.collect();
    let request = ReceivedRequest {
        method: head.method.as_str(),
        target: &head.uri.to_string(),
        headers: &headers,
        body: &PayloadHash::EMPTY,
    };
    let is_whole = body.length == body.kept.len();
    let found = is_whole.then(|| explain(&request, &body.kept, canonical, key))?;
    Some(format!("{}; {}", found.text, found.hint))
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
