//! Everything that is known of one request.

use serde_json::{Value, json};

use super::super::copy::replay_source;
use super::super::entry::{Attempt, Entry};
use super::super::head::{Head, request_line};
use super::super::note::Side;
use super::super::replay::is_safe;
use super::bodies::body;
use super::summary::summary;
use super::times::Timeline;
use super::why::why;
use super::{changes, signature};
use crate::upstream::ConnectTimes;

/// A request with all its parts.
pub(in crate::inspect) fn detail(entry: &Entry) -> Value {
    let line = Timeline::new(entry);
    let routed = entry.routed.as_ref();
    let attempts = entry.attempts.iter().enumerate();
    let mut answer = entry.answer().map(|head| head.json());
    if let Some(answer) = &mut answer {
        answer["changes"] = changes::answer_changes(entry).into();
    }
    let source = replay_source(entry);
    let is_safe = |head: Head<'_>| is_safe(&request_line(head.line).0);
    json!({
        "summary": summary(entry),
        "why": why(entry),
        "received": entry.received().map(|head| head.json()),
        "upstream": routed.map(|routed| &routed.upstream),
        "stage": routed.map(|routed| &routed.stage),
        "changes": changes::request_changes(entry),
        "attempts": attempts.map(|(at, attempt)| {
            attempt_json(entry, attempt, at, &line)
        }).collect::<Value>(),
        "answer": answer,
        "bodies": {"in": body(entry, Side::In), "out": body(entry, Side::Out)},
        "spans": line.spans,
        "replay": {
            "possible": source.is_ok(),
            "needs_confirmation": !entry.received().is_some_and(is_safe),
            "why_not": source.err().map(|problem| problem.message()),
        },
        "gaps": entry.gaps(),
    })
}

fn attempt_json(entry: &Entry, attempt: &Attempt, at: usize, line: &Timeline) -> Value {
    let sent = attempt.sent.as_ref();
    let response = attempt.response.as_ref().map(|(_, response)| response);
    let head = |head| Head::parse(head).map(|head| head.json());
    let signed = signature::signed_texts(entry, attempt);
    let (canonical, string_to_sign) = signed.unzip();
    let difference = canonical
        .as_deref()
        .and_then(|ours| signature::first_difference(ours, attempt));
    json!({
        "number": at + 1,
        "reason": sent.map(|sent| sent.reason),
        "reason_text": sent.map(|sent| reason_text(sent.reason)),
        "auth": sent.map(|sent| sent.auth),
        "credential_left_s": sent.and_then(|sent| sent.credential_left),
        "protocol": sent.map(|sent| if sent.is_http2 { "HTTP/2" } else { "HTTP/1.1" }),
        "connection": sent.map(|sent| if sent.connect == ConnectTimes::default() { "reused" } else { "new" }),
        "sent": sent.and_then(|sent| head(&sent.head)),
        "canonical": canonical,
        "string_to_sign": string_to_sign,
        "echo": signature::echo(attempt).map(|echo| echo.replace('|', "\n")),
        "difference": difference,
        "status": response.map(|response| response.status),
        "code": response.map(|response| &response.code).filter(|code| !code.is_empty()),
        "response": response.and_then(|response| head(&response.head)),
        "clock_offset_s": sent.map(|sent| sent.clock_offset),
        "spans": line.of_attempt(at),
    })
}

/// Why an attempt was made.
fn reason_text(reason: &str) -> &'static str {
    match reason {
        "first" => "first attempt",
        "verification" => "verified by the embedded gateway",
        "connection" => "the connection ended, and the gateway cannot have executed the request",
        "date" => "the gateway refused the date, so it was signed with the gateway's time",
        "path" => "the gateway reads the path differently, so it was signed in that reading",
        "credential" => "the credential was refused or had expired, so another one was used",
        _ => "sent again",
    }
}
