//! When the steps of a request happened: consecutive spans, from its head to its last byte. Each begins
//! where the one before ends, whatever the marks say, so none overlaps another or is negative.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::note::AttemptTimes;
use crate::upstream::ConnectTimes;

/// A step, in microseconds since the head was read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::inspect) struct Span {
    name: &'static str,
    start_us: u64,
    pub(in crate::inspect) us: u64,
    /// Index of the attempt that it belongs to.
    #[serde(skip)]
    attempt: Option<usize>,
}

/// The steps of a request.
#[derive(Debug)]
pub(in crate::inspect) struct Timeline {
    pub(in crate::inspect) spans: Vec<Span>,
    attempt: Option<usize>,
    end: u64,
}

impl Timeline {
    pub(in crate::inspect) fn new(entry: &Entry) -> Self {
        let times = entry.ended.as_ref().map(|ended| &ended.times);
        let end = micros(times.map_or(entry.last, |times| times.total));
        let mut line = Self {
            spans: Vec::new(),
            attempt: None,
            end,
        };
        let marks = attempt_marks(entry);
        let first = marks.first().map_or(end, |(_, marks)| begin(marks));
        // A body that is streamed is read while it is sent.
        let body = times.and_then(|times| times.body_read).map(micros);
        line.push("body", body.filter(|read| *read <= first).unwrap_or(0));
        for (at, (connect, attempt)) in marks.iter().enumerate() {
            line.attempt = Some(at);
            let next = marks.get(at + 1);
            let next = next.map(|(connect, marks)| opened(*connect, marks));
            line.attempt(*connect, attempt, next);
            if attempt.first_byte.is_some() && next.is_none() {
                let last = times.and_then(|times| times.last_byte);
                line.push("answer", last.map_or(end, micros));
            }
        }
        if marks.is_empty() {
            line.push("wait", end);
        }
        line
    }

    fn attempt(&mut self, connect: ConnectTimes, marks: &AttemptTimes, next: Option<u64>) {
        self.push("wait", opened(connect, marks));
        let ConnectTimes { dns, tcp, tls } = connect;
        for (name, time) in [("dns", dns), ("tcp", tcp), ("tls", tls)] {
            let end = self.now() + micros(time.unwrap_or_default());
            self.push(name, end.min(begin(marks)));
        }
        self.push("wait", begin(marks));
        self.push("sign", micros(marks.signed));
        let answered = marks.first_byte.map(micros);
        if let Some(sent) = marks.sent.map(micros) {
            self.push("send", sent.min(answered.unwrap_or(u64::MAX)));
        }
        self.push("gateway", answered.or(next).unwrap_or(self.end));
    }

    /// Adds a step that ends at this time.
    fn push(&mut self, name: &'static str, until: u64) {
        let start_us = self.now();
        let us = until.min(self.end).saturating_sub(start_us);
        if us > 0 {
            let attempt = self.attempt;
            self.spans.push(Span {
                name,
                start_us,
                us,
                attempt,
            });
        }
    }

    fn now(&self) -> u64 {
        self.spans.last().map_or(0, |last| last.start_us + last.us)
    }

    pub(super) fn of_attempt(&self, at: usize) -> Vec<&Span> {
        let spans = self.spans.iter();
        spans.filter(|span| span.attempt == Some(at)).collect()
    }

    /// How long the steps of these names took together.
    pub(in crate::inspect) fn sum(&self, names: &[&str]) -> u64 {
        let spans = self.spans.iter().filter(|span| names.contains(&span.name));
        spans.map(|span| span.us).sum()
    }

    /// The five parts of the bar in a list.
    pub(super) fn bar(&self) -> Value {
        json!({
            "wait": self.sum(&["body", "wait"]),
            "connect": self.sum(&["dns", "tcp", "tls"]),
            "send": self.sum(&["sign", "send"]),
            "gateway": self.sum(&["gateway"]),
            "answer": self.sum(&["answer"]),
        })
    }
}

pub(in crate::inspect) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// When signing began.
fn begin(marks: &AttemptTimes) -> u64 {
    micros(marks.signed.saturating_sub(marks.signing))
}

/// When opening the connection of an attempt began. A wait for a credential after that is not told
/// apart.
fn opened(connect: ConnectTimes, marks: &AttemptTimes) -> u64 {
    let steps = [connect.dns, connect.tcp, connect.tls];
    let steps: u64 = steps.into_iter().flatten().map(micros).sum();
    begin(marks).saturating_sub(steps)
}

/// The marks of each attempt: those of the end, or what the notes themselves tell before that.
fn attempt_marks(entry: &Entry) -> Vec<(ConnectTimes, AttemptTimes)> {
    let exact = entry.ended.as_ref().map(|ended| &ended.times.attempts);
    let exact = exact.filter(|times| times.len() == entry.attempts.len());
    let marks = entry.attempts.iter().enumerate().map(|(at, attempt)| {
        let connect = attempt.sent.as_ref().map(|sent| sent.connect);
        let noted = || AttemptTimes {
            signed: attempt.at,
            first_byte: attempt.response.as_ref().map(|(at, _)| *at),
            ..AttemptTimes::default()
        };
        let marks = exact.map_or_else(noted, |times| times[at]);
        (connect.unwrap_or_default(), marks)
    });
    marks.collect()
}
