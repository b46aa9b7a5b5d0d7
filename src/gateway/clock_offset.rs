//! The offset of the gateway's clock, learned from its responses.
//!
//! The gateway refuses a signature whose date is more than 15 minutes off, and wrong clocks are
//! common: a suspended laptop, a virtual machine, a board without a battery. Each response has a
//! `Date` with a resolution of a second, made between request and response, so it gives an interval
//! for the offset. The first one that leaves no doubt that the clocks differ is used, until another
//! one contradicts it.
//!
//! # What can go wrong
//!
//! A `Date` may be another machine's, or nonsense. One that contradicts what the gateway has just
//! accepted is ignored, and so is an offset of more than a month. When this machine's clock is set,
//! or the machine was asleep, the offset is reset and learned again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use super::DATE_WINDOW;
use crate::clock::Moment;
use crate::lock::lock;

/// [`DATE_WINDOW`] in milliseconds.
const WINDOW: i64 = DATE_WINDOW * 1000;

/// The maximum plausible offset, in milliseconds: a month. A larger one is ignored.
const MAX_OFFSET: i64 = 31 * 24 * 3600 * 1000;

/// The maximum offset that is not corrected, in milliseconds.
const TOLERATED: i64 = 1000;

/// The smallest offset that is logged as a warning, in seconds.
const WARNED: i64 = 60;

/// By how much a machine's two clocks may diverge before the wall clock counts as set, in
/// milliseconds.
const JUMP: i64 = 2000;

/// The clock of one gateway, as all workers know it.
#[derive(Debug)]
pub struct GatewayClock {
    corrects: bool,
    /// Seconds by which the gateway's clock is certainly ahead.
    ahead: AtomicI64,
    learned: Mutex<Learned>,
}

/// The kind of response that the gateway's time was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The signature had this date, in seconds since 1970, and was not refused for it.
    Accepted(i64),
    /// The signature was refused for its date.
    Refused,
}

#[derive(Debug, Default)]
struct Learned {
    /// When the offset was learned or confirmed.
    at: Option<Moment>,
    /// The offset of the last refusal, or 0. Accepted requests only make it more exact.
    anchor: i64,
    warned: bool,
}

impl GatewayClock {
    /// A clock without a known offset. Unless it `corrects`, it only reports one.
    #[must_use]
    pub fn new(corrects: bool) -> Self {
        Self {
            corrects,
            ahead: AtomicI64::new(0),
            learned: Mutex::default(),
        }
    }

    /// Seconds by which the gateway's clock is certainly ahead of this machine's.
    #[must_use]
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// True if requests are signed with the gateway's time.
    #[must_use]
    pub fn corrects(&self) -> bool {
        self.corrects
    }

    /// Seconds to add to this machine's clock for the date of a signature.
    #[must_use]
    pub fn correction(&self) -> i64 {
        if !self.corrects || self.ahead() == 0 {
            return 0;
        }
        let now = Moment::now();
        let mut learned = lock(&self.learned);
        if learned.at.is_some_and(|at| has_jumped(at, now)) {
            tracing::info!(
                "this machine's clock was set; the offset of the gateway's clock is reset"
            );
            *learned = Learned::default();
            self.ahead.store(0, Ordering::Relaxed);
        }
        self.ahead()
    }

    /// Learns from a time of the gateway's, in seconds since 1970, in a response.
    pub fn observe(&self, told: i64, sent: Moment, received: Moment, evidence: Evidence) {
        let told = told.saturating_mul(1000);
        if let Evidence::Accepted(signed) = evidence
            && told.abs_diff(signed.saturating_mul(1000)) > WINDOW.unsigned_abs()
        {
            // Another machine's: the gateway has just accepted that date.
            return;
        }
        let sample = interval(told, sent, received);
        if has_jumped(sent, received) || sample.0.abs() > MAX_OFFSET || sample.1.abs() > MAX_OFFSET
        {
            return;
        }
        let mut learned = lock(&self.learned);
        match evidence {
            Evidence::Refused => learned.anchor = sample.0.midpoint(sample.1),
            // Or a series of responses could shift it step by step.
            Evidence::Accepted(_) if !is_near(sample, learned.anchor) => return,
            Evidence::Accepted(_) => {}
        }
        let is_kept = learned.at.is_some_and(|at| !has_jumped(at, received));
        let is_confirmed = (sample.0..=sample.1).contains(&(self.ahead() * 1000));
        learned.at = Some(received);
        let ahead = if is_kept && is_confirmed {
            self.ahead()
        } else {
            beyond_doubt(sample)
        };
        self.ahead.store(ahead, Ordering::Relaxed);
        self.report(&mut learned, ahead);
    }

    /// Warns once, and again only after the clocks have agreed.
    fn report(&self, learned: &mut Learned, ahead: i64) {
        if ahead.abs() < WARNED {
            learned.warned = false;
            return;
        }
        if std::mem::replace(&mut learned.warned, true) {
            return;
        }
        let seconds = ahead.abs();
        let direction = if ahead > 0 { "behind" } else { "ahead of" };
        let until_then = match self.corrects {
            true => "requests are signed with the gateway's time",
            false => {
                "the gateway refuses requests once it is 15 minutes off (`clock.correct` is false)"
            }
        };
        tracing::warn!(
            seconds,
            "this machine's clock is {seconds} s {direction} the gateway's; set it (NTP); until then, {until_then}"
        );
    }
}

