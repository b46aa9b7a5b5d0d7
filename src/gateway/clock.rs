//! The gateway's time, as far as its answers tell it.
//!
//! A signature is refused when its date is more than 15 minutes off, and machines whose clock is wrong are
//! common: a suspended laptop, a virtual machine, a board without a battery. Each answer has a `Date`
//! with a resolution of a second, made at some time between the request and the answer; so each tells an
//! interval in which the difference between the two clocks lies. What all of them agree on is used,
//! and only if it leaves no doubt that the clocks differ.
//!
//! # What can go wrong
//!
//! A `Date` may be another machine's, or nonsense. One that contradicts what the gateway has just accepted
//! is passed over, and no difference of more than a month is believed. When this machine's clock is set,
//! or the machine was asleep, what was learned is void, and is learned anew.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Moment;

/// How far the date of a signature may be off (API Request Signing Guide: 15 minutes), in milliseconds.
const WINDOW: i64 = 15 * 60 * 1000;

/// The largest difference that is believed, in milliseconds: a month.
const ABSURD: i64 = 31 * 24 * 3600 * 1000;

/// Differences up to so much are left alone, in milliseconds.
const TOLERATED: i64 = 1000;

/// From which difference on it is worth a warning, in seconds.
const ALARMING: i64 = 60;

/// By how much the two clocks of a machine may part before the wall clock counts as set, in milliseconds.
const JUMP: i64 = 2000;

/// The clock of one gateway, shared by all workers.
#[derive(Debug)]
pub struct GatewayClock {
    corrects: bool,
    /// Seconds by which the gateway's clock is ahead, as far as there is no doubt.
    ahead: AtomicI64,
    learned: Mutex<Learned>,
}

/// Where the gateway's time is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// An answer to a request whose signature had this date, in seconds since 1970, and was not refused
    /// for it.
    Accepted(i64),
    /// A refusal for the date of the signature.
    Refused,
}

#[derive(Debug, Default)]
struct Learned {
    /// What all answers agree on: milliseconds by which the gateway's clock is ahead, from and to.
    interval: Option<(i64, i64)>,
    /// When it was learned.
    at: Option<Moment>,
    /// What the last refusal told; without one, that the clocks agree. Answers that were accepted only make
    /// it more exact.
    anchor: i64,
    warned: bool,
}

impl GatewayClock {
    /// A clock of which nothing is known yet. Unless it `corrects`, it only reports.
    #[must_use]
    pub fn new(corrects: bool) -> Self {
        Self {
            corrects,
            ahead: AtomicI64::new(0),
            learned: Mutex::default(),
        }
    }

