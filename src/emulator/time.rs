//! The emulator's clock, which a test can set.
//!
//! It has fractions of a second, unlike a signature's date: keys that live for two seconds expire
//! between two of them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// The clock of an emulator.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what this function returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's clock.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(crate::clock::timestamp)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
