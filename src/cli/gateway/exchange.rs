//! One request to the embedded gateway, as notes of the inspector.

use std::rc::Rc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Version};

use crate::credentials::Credentials;
use crate::emulator::{Canonical, Observation, Outcome, header_pairs, target};
use crate::inspect::capture::Capture;
use crate::inspect::note::{
    AttemptResponse, AttemptSent, AttemptTimes, Caller, Event, Relayed, RequestEnd, RoutedTo, Side,
    Times,
};
use crate::inspect::recorder::WorkerRecorder;
use crate::signature::{PayloadHash, Presented, ReceivedRequest};
use crate::signing_mistakes::explain;
use crate::telemetry::metrics;

/// Records a request, unless recording is paused. Its verification counts as the only attempt, with
/// the canonical request that the gateway computed.
pub(super) fn record(worker: &Rc<WorkerRecorder>, keys: &[Credentials], seen: &Observation) {
    let caller = Caller {
        listener: "tls",
        ..Caller::default()
    };
    let id = (fastrand::u128(..), seen.start);
    let Some(capture) = worker.capture(id, caller, &seen.head, |_| {}) else {
        return;
    };
    capture.body(Side::In, &seen.body.kept);
    let cut = seen.body.length - seen.body.kept.len() as u64;
    capture.bytes(Side::In, usize::try_from(cut).unwrap_or(usize::MAX));
    attempt(&capture, seen);
    answered(&capture, seen, mistake(seen, keys).unwrap_or_default());
    let (status, body) = (seen.response.status().as_u16(), seen.response.body());
    capture.body(Side::Out, body);
    capture.ended(RequestEnd {
        status,
        outcome: metrics::Outcome::relayed(status, false).name(),
        end: "whole",
        bytes_in: seen.body.length,
        bytes_out: body.len() as u64,
        times: times(seen),
    });
}

/// The times of a request, whose response was sent just now.
fn times(seen: &Observation) -> Times {
    let total = seen.start.elapsed();
    let hashed = seen.body.hashed.as_ref().map(|(at, _)| *at);
    let attempt = hashed.map(|signed| AttemptTimes {
        signed,
        sent: Some(signed),
        first_byte: Some(total),
        ..AttemptTimes::default()
    });
    Times {
        body_read: hashed,
        attempts: attempt.into_iter().collect(),
        last_byte: Some(total),
        total,
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

fn attempt(capture: &Capture, seen: &Observation) {
    let (Some((_, hash)), head) = (&seen.body.hashed, &seen.head) else {
        return;
    };
    let headers = &head.headers;
    capture.note(Event::Routed(Box::new(RoutedTo {
        route: "/",
        upstream: format!("https://{}", text(headers, "host")),
        stage: text(headers, "x-stage"),
        body_hash: hash.as_str().to_owned(),
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

fn answered(capture: &Capture, seen: &Observation, hint: String) {
    let (status, headers) = (seen.response.status(), seen.response.headers());
    capture.answers(headers);
    let outcome = seen.response.extensions().get::<Outcome>();
    let code = outcome.map(|outcome| outcome.0.to_owned());
    let code = code.filter(|code| code.contains('.')).unwrap_or_default();
    let head = || capture.response((status, None, seen.head.version), headers);
    if seen.body.hashed.is_some() {
        let echo = canonical(seen).unwrap_or_default().replace('\n', "|");
        capture.note(Event::Response(Box::new(AttemptResponse {
            status: status.as_u16(),
            head: head(),
            code: code.clone(),
            echo: capture.canonical(&echo),
        })));
    }
    capture.note(Event::Relayed(Box::new(Relayed {
        status: status.as_u16(),
        head: head(),
        code,
        hint,
        gateway_request_id: text(headers, "x-request-id"),
        ..Relayed::default()
    })));
}

/// The canonical request of the gateway, if the signature does not match it.
fn canonical(seen: &Observation) -> Option<&str> {
    let canonical = seen.response.extensions().get::<Canonical>();
    canonical.map(|canonical| canonical.0.as_str())
}

/// The mistake of whoever signed a refused request.
fn mistake(seen: &Observation, keys: &[Credentials]) -> Option<String> {
    let (head, body) = (&seen.head, &seen.body);
    let authorization = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let access_key = Presented::parse(authorization).ok()?.access_key;
    let key = keys.iter().find(|key| key.access_key == access_key)?;
    let request = ReceivedRequest {
        method: head.method.as_str(),
        target: target(head),
        headers: &header_pairs(&head.headers, usize::MAX),
        body: &PayloadHash::EMPTY,
    };
    let is_whole = body.length == body.kept.len() as u64;
    let canonical = canonical(seen).filter(|_| is_whole)?;
    let found = explain(&request, &body.kept, canonical, key);
    Some(format!("{}; {}", found.text, found.hint))
}
