//! The access record: one tracing event for each request, when it has ended.
//!
//! It has a target of its own, so that `log.access` can switch it off. It is apart from the
//! metrics, because it holds what they must not: the path, and ids that others chose.
//!
//! # What can go wrong
//!
//! Callers and the gateway choose the texts in it, so their length is bounded, and none has a blank
//! that could end a field. Query values are never written.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::time::Duration;

use http::{HeaderValue, Method, Uri, request};
use tracing::{Level, field};

use super::metrics::Outcome;

/// The tracing target of the events.
pub const TARGET: &str = "apig_proxy::access";

/// The longest method, path and id that are written, in bytes.
const MAX_METHOD: usize = 16;
const MAX_PATH: usize = 256;
const MAX_ID: usize = 64;

/// True if access records are enabled. If not, a request collects nothing for one.
pub fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// How a response ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseEnd {
    /// Early, because the process ended.
    #[default]
    CutOff,
    /// With its last byte.
    Whole,
    /// Early, because the caller disconnected.
    CallerGone,
    /// Early, because the gateway's side failed.
    BrokenOff,
}

/// The fields of the record that are known from the request head on.
#[derive(Default)]
pub(crate) struct Record {
    head: Option<(Method, Uri)>,
    traceparent: Option<HeaderValue>,
    gateway_request_id: RefCell<String>,
}

/// The fields of the record that are known when the request has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) request_id: u128,
    pub(crate) route: &'a str,
    /// The name of the caller, where callers are known.
    pub(crate) caller: Option<&'a str>,
    /// False if the caller signed, and its signature does not cover the body.
    pub(crate) body_signed: Option<bool>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) end: ResponseEnd,
    /// Body bytes from the caller, and to it.
    pub(crate) bytes: (u64, u64),
    pub(crate) durations: Durations,
    pub(crate) attempts: usize,
    /// The request that this one repeats.
    pub(crate) replay_of: Option<u128>,
}

/// The time that the parts of a request took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Durations {
    /// Waiting for memory, a credential or a connection.
    pub(crate) queued: Duration,
    pub(crate) signing: Duration,
    /// Waiting for the heads of responses.
    pub(crate) upstream: Duration,
    pub(crate) total: Duration,
}

impl Record {
    /// Starts the record of a request. That of bytes that are no request is `Record::default()`.
    pub(crate) fn new(head: &request::Parts) -> Self {
        let mut traceparents = head.headers.get_all("traceparent").iter();
        let first = traceparents.next();
        Self {
            head: Some((head.method.clone(), head.uri.clone())),
            traceparent: first.filter(|_| traceparents.next().is_none()).cloned(),
            gateway_request_id: RefCell::default(),
        }
    }

    /// Sets the request id that the gateway chose, if it is one.
    pub(crate) fn gateway_request_id(&self, id: &[u8]) {
        if id.len() <= MAX_ID && id.iter().all(u8::is_ascii_graphic) {
            *self.gateway_request_id.borrow_mut() = String::from_utf8_lossy(id).into_owned();
        }
    }

    pub(crate) fn write(&self, finished: &Finished<'_>) {
        if super::is_for_people() {
            self.write_for_people(finished);
        } else {
            self.write_all(finished);
        }
    }

    /// Writes what a person reads: the request and its status, and whatever is unusual.
    fn write_for_people(&self, finished: &Finished<'_>) {
        let (bytes_in, bytes_out) = finished.bytes;
        let outcome = finished.outcome();
        let is_usual = outcome == Outcome::Ok.name();
        tracing::info!(
            target: TARGET,
            code = %finished.code(),
            outcome = (!is_usual).then_some(field::display(outcome)),
            bytes_in = (bytes_in > 0).then_some(bytes_in),
            caller = finished.caller,
            body_signed = finished.body_signed,
            attempts = (finished.attempts > 1).then_some(finished.attempts as u64),
            request_id = (!is_usual).then_some(field::display(hex(finished.request_id))),
            trace_id = %self.trace_id(),
            gateway_request_id = %self.gateway_request_id.borrow(),
            replay_of = finished.replay_of.map(hex).map(field::display),
            "{} {} {} {bytes_out} B {}",
            self.method("-"),
            self.path("-"),
            finished.status,
            took(finished.durations.total)
        );
    }

