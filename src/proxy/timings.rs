//! When each step of a request happened. The marks are always taken: metrics and the access record
//! are made of them, and the log shows them at level `debug`.

use std::fmt;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::access::Durations;
use crate::upstream::ConnectTimes;

/// What a request waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// Room for its body.
    Memory,
    /// A usable key or token.
    Credential,
    /// The circuit breaker of its key.
    Key,
    /// A connection to the gateway, with name lookup, TCP and TLS.
    Connection,
}

/// The times of one request.
#[derive(Debug)]
pub(super) struct Timings {
    pub(super) head_read: Instant,
    pub(super) body_read: Option<Instant>,
    /// Indexed by [`Wait`].
    waits: [Duration; 4],
    pub(super) attempts: Vec<AttemptTimings>,
    /// The timings of the next attempt.
    pub(super) next: NextAttempt,
    pub(super) last_byte: Option<Instant>,
}

/// The times of one attempt to send the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptTimings {
    pub(super) reason: AttemptReason,
    /// The steps of its connection, if that was opened for it.
    pub(super) connect: ConnectTimes,
    /// How long signing took.
    pub(super) signing: Duration,
    /// When it was signed, and sending began.
    pub(super) signed: Instant,
    /// When all of it was handed over for sending.
    pub(super) sent: Option<Instant>,
    /// When the head of the response came.
    pub(super) first_byte: Option<Instant>,
}

/// An attempt that is not signed yet.
#[derive(Debug, Default)]
pub(super) struct NextAttempt {
    pub(super) reason: AttemptReason,
    pub(super) connect: ConnectTimes,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AttemptReason {
    #[default]
    First,
    /// The connection ended, and the request cannot have been executed.
    Connection,
    /// The gateway refused the date of the signature.
    Date,
    /// The gateway refused the token, app code or API key, or the credential expired.
    Credential,
}

impl Timings {
    /// Starts now, with the head of the request.
    pub(super) fn start() -> Self {
        Self {
            head_read: Instant::now(),
            body_read: None,
            waits: [Duration::ZERO; 4],
            attempts: Vec::new(),
            next: NextAttempt::default(),
            last_byte: None,
        }
    }

    /// Adds time of waiting.
    pub(super) fn waited(&mut self, wait: Wait, time: Duration) {
        self.waits[wait as usize] += time;
    }

    /// Adds an attempt that is about to be sent.
    pub(super) fn attempt(&mut self, signing: Duration, signed: Instant) {
        let NextAttempt { reason, connect } = mem::take(&mut self.next);
        self.attempts.push(AttemptTimings {
            reason,
            connect,
            signing,
            signed,
            sent: None,
            first_byte: None,
        });
    }

    /// The sums that the access record shows.
    pub(super) fn durations(&self) -> Durations {
        let answered = |attempt: &AttemptTimings| Some(attempt.first_byte? - attempt.signed);
        Durations {
            queued: self.waits.iter().sum(),
            signing: self.attempts.iter().map(|attempt| attempt.signing).sum(),
            upstream: self.attempts.iter().filter_map(answered).sum(),
            total: self.head_read.elapsed(),
        }
    }
}

impl fmt::Display for Timings {
    /// One line: durations of waits, and marks as the time since the head was read, in
    /// microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = |at: Option<Instant>| at.map(|at| (at - self.head_read).as_micros());
        let [memory, credential, key, connection] = self.waits.map(|wait| wait.as_micros());
        write!(
            f,
            "body_read={:?} ",
            since(self.body_read).unwrap_or_default()
        )?;
        write!(
            f,
            "waited: memory={memory} credential={credential} key={key} "
        )?;
        write!(f, "connection={connection}")?;
        for attempt in &self.attempts {
            let step = |time: Option<Duration>| time.unwrap_or_default().as_micros();
            let ConnectTimes { dns, tcp, tls } = attempt.connect;
            write!(
                f,
                "; {:?}: dns={} tcp={} ",
                attempt.reason,
                step(dns),
                step(tcp)
            )?;
            write!(
                f,
                "tls={} signing={} ",
                step(tls),
                attempt.signing.as_micros()
            )?;
            let marks = [Some(attempt.signed), attempt.sent, attempt.first_byte];
            let [signed, sent, first] = marks.map(|mark| since(mark).unwrap_or_default());
            write!(f, "signed={signed} sent={sent} first_byte={first}")?;
        }
        write!(
            f,
            "; last_byte={}",
            since(self.last_byte).unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn marks_are_summed_for_the_record_and_shown_since_the_head() {
        let mut timings = Timings::start();
        let pass = async |millis| tokio::time::sleep(Duration::from_millis(millis)).await;
        timings.waited(Wait::Memory, Duration::from_millis(1));
        timings.waited(Wait::Key, Duration::from_millis(2));
        for reason in [AttemptReason::First, AttemptReason::Date] {
            pass(10).await;
            timings.next.reason = reason;
            timings.attempt(Duration::from_micros(5), Instant::now());
            pass(20).await;
            timings.attempts.last_mut().unwrap().first_byte = Some(Instant::now());
        }
        timings.last_byte = Some(Instant::now());
        let durations = timings.durations();
        let millis = [durations.queued, durations.upstream, durations.total];
        assert_eq!(millis.map(|time| time.as_millis()), [3, 40, 60]);
        assert_eq!(durations.signing, Duration::from_micros(10));
        let line = timings.to_string();
        for part in [
            "key=2000",
            "; First:",
            "; Date:",
            "signed=40000",
            "last_byte=60000",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}
