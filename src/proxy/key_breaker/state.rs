//! The state of a breaker: what is counted, and when a request is admitted.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::SignatureOutcome;
use crate::error::Error;

/// Rejected signatures in a row that open the breaker.
const MAX_FAILURES: u32 = 3;

/// Refused paths in a row that open the breaker of a route's paths.
const MAX_PATH_FAILURES: u32 = 2;

/// Refusals in a row, of any kind, that an access key never exceeds while requests are admitted.
pub(super) const MAX_REFUSALS: u32 = 5;

/// How long a request waits for room among [`MAX_FAILURES`]. The first request after a start may be
/// slow.
pub(super) const ROOM_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request waits for room among [`MAX_REFUSALS`], and until a probe is replaced by
/// another one.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the open breaker refuses requests before a probe. The pause doubles after each failed
/// probe, so within five minutes, the length of the gateway's own lock, there are never more than five
/// failures.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(60);
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How many secrets of an access key are remembered.
pub(super) const MAX_SECRETS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct State {
    /// It belongs to the ambiguous paths of a route, not to a key.
    pub(super) is_of_paths: bool,
    /// The secrets that were tried last, by their hashes.
    pub(super) secrets: VecDeque<u64>,
    /// Rejected signatures in a row, of the current secret.
    failures: u32,
    /// Refusals of any kind since the last accepted signature.
    pub(super) refusals: u32,
    /// When the last of them came.
    last_refusal: Option<Instant>,
    /// Counted requests without an outcome.
    in_flight: u32,
    /// When the next probe may be sent; `Some` while the breaker is open.
    pub(super) next_probe: Option<Instant>,
    /// The last pause of the open breaker.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PermitKind {
    /// The key is trusted.
    Trusted,
    /// The key is not trusted, so the request counts as in flight.
    Counted,
    /// The breaker is open.
    Probe,
}

impl State {
    /// Admits a request that has waited this long; `None` if it has to wait.
    pub(super) fn admit(&mut self, waited: Duration) -> Result<Option<PermitKind>, Error> {
        if let Some(next_probe) = self.next_probe {
            let now = Instant::now();
            if now < next_probe {
                let retry_after = (next_probe - now).max(Duration::from_secs(1));
                return Err(match self.is_of_paths {
                    true => Error::PathsRefused { retry_after },
                    false => Error::KeyLocked { retry_after },
                });
            }
            self.next_probe = Some(now + PROBE_TIMEOUT);
            return Ok(Some(PermitKind::Probe));
        }
        // All requests in flight may be refused.
        let is_safe = self.in_flight + self.refusals < MAX_REFUSALS;
        let has_room = is_safe && self.in_flight + self.failures < self.max_failures();
        if !(has_room || waited >= PROBE_TIMEOUT || (is_safe && waited >= ROOM_TIMEOUT)) {
            return Ok(None);
        }
        self.in_flight += 1;
        Ok(Some(PermitKind::Counted))
    }

    /// True if the refusals of a key that nothing uses still matter: the longest pause of the breaker
    /// has not passed since the last one.
    pub(super) fn is_remembered(&self) -> bool {
        let is_recent = |last: Instant| last.elapsed() < MAX_PAUSE;
        self.refusals > 0 && self.last_refusal.is_some_and(is_recent)
    }

    pub(super) fn settle(&mut self, kind: PermitKind, outcome: SignatureOutcome) {
        let is_trusted = kind == PermitKind::Trusted;
        self.in_flight -= u32::from(kind == PermitKind::Counted);
        let (failures, refusals) = match outcome {
            SignatureOutcome::Accepted => {
                if self.next_probe.is_some() {
                    tracing::info!("the gateway accepts signatures of the key again");
                }
                self.refusals = 0;
                return self.reset();
            }
            SignatureOutcome::Unknown => {
                if kind == PermitKind::Probe && self.next_probe.is_some() {
                    self.next_probe = Some(Instant::now());
                }
                return;
            }
            SignatureOutcome::Rejected => (1, 1),
            // One such response for a trusted key is not believed: it may come from a service
            // behind the gateway, which could say anything.
            SignatureOutcome::Locked if is_trusted => (1, 1),
            SignatureOutcome::Locked => (MAX_FAILURES, MAX_FAILURES),
            // When the clock jumps under a trusted key, all requests in flight are refused at once.
            // The next request has to show that the corrected date is accepted.
            SignatureOutcome::Misread if is_trusted && self.refusals + 1 >= MAX_REFUSALS => (0, 0),
            SignatureOutcome::Misread => (0, 1),
        };
        self.failures += failures;
        self.refusals += refusals;
        self.last_refusal = Some(Instant::now());
        let is_due = self.failures >= self.max_failures() || self.refusals >= MAX_REFUSALS;
        // Requests that were in flight when the breaker opened must not prolong the pause.
        if is_due && (self.next_probe.is_none() || kind == PermitKind::Probe) {
            self.open();
        }
    }

    fn open(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
        self.next_probe = Some(Instant::now() + self.pause);
        let (refusals, seconds) = (self.refusals, self.pause.as_secs());
        let (what, hint) = match self.is_of_paths {
            true => ("requests with `//` in the path", "send paths without `//`"),
            false => ("signatures of this key", "correct the key"),
        };
        tracing::error!(
            seconds,
            "the gateway refused {refusals} {what} in a row and would lock the key; such requests are answered with \
             503 until one gets through in {seconds} s\nhint: {hint}"
        );
    }

    fn max_failures(&self) -> u32 {
        match self.is_of_paths {
            true => MAX_PATH_FAILURES,
            false => MAX_FAILURES,
        }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.next_probe = None;
        self.pause = Duration::ZERO;
    }
}