/// The least and the most seconds by which the clock that told this time is ahead. The time is true
/// for a second, at some moment between sending and receiving.
#[must_use]
pub fn ahead_between(told: i64, sent: Moment, received: Moment) -> (i64, i64) {
    let (least, most) = interval(told.saturating_mul(1000), sent, received);
    (least.div_euclid(1000), -(-most).div_euclid(1000))
}

/// The same in milliseconds, the time included.
fn interval(told: i64, sent: Moment, received: Moment) -> (i64, i64) {
    (
        told.saturating_sub(received.wall),
        told.saturating_add(1000).saturating_sub(sent.wall),
    )
}

/// True if an interval overlaps the window around an offset.
fn is_near((from, to): (i64, i64), anchor: i64) -> bool {
    from <= anchor + WINDOW && to >= anchor - WINDOW
}

/// The offset of an interval in seconds; 0 if the clocks may agree.
fn beyond_doubt((from, to): (i64, i64)) -> i64 {
    if from <= TOLERATED && to >= -TOLERATED {
        return 0;
    }
    (from + to).div_euclid(2).div_euclid(1000)
}

/// True if the wall clock was set between two moments, or the machine slept.
fn has_jumped(from: Moment, to: Moment) -> bool {
    let steady = to.steady.saturating_duration_since(from.steady);
    let steady = i64::try_from(steady.as_millis()).unwrap_or(i64::MAX);
    ((to.wall - from.wall) - steady).abs() > JUMP
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(start: Moment, milliseconds: i64) -> Moment {
        Moment {
            wall: start.wall + milliseconds,
            steady: start.steady + Duration::from_millis(milliseconds.unsigned_abs()),
        }
    }

    /// A clock that was told a time so many seconds ahead, in a response that took `took`
    /// milliseconds.
    fn told(clock: &GatewayClock, ahead: i64, took: i64, evidence: Evidence) {
        let sent = Moment::now();
        let told = sent.wall.div_euclid(1000) + ahead;
        clock.observe(told, sent, after(sent, took), evidence);
    }

    fn accepted() -> Evidence {
        Evidence::Accepted(crate::clock::unix_seconds())
    }

    #[test]
    fn a_refusal_tells_the_offset_and_a_month_is_the_most_that_is_believed() {
        for ahead in [1200, -1200, 3 * 86_400] {
            for corrects in [true, false] {
                let clock = GatewayClock::new(corrects);
                told(&clock, ahead, 50, Evidence::Refused);
                assert!((clock.ahead() - ahead).abs() <= 1, "{}", clock.ahead());
                let expected = if corrects { clock.ahead() } else { 0 };
                assert_eq!(clock.correction(), expected);
            }
        }
        let clock = GatewayClock::new(true);
        for absurd in [40 * 86_400, -40 * 86_400, i64::MAX / 4000, -1_700_000_000] {
            told(&clock, absurd, 50, Evidence::Refused);
            assert_eq!(clock.correction(), 0, "{absurd}");
        }
    }

    #[test]
    fn accepted_requests_cannot_shift_the_clock_step_by_step() {
        let clock = GatewayClock::new(true);
        // A date that contradicts what was accepted is another machine's.
        told(&clock, 1200, 50, accepted());
        assert_eq!(clock.correction(), 0);
        for ahead in [800, 1600, 2400] {
            let signed = crate::clock::unix_seconds() + clock.correction();
            told(&clock, ahead, 50, Evidence::Accepted(signed));
        }
        assert!((clock.correction() - 800).abs() <= 1, "{}", clock.ahead());
        // A refusal is another matter.
        told(&clock, 2400, 50, Evidence::Refused);
        told(&clock, 1800, 50, accepted());
        assert!((clock.correction() - 2400).abs() <= 1);
        let signed = crate::clock::unix_seconds() + 2400;
        told(&clock, 2500, 50, Evidence::Accepted(signed));
        assert!((clock.correction() - 2500).abs() <= 1);
    }

    #[test]
    fn responses_that_agree_make_it_more_exact_and_one_that_contradicts_resets_it() {
        let clock = GatewayClock::new(true);
        for took in [1, 100, 2000, 40_000] {
            told(&clock, 0, took, accepted());
            assert_eq!((clock.ahead(), clock.correction()), (0, 0));
        }
        let clock = GatewayClock::new(true);
        told(&clock, 120, 60_000, accepted());
        for (ahead, shown) in [(120, 120), (-300, -300), (0, 0)] {
            told(&clock, ahead, 10, accepted());
            assert!((clock.ahead() - shown).abs() <= 1, "{}", clock.ahead());
        }
    }

    #[test]
    fn fault_77_a_clock_that_is_set_voids_the_offset_and_the_signature_follows_the_clock() {
        let clock = GatewayClock::new(true);
        told(&clock, 1200, 50, Evidence::Refused);
        assert!(clock.correction() > 1000);
        // The clock is set right: it is 20 minutes later than when the offset was learned.
        let learned = lock(&clock.learned).at.unwrap();
        let wall = learned.wall - 1_200_000;
        lock(&clock.learned).at = Some(Moment { wall, ..learned });
        assert_eq!((clock.correction(), clock.ahead()), (0, 0));
        // If it is set while a request is under way, the response tells nothing.
        let sent = Moment::now();
        let wall = sent.wall - 600_000;
        let received = Moment { wall, ..sent };
        clock.observe(sent.wall / 1000, sent, received, Evidence::Refused);
        assert_eq!(clock.ahead(), 0);
    }
}
