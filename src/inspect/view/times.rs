//! When the steps of a request happened: spans that follow one another, from its head to its last
//! byte. They are made one after the other and none begins before the last one ends, whatever the
//! marks say, so none overlaps another and none is negative.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::note::{AttemptTimes, ConnectSteps};

/// A step, in microseconds since the head was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct Span {
    pub(in crate::inspect) name: &'static str,
    pub(in crate::inspect) start: u64,
    pub(in crate::inspect) length: u64,
}

/// The steps of a request.
#[derive(Debug)]
pub(in crate::inspect) struct Timeline {
    spans: Vec<Span>,
    /// How many of the spans are of no attempt, and where those of each attempt begin.
    starts: Vec<usize>,
    end: u64,
}

impl Timeline {
    pub(in crate::inspect) fn new(entry: &Entry) -> Self {
        let times = entry.ended.as_ref().map(|ended| &ended.times);
        let end = micros(times.map_or(entry.last, |times| times.total));
        let mut line = Self {
            spans: Vec::new(),
            starts: Vec::new(),
            end,
        };
        let marks = attempt_marks(entry);
        let first = marks.first().map_or(end, |(_, marks)| begin(marks));
        // A body that is streamed is read while it is sent.
        let body = times.and_then(|times| times.body_read).map(micros);
        if let Some(read) = body.filter(|read| *read <= first) {
            line.push("body", read);
        }
        for (at, (connect, attempt)) in marks.iter().enumerate() {
            line.starts.push(line.spans.len());
            let next = marks
                .get(at + 1)
                .map(|(connect, marks)| opened(connect.as_ref(), marks));
            line.attempt(connect.as_ref(), attempt, next);
            if let (Some(_), None) = (attempt.first_byte, next) {
                let last = times.and_then(|times| times.last_byte);
                line.push("answer", last.map_or(end, micros));
            }
        }
        if marks.is_empty() {
            line.push("wait", end);
        }
        line
    }

    fn attempt(&mut self, connect: Option<&ConnectSteps>, marks: &AttemptTimes, next: Option<u64>) {
        self.push("wait", opened(connect, marks));
        if let Some(connect) = connect {
            for (name, time) in [
                ("dns", connect.name),
                ("tcp", connect.tcp),
                ("tls", connect.tls),
            ] {
                self.push(name, (self.now() + micros(time)).min(begin(marks)));
            }
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
        let start = self.now();
        let length = until.min(self.end).saturating_sub(start);
        if length > 0 {
            self.spans.push(Span {
                name,
                start,
                length,
            });
        }
    }

    fn now(&self) -> u64 {
        self.spans.last().map_or(0, |last| last.start + last.length)
    }

    /// All spans.
    pub(in crate::inspect) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The spans of an attempt.
    pub(in crate::inspect) fn of_attempt(&self, at: usize) -> &[Span] {
        let start = self.starts.get(at).copied().unwrap_or(self.spans.len());
        let end = self.starts.get(at + 1).copied().unwrap_or(self.spans.len());
        &self.spans[start..end]
    }

    /// How long the steps of these names took together.
    pub(in crate::inspect) fn sum(&self, names: &[&str]) -> u64 {
        let spans = self.spans.iter().filter(|span| names.contains(&span.name));
        spans.map(|span| span.length).sum()
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

/// Spans for the API.
pub(super) fn json(spans: &[Span]) -> Value {
    let json = |span: &Span| json!({"name": span.name, "start_us": span.start, "us": span.length});
    spans.iter().map(json).collect()
}

pub(in crate::inspect) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// When signing began.
fn begin(marks: &AttemptTimes) -> u64 {
    micros(marks.signed.saturating_sub(marks.signing))
}

/// When the connection of an attempt began to be opened. How long a request waited after that, for
/// a credential, is not told apart.
fn opened(connect: Option<&ConnectSteps>, marks: &AttemptTimes) -> u64 {
    let steps = connect.map(|connect| connect.name + connect.tcp + connect.tls);
    begin(marks).saturating_sub(micros(steps.unwrap_or_default()))
}

/// The marks of each attempt: those of the end, or what the notes themselves tell before that.
fn attempt_marks(entry: &Entry) -> Vec<(Option<ConnectSteps>, AttemptTimes)> {
    let exact = entry.ended.as_ref().map(|ended| &ended.times.attempts);
    let exact = exact.filter(|times| times.len() == entry.attempts.len());
    let marks = entry.attempts.iter().enumerate().map(|(at, attempt)| {
        let connect = attempt.sent.as_ref().and_then(|sent| sent.connect);
        let noted = || AttemptTimes {
            signed: attempt.at,
            first_byte: attempt.response.as_ref().map(|(at, _)| *at),
            ..AttemptTimes::default()
        };
        (connect, exact.map_or_else(noted, |times| times[at]))
    });
    marks.collect()
}
