//! The end of a request: its metrics, its access record, and what the inspector gets.

use std::time::Duration;

use super::RequestContext;
use crate::inspect::note::{AttemptTimes, RequestEnd, Times};
use crate::telemetry::access_log::{Durations, Finished, ResponseEnd};
use crate::telemetry::metrics::Outcome;

/// The status in the metrics of a request whose caller disconnected; nginx logs the same.
const CALLER_GONE: u16 = 499;

/// The status in the metrics of a request that was dropped when the process ended.
const CUT_OFF: u16 = 503;

impl Drop for RequestContext {
    fn drop(&mut self) {
        let end = self.end.get().unwrap_or_default();
        if self.answer.get().is_some() && end == ResponseEnd::CutOff && self.metrics.is_cut_off() {
            let request_id = self.request_id();
            tracing::info!(%request_id, "the proxy stopped before the end of the response");
        }
        let (status, outcome) = self.answer.get().unwrap_or_else(|| self.unanswered());
        let mut times = self.times.borrow_mut();
        times.total = self.head_read.elapsed();
        self.metrics.finished(times.total);
        if self.record.is_none() && self.capture().is_none() {
            return;
        }
        let caller = self.proven_caller();
        let finished = Finished {
            request_id: self.id,
            route: self.route.get(),
            caller: caller.map(|caller| caller.caller.name.as_str()),
            body_signed: caller
                .is_some_and(|caller| !caller.body_signed.get())
                .then_some(false),
            status,
            outcome,
            end,
            bytes: (self.upload.received.get(), self.bytes_sent.get()),
            durations: durations(&times, self.queued.get()),
            attempts: times.attempts.len(),
            replay_of: self.caller.replay_of(),
        };
        if let Some(record) = &self.record {
            record.write(&finished);
        }
        if let Some(capture) = self.capture() {
            capture.ended(request_end(&times, &finished));
        }
    }
}

impl RequestContext {
    /// Counts a request that is dropped without a response.
    fn unanswered(&self) -> (u16, Outcome) {
        let (what, status, outcome) = match self.metrics.is_cut_off() {
            true => ("the proxy stopped", CUT_OFF, Outcome::CutOff),
            false => ("the caller disconnected", CALLER_GONE, Outcome::CallerGone),
        };
        let last = self.times.borrow().attempts.last().copied();
        if last.is_some_and(|attempt| attempt.first_byte.is_none()) {
            let request_id = self.request_id();
            tracing::info!(
                %request_id,
                "{what} before the gateway responded; whether the request was executed is unknown"
            );
        }
        self.answered(status, outcome);
        (status, outcome)
    }
}

/// The sums that the access record shows.
fn durations(times: &Times, queued: Duration) -> Durations {
    let answered = |attempt: &AttemptTimes| Some(attempt.first_byte? - attempt.signed);
    Durations {
        queued,
        signing: times.attempts.iter().map(|attempt| attempt.signing).sum(),
        upstream: times.attempts.iter().filter_map(answered).sum(),
        total: times.total,
    }
}

/// What the inspector gets.
fn request_end(times: &Times, finished: &Finished<'_>) -> RequestEnd {
    let outcome = finished.outcome();
    let is_early = ["caller_gone", "cut_off", "broken_off"].contains(&outcome);
    RequestEnd {
        status: finished.status,
        outcome,
        end: if is_early { outcome } else { "whole" },
        bytes_in: finished.bytes.0,
        bytes_out: finished.bytes.1,
        times: times.clone(),
    }
}
