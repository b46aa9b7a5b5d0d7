//! Everything that is known of one request.

use serde_json::{Value, json};

use super::super::copy::replay_source;
use super::super::entry::{Attempt, Entry};
use super::super::head::{Head, request_line};
use super::super::note::HeadText;
use super::summary::summary;
use super::times::{self, Timeline};
use super::why::why;
use super::{bodies, changes, signature};

/// Methods that change nothing, so that sending them again needs no confirmation.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// A request with all its parts.
pub(in crate::inspect) fn detail(entry: &Entry) -> Value {
    let line = Timeline::new(entry);
    let routed = entry.routed.as_ref();
    let attempts = entry.attempts.iter().enumerate();
    json!({
        "summary": summary(entry),
        "why": why(entry),
        "received": entry.received().as_ref().map(Head::json),
        "upstream": routed.map(|routed| routed.upstream.as_str()),
        "stage": routed.map(|routed| routed.stage.as_str()),
        "changes": changes::request_changes(entry),
        "attempts": attempts.map(|(at, attempt)| {
            attempt_json(entry, attempt, at, &line)
        }).collect::<Value>(),
        "answer": answer(entry),
        "bodies": bodies::bodies(entry),
        "spans": times::json(line.spans()),
        "replay": replay(entry),
        "gaps": entry.gaps(),
    })
}

fn attempt_json(entry: &Entry, attempt: &Attempt, at: usize, line: &Timeline) -> Value {
    let sent = attempt.sent.as_ref();
    let response = attempt.response.as_ref().map(|(_, response)| response);
    let signed = signature::signed_texts(entry, attempt);
    let difference = signed.as_ref();
    let difference = difference.and_then(|signed| signature::first_difference(signed, attempt));
    let reason = sent.map(|sent| sent.reason);
    json!({
        "number": at + 1,
        "reason": reason,
        "reason_text": reason.map(reason_text),
        "auth": sent.map(|sent| sent.auth),
        "credential_left_s": sent.and_then(|sent| sent.credential_left),
        "protocol": sent.map(|sent| if sent.is_http2 { "HTTP/2" } else { "HTTP/1.1" }),
        "connection": sent.map(|sent| if sent.connect.is_some() { "new" } else { "reused" }),
        "sent": sent.and_then(|sent| head(&sent.head)),
        "canonical": signed.as_ref().map(|signed| signed.canonical.as_str()),
        "string_to_sign": signed.as_ref().map(|signed| signed.string_to_sign.as_str()),
        "echo": signature::echo(attempt).map(|echo| echo.replace('|', "\n")),
        "difference": difference.as_ref().map(signature::json),
        "status": response.map(|response| response.status),
        "code": response.map(|response| response.code.as_str()).filter(|code| !code.is_empty()),
        "response": response.and_then(|response| head(&response.head)),
        "clock_offset_s": sent.map(|sent| sent.clock_offset),
        "spans": times::json(line.of_attempt(at)),
    })
}

fn head(text: &HeadText) -> Option<Value> {
    Head::parse(text).as_ref().map(Head::json)
}

fn answer(entry: &Entry) -> Option<Value> {
    let mut answer = entry.answer()?.json();
    answer["changes"] = changes::answer_changes(entry).into();
    Some(answer)
}

/// Why an attempt was made.
fn reason_text(reason: &str) -> &'static str {
    match reason {
        "first" => "first attempt",
        "verification" => "what the embedded gateway has verified",
        "connection" => "the connection ended, and the gateway cannot have executed the request",
        "date" => "the gateway refused the date, so it was signed with the gateway's time",
        "path" => "the gateway reads the path differently, so it was signed in that reading",
        "credential" => "the credential was refused or had expired, so another one was used",
        _ => "sent again",
    }
}

fn replay(entry: &Entry) -> Value {
    let source = replay_source(entry);
    let method = entry
        .received()
        .map(|head| request_line(head.line).0.into_owned());
    json!({
        "possible": source.is_ok(),
        "needs_confirmation": !method.is_some_and(|method| SAFE.contains(&method.as_str())),
        "why_not": source.err().map(|error| error.to_string()),
    })
}