    fn write_all(&self, finished: &Finished<'_>) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (durations, (bytes_in, bytes_out)) = (finished.durations, finished.bytes);
        tracing::info!(
            target: TARGET,
            request_id = %hex(finished.request_id),
            route = %finished.route,
            caller = finished.caller,
            body_signed = finished.body_signed,
            method = %self.method(""),
            path = %self.path(""),
            status = u64::from(finished.status),
            code = %finished.code(),
            outcome = %finished.outcome(),
            bytes_in,
            bytes_out,
            queue_us = micros(durations.queued),
            sign_us = micros(durations.signing),
            upstream_us = micros(durations.upstream),
            total_us = micros(durations.total),
            attempts = finished.attempts as u64,
            trace_id = %self.trace_id(),
            gateway_request_id = %self.gateway_request_id.borrow(),
            replay_of = finished.replay_of.map(hex).map(field::display),
            "access"
        );
    }

    /// The method, or what stands for that of bytes that are no request.
    fn method<'a>(&'a self, none: &'a str) -> impl Display {
        let method = self.head.as_ref().map(|(method, _)| method.as_str());
        cut(method.unwrap_or(none), MAX_METHOD)
    }

    fn path<'a>(&'a self, none: &'a str) -> impl Display {
        let path = self.head.as_ref().map(|(_, uri)| uri.path());
        cut(path.unwrap_or(none), MAX_PATH)
    }

    fn trace_id(&self) -> &str {
        let traceparent = self.traceparent.as_ref();
        let id = traceparent.and_then(|traceparent| trace_id(traceparent.as_bytes()));
        id.unwrap_or_default()
    }
}

/// A request id, as 32 hexadecimal digits.
fn hex(id: u128) -> impl Display {
    fmt::from_fn(move |f| write!(f, "{id:032x}"))
}

/// A duration for people.
fn took(time: Duration) -> impl Display {
    fmt::from_fn(move |f| match time.as_millis() {
        0 => f.write_str("<1 ms"),
        millis @ 1..10_000 => write!(f, "{millis} ms"),
        _ => write!(f, "{} s", time.as_secs()),
    })
}

impl Finished<'_> {
    /// The code of a response of the proxy's own, as the caller got it.
    fn code(&self) -> impl Display {
        fmt::from_fn(|f| match self.outcome {
            Outcome::Proxy(code) => write!(f, "PROXY.{code}"),
            _ => Ok(()),
        })
    }

    /// The outcome as counted, unless the response ended early after that.
    pub(crate) fn outcome(&self) -> &'static str {
        match (self.outcome, self.end) {
            (Outcome::CallerGone | Outcome::CutOff, _) | (_, ResponseEnd::Whole) => {
                self.outcome.name()
            }
            (_, ResponseEnd::CallerGone) => Outcome::CallerGone.name(),
            (_, ResponseEnd::BrokenOff) => "broken_off",
            (_, ResponseEnd::CutOff) => Outcome::CutOff.name(),
        }
    }
}

/// A text of at most `max` bytes; dots replace the rest.
fn cut(text: &str, max: usize) -> impl Display {
    let (kept, dots) = match text.len() <= max {
        true => (text, ""),
        false => (&text[..text.floor_char_boundary(max - 3)], "..."),
    };
    fmt::from_fn(move |f| write!(f, "{kept}{dots}"))
}

/// The trace id of a well-formed `traceparent` (W3C Trace Context): version, trace id, parent id
/// and flags. A later version than `00` may add parts, and there is no version `ff`.
fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let mut parts = str::from_utf8(traceparent).ok()?.split('-');
    let mut next = |length| {
        let part = parts.next()?;
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (part.len() == length && part.bytes().all(is_hex)).then_some(part)
    };
    let (version, trace, parent, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let is_version = match version {
        "00" => parts.next().is_none(),
        version => version != "ff",
    };
    let is_zero = |part: &str| part.bytes().all(|digit| digit == b'0');
    (is_version && !is_zero(trace) && !is_zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_has_an_id() {
        const ID: &str = "0af7651916cd43dd8448eb211c80319c";
        let whole = format!("00-{ID}-b7ad6b7169203331-01");
        let later = format!("cc-{ID}-b7ad6b7169203331-01-what-comes-later");
        for valid in [&whole, &later] {
            assert_eq!(trace_id(valid.as_bytes()), Some(ID));
        }
        for malformed in [
            String::new(),
            whole[..54].to_owned(),
            format!("{whole}0"),
            whole.replace('a', "A"),
            whole.replace(ID, &"0".repeat(32)),
            whole.replace("b7ad6b7169203331", &"0".repeat(16)),
            whole.replace("-b7", "0b7"),
            whole.replace("-01", "-0g"),
            whole.replacen("00", "ff", 1),
            format!("{whole}-00"),
        ] {
            assert_eq!(trace_id(malformed.as_bytes()), None, "{malformed}");
        }
    }
}