    /// Seconds by which the gateway's clock is ahead of this machine's, as far as there is no doubt.
    #[must_use]
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Whether requests are signed with the gateway's time.
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
        let mut learned = self.learned();
        if learned.at.is_some_and(|at| has_jumped(at, now)) {
            tracing::info!("this machine's clock was set; the gateway's time is learned anew");
            *learned = Learned::default();
            self.ahead.store(0, Ordering::Relaxed);
        }
        self.ahead()
    }

    /// Takes note of a time of the gateway's, in seconds since 1970, that it told in answer to a request.
    pub fn observe(&self, told: i64, sent: Moment, received: Moment, evidence: Evidence) {
        let told = told.saturating_mul(1000);
        if let Evidence::Accepted(signed) = evidence
            && told.abs_diff(signed.saturating_mul(1000)) > WINDOW.unsigned_abs()
        {
            // It cannot be the time of who has accepted that signature.
            return;
        }
        let sample = interval(told, sent, received);
        if has_jumped(sent, received) || sample.0.abs() > ABSURD || sample.1.abs() > ABSURD {
            return;
        }
        let mut learned = self.learned();
        match evidence {
            Evidence::Refused => learned.anchor = sample.0.midpoint(sample.1),
            // Or one answer after the other could lead it away.
            Evidence::Accepted(_) if !is_near(sample, learned.anchor) => return,
            Evidence::Accepted(_) => {}
        }
        let known = learned
            .interval
            .filter(|_| learned.at.is_some_and(|at| !has_jumped(at, received)));
        let agreed = known.map(|known| (known.0.max(sample.0), known.1.min(sample.1)));
        // Where they contradict each other, a clock was set, and the last one is right.
        let interval = agreed.filter(|(from, to)| from <= to).unwrap_or(sample);
        learned.interval = Some(interval);
        learned.at = Some(received);
        let ahead = beyond_doubt(interval);
        self.ahead.store(ahead, Ordering::Relaxed);
        self.report(&mut learned, ahead);
    }

    /// Warns once, and again only after the clocks have agreed in between.
    fn report(&self, learned: &mut Learned, ahead: i64) {
        if ahead.abs() < ALARMING {
            learned.warned = false;
            return;
        }
        if std::mem::replace(&mut learned.warned, true) {
            return;
        }
        let seconds = ahead.abs();
        let direction = if ahead > 0 { "behind" } else { "ahead of" };
        let what = if self.corrects {
            "requests are signed with the gateway's time; set the clock all the same (NTP)"
        } else {
            "set the clock (NTP), or let the proxy correct it with clock.correct = true"
        };
        tracing::warn!(
            seconds,
            "this machine's clock is {seconds} s {direction} the gateway's; {what}"
        );
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By how many seconds the clock is ahead that told this time in answer to a request: at least, and at
/// most. A time that is told is true for a second, and at some moment between the two.
#[must_use]
pub fn ahead_between(told: i64, sent: Moment, received: Moment) -> (i64, i64) {
    let (least, most) = interval(told.saturating_mul(1000), sent, received);
    (least.div_euclid(1000), -(-most).div_euclid(1000))
}

/// The milliseconds by which the gateway's clock is ahead if it told this time, in milliseconds, at some
/// moment between these two.
fn interval(told: i64, sent: Moment, received: Moment) -> (i64, i64) {
    (
        told.saturating_sub(received.wall),
        told.saturating_add(1000).saturating_sub(sent.wall),
    )
}

/// Whether an interval, or a part of it, is within the window around a difference.
fn is_near((from, to): (i64, i64), anchor: i64) -> bool {
    from <= anchor + WINDOW && to >= anchor - WINDOW
}

/// The difference in seconds that an interval tells beyond doubt; 0 if the clocks may agree.
fn beyond_doubt((from, to): (i64, i64)) -> i64 {
    if from <= TOLERATED && to >= -TOLERATED {
        return 0;
    }
    (from + to).div_euclid(2).div_euclid(1000)
}

/// Whether the wall clock was set between two moments, or stood still while the machine slept.
fn has_jumped(from: Moment, to: Moment) -> bool {
    let steady = to.steady.saturating_duration_since(from.steady);
    let steady = i64::try_from(steady.as_millis()).unwrap_or(i64::MAX);
    ((to.wall - from.wall) - steady).abs() > JUMP
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A moment so many milliseconds after `start`.
    fn after(start: Moment, milliseconds: i64) -> Moment {
        Moment {
            wall: start.wall + milliseconds,
            steady: start.steady + Duration::from_millis(milliseconds.unsigned_abs()),
        }
    }

    /// A clock that was told a time so many seconds ahead, in an answer that took `took` milliseconds.
    fn told(clock: &GatewayClock, ahead: i64, took: i64, evidence: Evidence) {
        let sent = Moment::now();
        let told = sent.wall.div_euclid(1000) + ahead;
        clock.observe(told, sent, after(sent, took), evidence);
    }

    fn accepted() -> Evidence {
        Evidence::Accepted(crate::clock::unix_seconds())
    }

    #[test]
    fn a_clock_that_is_right_is_left_alone() {
        let clock = GatewayClock::new(true);
        for took in [1, 100, 2000, 40_000] {
            told(&clock, 0, took, accepted());
            assert_eq!((clock.ahead(), clock.correction()), (0, 0));
        }
    }

    #[test]
    fn a_refusal_tells_the_difference_and_a_month_is_the_most_that_is_believed() {
        for ahead in [1200, -1200, 3 * 86_400] {
            let clock = GatewayClock::new(true);
            told(&clock, ahead, 50, Evidence::Refused);
            assert!((clock.correction() - ahead).abs() <= 1, "{}", clock.ahead());
            let reports = GatewayClock::new(false);
            told(&reports, ahead, 50, Evidence::Refused);
            assert_eq!(reports.correction(), 0);
            assert!((reports.ahead() - ahead).abs() <= 1);
        }
        let clock = GatewayClock::new(true);
        for absurd in [40 * 86_400, -40 * 86_400, i64::MAX / 4000, -1_700_000_000] {
            told(&clock, absurd, 50, Evidence::Refused);
            assert_eq!(clock.correction(), 0, "{absurd}");
        }
    }

    #[test]
    fn a_date_that_contradicts_what_was_accepted_is_another_machine_s() {
        let clock = GatewayClock::new(true);
        told(&clock, 1200, 50, accepted());
        assert_eq!(clock.correction(), 0);
        told(&clock, 600, 50, accepted());
        assert!((clock.correction() - 600).abs() <= 1);
    }

    #[test]
    fn accepted_answers_cannot_lead_the_clock_away_step_by_step() {
        let clock = GatewayClock::new(true);
        for ahead in [800, 1600, 2400] {
            let signed = crate::clock::unix_seconds() + clock.correction();
            told(&clock, ahead, 50, Evidence::Accepted(signed));
        }
        assert!((clock.correction() - 800).abs() <= 1, "{}", clock.ahead());
        // A refusal is another matter.
        told(&clock, 2400, 50, Evidence::Refused);
        assert!((clock.correction() - 2400).abs() <= 1);
        let signed = crate::clock::unix_seconds() + 2400;
        told(&clock, 2500, 50, Evidence::Accepted(signed));
        assert!((clock.correction() - 2500).abs() <= 1);
    }

    #[test]
    fn answers_that_agree_make_it_more_exact_and_one_that_contradicts_starts_anew() {
        let clock = GatewayClock::new(true);
        told(&clock, 120, 60_000, accepted());
        let rough = clock.ahead();
        told(&clock, 120, 10, accepted());
        assert!(
            (clock.ahead() - 120).abs() <= 1,
            "{rough} {}",
            clock.ahead()
        );
        told(&clock, -300, 10, accepted());
        assert!((clock.ahead() + 300).abs() <= 1);
        told(&clock, 0, 10, accepted());
        assert_eq!(clock.ahead(), 0);
    }

    #[test]
    fn fault_77_what_was_learned_is_void_when_the_clock_is_set_and_the_signature_follows_the_clock()
    {
        let clock = GatewayClock::new(true);
        told(&clock, 1200, 50, Evidence::Refused);
        assert!(clock.correction() > 1000);
        // Somebody has set the clock right: it is 20 minutes later than when it was learned.
        let learned = clock.learned().at.unwrap();
        clock.learned().at = Some(Moment {
            wall: learned.wall - 1_200_000,
            ..learned
        });
        assert_eq!((clock.correction(), clock.ahead()), (0, 0));
        // One that is set while a request is under way tells nothing.
        let sent = Moment::now();
        let received = Moment {
            wall: sent.wall + 600_000,
            steady: sent.steady,
        };
        clock.observe(sent.wall / 1000, sent, received, Evidence::Refused);
        assert_eq!(clock.correction(), 0);
    }
}
