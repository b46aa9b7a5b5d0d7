//! The lock: more than five signature failures in a row, and a key is refused for five minutes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures in a row that are let pass (APIG FAQ: "more than five").
const FAILURES: u32 = 5;

/// How long a key is locked, in seconds.
const LOCKED: i64 = 5 * 60;

/// Counts failures per access key.
#[derive(Debug, Default)]
pub(super) struct Lockout(Mutex<HashMap<String, Failures>>);

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    locked_until: Option<i64>,
}

impl Lockout {
    /// Whether a key is locked.
    pub(super) fn is_locked(&self, access_key: &str, now: i64) -> bool {
        let mut keys = self.keys();
        let Some(failures) = keys.get_mut(access_key) else {
            return false;
        };
        match failures.locked_until {
            Some(until) if now < until => true,
            Some(_) => {
                *failures = Failures::default();
                false
            }
            None => false,
        }
    }

    /// Takes note of a signature that does not match.
    pub(super) fn failed(&self, access_key: &str, now: i64) {
        let mut keys = self.keys();
        let failures = keys.entry(access_key.to_owned()).or_default();
        failures.in_a_row += 1;
        if failures.in_a_row > FAILURES {
            failures.locked_until = Some(now + LOCKED);
        }
    }

    /// Takes note of one that does.
    pub(super) fn succeeded(&self, access_key: &str) {
        self.keys().remove(access_key);
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        // Every change is a single step, so a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
